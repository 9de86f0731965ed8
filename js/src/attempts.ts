/** When to connect again, and when not to: exponential back-off with full jitter. */

import type { Settings } from "./options.js";
import type { State, Status } from "./status.js";

/** Policy violation (RFC 6455, 7.4.1): what was refused once is refused again. */
const POLICY_VIOLATION = 1008;

/** Abnormal closure: no close frame came. */
export const ABNORMAL = 1006;

/** Service restart, and try again later: many were told so, and all would come back at once. */
const TOLD_TO_MANY = [1012, 1013];

type BackOff = Pick<
  Settings,
  "minReconnectionDelay" | "maxReconnectionDelay" | "reconnectionDelayGrowFactor"
>;

/** The most milliseconds to wait after so many failures in a row. */
export function ceiling(settings: BackOff, failures: number): number {
  const grown =
    settings.minReconnectionDelay * settings.reconnectionDelayGrowFactor ** (failures - 1);
  return Math.min(settings.maxReconnectionDelay, grown);
}

/** The attempts of one socket to connect: decides, and does nothing itself. */
export class Attempts {
  status: Status = { state: "connecting", code: null, attempt: 0, delay: 0 };
  /** Called when `status` has changed. */
  onchange: () => void = () => {};
  readonly #settings: Settings;
  readonly #random: () => number;
  readonly #now: () => number;
  #failures = 0;
  #isUnderWay = false;
  #openSince: number | null = null;

  constructor(settings: Settings, random = Math.random, now = () => performance.now()) {
    this.#settings = settings;
    this.#random = random;
    this.#now = now;
  }

  /** Begin an attempt; the earlier one failed where nothing was said of it. */
  begin(): void {
    if (this.#isUnderWay) this.lost(ABNORMAL);
    this.#isUnderWay = true;
  }

  /** The connection is open. */
  opened(): void {
    this.#openSince = this.#now();
    this.#change("connected", null, 0);
  }

  /** The connection, or an attempt, was lost with `code`: whether there is a next attempt. */
  lost(code: number): boolean {
    if (this.status.state === "closed") return false;
    const wasStable =
      this.#openSince !== null && this.#now() - this.#openSince >= this.#settings.minUptime;
    this.#failures = wasStable ? 1 : this.#failures + 1;
    this.#isUnderWay = false;
    this.#openSince = null;
    if (this.#isFinal(code) || this.#failures > this.#settings.maxRetries) {
      this.#change("closed", code, this.#failures);
      return false;
    }
    this.#change("reconnecting", code, this.#failures, this.#random() * this.#ceiling(code));
    return true;
  }

  /** There is no further attempt. */
  ended(code: number): void {
    if (this.status.state !== "closed") this.#change("closed", code, this.#failures);
  }

  /** The next attempt is made at once. */
  hurried(): void {
    if (this.status.delay > 0) this.status = { ...this.status, delay: 0 };
  }

  /** Go on as if nothing had failed or ended. */
  restarted(): void {
    this.#failures = 0;
    if (this.status.state !== "closed") return;
    this.#isUnderWay = false;
    this.#change("connecting", null, 0);
  }

  #isFinal(code: number): boolean {
    const { finalCodes } = this.#settings;
    const isAsked = typeof finalCodes === "function" ? finalCodes(code) : finalCodes.includes(code);
    return code === POLICY_VIOLATION || isAsked;
  }

  #ceiling(code: number): number {
    const grown = ceiling(this.#settings, this.#failures);
    return TOLD_TO_MANY.includes(code) ? Math.max(grown, this.#settings.spread) : grown;
  }

  #change(state: State, code: number | null, attempt: number, delay = 0): void {
    this.status = { state, code, attempt, delay };
    this.onchange();
  }
}
