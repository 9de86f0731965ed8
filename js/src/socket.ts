/** The reconnecting socket, with attempts that are spread and end where they have to. */

import ReconnectingWebSocket, { CloseEvent, type Message } from "partysocket/ws";

import { absolute } from "./addresses.js";
import { ABNORMAL, Attempts } from "./attempts.js";
import type { Settings } from "./options.js";

/** An address, or what gives one for each attempt. */
export type Address = string | (() => string | Promise<string>);

/** Bytes: 125 of a control frame, less those of the code. */
const MOST_OF_A_REASON = 123;

/** A ReconnectingWebSocket that takes its time from `Attempts`. */
export class BridgeSocket extends ReconnectingWebSocket {
  readonly attempts: Attempts;
  /** How many messages wait for a connection. */
  waiting = 0;
  readonly #settings: Settings;
  readonly #address: Address;
  #endPause: () => void = () => {};

  constructor(address: Address, protocols: string | string[] | undefined, settings: Settings) {
    // It asks for the address before each attempt, and has it when the attempt is due.
    super(() => this.#next(), protocols ?? null, {
      WebSocket: settings.WebSocket,
      connectionTimeout: settings.connectionTimeout,
      debug: settings.debug,
      maxEnqueuedMessages: settings.maxEnqueuedMessages,
      maxReconnectionDelay: 0,
      minReconnectionDelay: 0,
      shouldReconnectOnClose: (event) => this.#goesOnAfter(codeOf(event)),
    });
    this.#address = address;
    this.#settings = settings;
    this.attempts = new Attempts(settings);
    this.addEventListener("open", () => {
      this.waiting = 0; // all of them are sent by now
      this.attempts.opened();
    });
    this.#watchNetwork(true);
  }

  /** Whether one more message is sent, or waits to be sent. */
  get hasRoom(): boolean {
    if (this.attempts.status.state === "closed") return false;
    return this.readyState === this.OPEN || this.waiting < this.#settings.maxEnqueuedMessages;
  }

  override send(data: Message): boolean {
    const isSent = super.send(data);
    if (!isSent && this.waiting < this.#settings.maxEnqueuedMessages) this.waiting++;
    return isSent;
  }

  override close(code = 1000, reason?: string): void {
    const fitting = cut(reason);
    this.attempts.ended(code);
    this.#endPause();
    super.close(sendable(code), fitting);
    this.#leave();
  }

  override reconnect(code?: number, reason?: string): void {
    this.attempts.restarted();
    this.#watchNetwork(true);
    super.reconnect(code && sendable(code), cut(reason));
    this.#hurry();
  }

  /** Give up a connection over which nothing comes; come back as from any that is lost. */
  drop(): void {
    super.reconnect();
  }

  override dispatchEvent(event: Event): boolean {
    // The copies of close events that no browser made come without their code.
    const isBroken = event.type === "close" && typeof (event as CloseEvent).code !== "number";
    return super.dispatchEvent(isBroken ? new CloseEvent(ABNORMAL, "", this) : event);
  }

  /** The address, once the next attempt is due; any, if there is none any more. */
  async #next(): Promise<string> {
    for (;;) {
      this.attempts.begin();
      await this.#pause();
      if (this.attempts.status.state === "closed") {
        this.close();
        return "";
      }
      try {
        const address = this.#address;
        return absolute(typeof address === "string" ? address : await address());
      } catch (error) {
        console.error(error);
      }
    }
  }

  /** The connection, or an attempt, was lost: whether there is a next attempt. */
  #goesOnAfter(code: number): boolean {
    const goesOn = this.attempts.lost(code);
    if (!goesOn) this.#leave();
    return goesOn;
  }

  /** Nothing follows: drop what waits to be sent. */
  #leave(): void {
    this.#watchNetwork(false);
    this.drainQueuedMessages();
    this.waiting = 0;
  }

  /** Try at once when the network is back; or leave that. */
  #watchNetwork(isOn: boolean): void {
    if (isOn) globalThis.addEventListener?.("online", this.#hurry);
    else globalThis.removeEventListener?.("online", this.#hurry);
  }

  #pause(): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, this.attempts.status.delay);
      this.#endPause = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }

  readonly #hurry = (): void => {
    this.attempts.hurried();
    this.#endPause();
  };
}

/** The code of a close: events that no browser made stand for a connection that failed. */
function codeOf(event: CloseEvent): number {
  return event instanceof CloseEvent ? ABNORMAL : (event as { code: number }).code;
}

/** A reason as long as a close frame may have it (RFC 6455, 5.5); browsers throw at a longer one. */
function cut(reason?: string): string | undefined {
  const bytes = reason === undefined ? [] : new TextEncoder().encode(reason);
  if (bytes.length <= MOST_OF_A_REASON) return reason;
  const { read } = new TextEncoder().encodeInto(reason as string, new Uint8Array(MOST_OF_A_REASON));
  return reason?.slice(0, read);
}

/** The code that stands for `code` in a close frame: a client may send no others. */
function sendable(code: number): number {
  return code >= 3000 && code <= 4999 ? code : 1000;
}
