/** Collections that follow data binding: what was created, updated and deleted, by primary key. */

import { ceiling } from "./attempts.js";
import type { Settings } from "./options.js";

/** What data binding tells, and is asked for. */
export type Action = "create" | "update" | "delete";

/** A message of data binding. */
export interface Payload<K = unknown, V = unknown> {
  action: Action;
  pk: K;
  data: V;
  /** The label of the model, as `values.integervalue`. */
  model?: string;
}

/** What is kept in step: a Map, or anything that has these of its methods. */
export interface Collection<K, V> {
  get(key: K): V | undefined;
  set(key: K, value: V): unknown;
  delete(key: K): unknown;
  keys(): Iterable<K>;
}

/** How a collection is bound. */
export interface BindOptions<K, V> {
  /**
   * Gives all rows, as pairs of key and value. Called after each connect, since data binding has
   * no history; what is told meanwhile is applied afterwards. Without it a collection keeps what
   * it has when the connection is lost, also what was deleted meanwhile.
   */
  load?: () => Iterable<readonly [K, V]> | Promise<Iterable<readonly [K, V]>>;
}

/** A collection in step with a stream, and what asks the server for changes. */
export class BoundCollection<K, V extends object> {
  readonly #collection: Collection<K, V>;
  readonly #load: BindOptions<K, V>["load"];
  readonly #send: (payload: object) => boolean;
  readonly #settings: () => Settings;
  /** What was told since the load began, while one is under way. */
  #told: Payload<K, V>[] | null = null;
  #timer: ReturnType<typeof setTimeout> | undefined;

  /** @internal */
  constructor(
    collection: Collection<K, V>,
    { load }: BindOptions<K, V>,
    send: (payload: object) => boolean,
    settings: () => Settings,
  ) {
    this.#collection = collection;
    this.#load = load;
    this.#send = send;
    this.#settings = settings;
  }

  /** Ask for a new row; false where the message could be neither sent nor queued. */
  create(data: Partial<V>): boolean {
    return this.#send({ action: "create", data });
  }

  /** Ask for other values of some fields. */
  update(pk: K, data: Partial<V>): boolean {
    return this.#send({ action: "update", pk, data });
  }

  /** Ask for the end of a row. */
  delete(pk: K): boolean {
    return this.#send({ action: "delete", pk });
  }

  /** @internal The connection is open: load what was missed. */
  opened(): void {
    if (this.#load) this.#reload(this.#load, 1);
  }

  /** @internal The connection, or the stream, is lost: what is being loaded comes too late. */
  lost(): void {
    clearTimeout(this.#timer);
    this.#told = null;
  }

  /** @internal A message of the stream. */
  take(payload: Payload<K, V>): void {
    if (this.#told) this.#told.push(payload);
    else this.#apply(payload);
  }

  async #reload(load: NonNullable<BindOptions<K, V>["load"]>, failures: number): Promise<void> {
    this.lost();
    const told: Payload<K, V>[] = [];
    this.#told = told;
    const isCurrent = () => this.#told === told;
    try {
      const rows = new Map(await load());
      if (isCurrent()) this.#replace(rows, told);
    } catch (error) {
      console.error(error);
      if (!isCurrent()) return;
      const delay = Math.random() * ceiling(this.#settings(), failures);
      this.#timer = setTimeout(() => this.#reload(load, failures + 1), delay);
    }
  }

  #replace(rows: Map<K, V>, told: Payload<K, V>[]): void {
    this.#told = null;
    for (const key of [...this.#collection.keys()]) {
      if (!rows.has(key)) this.#collection.delete(key);
    }
    for (const [key, value] of rows) this.#collection.set(key, value);
    for (const payload of told) this.#apply(payload);
  }

  #apply({ action, pk, data }: Payload<K, V>): void {
    if (action === "delete") this.#collection.delete(pk);
    else if (action === "create") this.#collection.set(pk, data);
    else if (action === "update") {
      this.#collection.set(pk, { ...this.#collection.get(pk), ...data });
    }
  }
}
