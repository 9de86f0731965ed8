/** What a page may show of its connection. */

/**
 * - `connecting`: the first attempt;
 * - `connected`: frames go to and fro;
 * - `reconnecting`: the connection is lost, another attempt follows or is under way;
 * - `closed`: there will be no further attempt, because of `close()`, of the code with which the
 *   server closed, or of `maxRetries`.
 */
export type State = "connecting" | "connected" | "reconnecting" | "closed";

/** The state of a connection, given to `onstatus` whenever it changes. */
export interface Status {
  state: State;
  /** The close code of the connection that was lost: 1006 where there was no close frame. */
  code: number | null;
  /** Attempts since the last connection; 0 while connected. */
  attempt: number;
  /** Milliseconds until the next attempt. */
  delay: number;
}
