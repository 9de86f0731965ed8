/** Signs of life: what shows that a connection is open at one end alone. */

/** Asks where nothing was heard for a while, and gives up where that brings no answer. */
export class Heartbeat {
  readonly #interval: number;
  readonly #timeout: number;
  readonly #ask: () => void;
  readonly #giveUp: () => void;
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(
    { interval, timeout }: { interval: number; timeout: number },
    ask: () => void,
    giveUp: () => void,
  ) {
    this.#interval = interval;
    this.#timeout = timeout;
    this.#ask = ask;
    this.#giveUp = giveUp;
  }

  /** The connection is open, or a frame came. */
  heard(): void {
    this.stop();
    this.#timer = setTimeout(() => {
      this.#timer = setTimeout(this.#giveUp, this.#timeout);
      this.#ask();
    }, this.#interval);
  }

  /** There is no connection. */
  stop(): void {
    clearTimeout(this.#timer);
  }
}
