/**
 * The browser's side of Channels: a WebSocket that comes back, streams over one socket, and
 * collections that follow data binding.
 */

export type { Action, BindOptions, BoundCollection, Collection, Payload } from "./binding.js";
export { type Callback, type Stream, WebSocketBridge } from "./bridge.js";
export type { BridgeOptions, HeartbeatOptions } from "./options.js";
export type { State, Status } from "./status.js";
