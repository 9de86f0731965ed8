/** What a page may set, and what holds where it does not. */

/** How a half-open connection is found; see `BridgeOptions.heartbeat`. */
export interface HeartbeatOptions {
  /** Milliseconds without any frame from the server after which it is asked to send one. */
  interval?: number;
  /** Milliseconds that its answer may take before the connection is given up. */
  timeout?: number;
  /** The stream that is asked, or null to ask with a plain message `{"heartbeat": n}`. */
  stream?: string | null;
}

/**
 * Options of a bridge. Those that ReconnectingWebSocket has as well keep its names; all times are
 * milliseconds.
 */
export interface BridgeOptions {
  /** The ceiling of the wait before the first attempt to come back. */
  minReconnectionDelay?: number;
  /** What no wait exceeds. */
  maxReconnectionDelay?: number;
  /** By how much the ceiling grows with each attempt that fails. */
  reconnectionDelayGrowFactor?: number;
  /** How long a connection has to be open for its loss to count as the first failure again. */
  minUptime?: number;
  /** How long an attempt may take; a handshake waits for a worker. */
  connectionTimeout?: number;
  /** Attempts in a row that may fail before the bridge gives up. */
  maxRetries?: number;
  /** Messages that wait for a connection, at most. */
  maxEnqueuedMessages?: number;
  /** Over how long clients spread that were told to come back later, by 1012 or 1013. */
  spread?: number;
  /** Close codes after which the bridge does not come back, besides 1008. */
  finalCodes?: readonly number[] | ((code: number) => boolean);
  /** Ask a silent server for a sign of life; off unless the server answers, see the README. */
  heartbeat?: boolean | HeartbeatOptions;
  /** The WebSocket class, where the platform has none. */
  // biome-ignore lint/suspicious/noExplicitAny: implementations differ in their types.
  WebSocket?: any;
  /** Log what the underlying socket does. */
  debug?: boolean;
}

/** The options of a bridge, all of them given. */
export type Settings = Required<Omit<BridgeOptions, "WebSocket" | "heartbeat">> & {
  // biome-ignore lint/suspicious/noExplicitAny: as above.
  WebSocket: any;
  heartbeat: Required<HeartbeatOptions> | null;
};

const DEFAULTS: Settings = {
  minReconnectionDelay: 500,
  maxReconnectionDelay: 20_000,
  reconnectionDelayGrowFactor: 2,
  minUptime: 5_000,
  connectionTimeout: 10_000,
  maxRetries: Number.POSITIVE_INFINITY,
  maxEnqueuedMessages: 100,
  spread: 10_000,
  finalCodes: [],
  heartbeat: null,
  WebSocket: undefined,
  debug: false,
};

const HEARTBEAT: Required<HeartbeatOptions> = {
  interval: 30_000,
  timeout: 10_000,
  stream: "heartbeat",
};

/** `options`, and the defaults of those that are left out. */
export function settingsOf(options: BridgeOptions): Settings {
  const given = Object.entries(options).filter(([, value]) => value !== undefined);
  const { heartbeat, ...others } = Object.fromEntries(given) as BridgeOptions;
  return {
    ...DEFAULTS,
    ...others,
    heartbeat: heartbeat ? { ...HEARTBEAT, ...(heartbeat === true ? {} : heartbeat) } : null,
  };
}
