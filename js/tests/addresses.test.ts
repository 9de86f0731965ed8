/** Addresses, as pages and workers give them. */

import { describe, expect, it } from "vitest";

import { absolute } from "../src/addresses.js";

const PAGE = new URL("http://example.org:8000/blog/moon/?page=2#top");
const SECURE = new URL("https://example.org/blog/");

describe("an address", () => {
  it.each([
    [undefined, "ws://example.org:8000/"],
    ["/ws/", "ws://example.org:8000/ws/"],
    ["/ws/?after=3", "ws://example.org:8000/ws/?after=3"],
    ["stream/", "ws://example.org:8000/blog/moon/stream/"],
    ["?a=b", "ws://example.org:8000/blog/moon/?a=b"],
    ["//other.org/ws/", "ws://other.org/ws/"],
    ["ws://other.org/ws/", "ws://other.org/ws/"],
    ["wss://other.org/ws/#part", "wss://other.org/ws/"],
    ["https://other.org/ws/", "wss://other.org/ws/"],
  ])("%s is relative to the page", (url, expected) => {
    expect(absolute(url, PAGE)).toBe(expected);
  });

  it.each([
    [undefined, "wss://example.org/"],
    ["/ws/", "wss://example.org/ws/"],
    ["ws://example.org/ws/", "ws://example.org/ws/"],
  ])("%s is secure by the page", (url, expected) => {
    expect(absolute(url, SECURE)).toBe(expected);
  });

  it("is relative to the origin where a worker has no other address", () => {
    const worker = { href: "blob:http://a.org/1", host: "", origin: "http://a.org" };
    expect(absolute("/ws/", worker)).toBe("ws://a.org/ws/");
  });

  it.each(["ftp://example.org/", "file:///ws", "http://"])("%s is refused", (url) => {
    expect(() => absolute(url, PAGE)).toThrow(TypeError);
  });

  it("has to be whole where there is no page", () => {
    expect(absolute("ws://example.org/ws/", undefined)).toBe("ws://example.org/ws/");
    expect(() => absolute("/ws/", undefined)).toThrow("give all of it, as ws://host/path");
  });
});
