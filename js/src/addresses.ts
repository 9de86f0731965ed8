/** Addresses of WebSockets, relative to the page or the worker that asks. */

/** What a page or a worker has of `Location`. */
type Place = Pick<Location, "host" | "href" | "origin">;

/**
 * The absolute address: `ws` for a page over HTTP, `wss` for one over HTTPS.
 *
 * A relative one is resolved as links of the page are; without any it is the root of its host.
 * Throws a TypeError for what is no address of a WebSocket.
 */
export function absolute(
  url = "/",
  place: Place | undefined = (globalThis as { location?: Place }).location,
): string {
  const resolved = resolve(url, place);
  resolved.protocol = resolved.protocol.replace(/^http/, "ws");
  resolved.hash = ""; // WebSockets have none
  if (!/^wss?:$/.test(resolved.protocol)) {
    throw new TypeError(`${url} is no address of a WebSocket: it begins with ws:, wss: or /`);
  }
  return resolved.href;
}

function resolve(url: string, place: Place | undefined): URL {
  // The address of a worker that was made of a blob has no host, but its origin has.
  const base = place?.host ? place.href : place?.origin;
  try {
    return new URL(url, base);
  } catch {
    const remedy = base ? "" : ": where there is no page, give all of it, as ws://host/path";
    throw new TypeError(`${url} is no address of a WebSocket${remedy}`);
  }
}
