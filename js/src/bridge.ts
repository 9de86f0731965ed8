/** The bridge between a page and its consumers. */

import type ReconnectingWebSocket from "partysocket/ws";

import { absolute } from "./addresses.js";
import { type BindOptions, BoundCollection, type Collection, type Payload } from "./binding.js";
import { Heartbeat } from "./heartbeat.js";
import { type BridgeOptions, type Settings, settingsOf } from "./options.js";
import { type Address, BridgeSocket } from "./socket.js";
import type { Status } from "./status.js";

/** Takes a message, and the name of its stream, or null for a message of none. */
// biome-ignore lint/suspicious/noExplicitAny: what consumers send is theirs to say.
export type Callback = (action: any, stream: string | null) => void;

/** One stream of the socket, to be sent to. */
export interface Stream {
  /** Send what is made JSON; false where it could be neither sent nor queued. */
  send(action: unknown): boolean;
}

const UNCONNECTED: Status = { state: "closed", code: null, attempt: 0, delay: 0 };

/**
 * A WebSocket of JSON that comes back when it is lost, with any number of streams.
 *
 *     const bridge = new WebSocketBridge();
 *     bridge.connect("/ws/");
 *     bridge.listen((action, stream) => console.log(action, stream));
 */
export class WebSocketBridge {
  /** What takes the messages of each stream. */
  readonly streams: Record<string, Callback> = Object.create(null);
  /** What takes all other messages. */
  default_cb: Callback | null = null;
  /** Options of every connection. */
  options: BridgeOptions;
  /** Called, soon after, with each change of `status`. */
  onstatus: ((status: Status) => void) | null = null;
  #socket: BridgeSocket | null = null;
  #settings: Settings;
  #heartbeat: Heartbeat | null = null;
  readonly #bound = new Map<string, BoundCollection<never, never>>();

  constructor(options: BridgeOptions = {}) {
    this.options = { ...options };
    this.#settings = settingsOf(this.options);
  }

  /** The underlying ReconnectingWebSocket; null before `connect`. */
  get socket(): ReconnectingWebSocket | null {
    return this.#socket;
  }

  /** The state of the connection. */
  get status(): Status {
    return this.#socket?.attempts.status ?? UNCONNECTED;
  }

  /**
   * Connect to `url`, relative to the page where it is not absolute, by default the root of its
   * host. A function is asked before each attempt. An earlier connection is closed.
   *
   * Throws a TypeError for what is no address of a WebSocket.
   */
  connect(url?: Address, protocols?: string | string[], options: BridgeOptions = {}): void {
    const address = typeof url === "function" ? url : absolute(url);
    this.close();
    this.#settings = settingsOf({ ...this.options, ...options });
    const socket = new BridgeSocket(address, protocols, this.#settings);
    this.#socket = socket;
    this.#heartbeat = this.#settings.heartbeat && this.#heartbeatOf(socket);
    socket.attempts.onchange = () => this.#changed(socket.attempts.status);
    socket.addEventListener("message", (event) => this.#take(event.data));
    this.#tell(this.status);
  }

  /** Close the connection, and make no other one. What waits to be sent is dropped. */
  close(code?: number, reason?: string): void {
    this.#socket?.close(code, reason);
  }

  /** Have `callback` called for each message that no stream takes. */
  listen(callback: Callback | null = null): void {
    if (callback !== null && typeof callback !== "function") {
      console.warn(`listen() takes a function, and connect() the address: ignored ${callback}`);
      return;
    }
    this.default_cb = callback;
  }

  /** Have `callback` called for each message of a stream, and no other function. */
  demultiplex(stream: string, callback: Callback): void {
    this.#bound.get(stream)?.lost();
    this.#bound.delete(stream);
    this.streams[stream] = callback;
  }

  /**
   * Send what is made JSON, as soon as there is a connection.
   *
   * False where it could be neither sent nor queued: the queue is full, or the bridge is closed.
   * Throws an Error before `connect`, and a TypeError for what JSON cannot express.
   */
  send(message: unknown): boolean {
    if (!this.#socket) throw new Error("there is no connection: call connect() first");
    const json = JSON.stringify(message);
    if (json === undefined) throw new TypeError(`there is no JSON of ${typeof message}`);
    const { hasRoom } = this.#socket;
    if (hasRoom) this.#socket.send(json);
    return hasRoom;
  }

  /** The stream of a name, to be sent to. */
  stream(stream: string): Stream {
    return { send: (payload) => this.send({ stream, payload }) };
  }

  /**
   * Keep `collection` in step with what data binding tells on a stream: keys are primary keys,
   * values objects of fields. What is returned asks the server for changes.
   */
  bind<K, V extends object>(
    stream: string,
    collection: Collection<K, V>,
    options: BindOptions<K, V> = {},
  ): BoundCollection<K, V> {
    const { send } = this.stream(stream);
    const bound = new BoundCollection(collection, options, send, () => this.#settings);
    this.demultiplex(stream, (payload: Payload<K, V>) => bound.take(payload));
    this.#bound.set(stream, bound as unknown as BoundCollection<never, never>);
    if (this.status.state === "connected") bound.opened();
    return bound;
  }

  #heartbeatOf(socket: BridgeSocket): Heartbeat {
    const { stream, ...times } = this.#settings.heartbeat as NonNullable<Settings["heartbeat"]>;
    let count = 0;
    const ask = () => {
      const payload = { heartbeat: ++count };
      this.send(stream === null ? payload : { stream, payload });
    };
    return new Heartbeat(times, ask, () => socket.drop());
  }

  #changed(status: Status): void {
    const isOpen = status.state === "connected";
    if (isOpen) this.#heartbeat?.heard();
    else this.#heartbeat?.stop();
    for (const bound of this.#bound.values()) isOpen ? bound.opened() : bound.lost();
    this.#tell(status);
  }

  #tell(status: Status): void {
    queueMicrotask(() => this.onstatus?.(status)); // what it throws stops nothing here
  }

  #take(data: unknown): void {
    this.#heartbeat?.heard();
    const message = parsed(data);
    if (message === undefined || this.#isHeartbeat(message)) return;
    const { stream, payload } = Object(message) as { stream?: string; payload?: unknown };
    if (stream === undefined) this.default_cb?.(message, null);
    else (this.streams[stream] ?? this.default_cb)?.(payload, stream);
  }

  #isHeartbeat(message: unknown): boolean {
    if (!this.#settings.heartbeat) return false;
    const { stream } = this.#settings.heartbeat;
    const content = Object(message) as Record<string, unknown>;
    return stream === null
      ? Object.keys(content).join() === "heartbeat"
      : content.stream === stream;
  }
}

/** What a frame says, or undefined for one that is no JSON. */
function parsed(data: unknown): unknown {
  if (typeof data !== "string") return undefined; // bytes are for listeners of the socket
  try {
    return JSON.parse(data);
  } catch {
    console.warn("a frame that is no JSON was left to listeners of the socket");
    return undefined;
  }
}
