/** The documented methods, over a real connection. */

import ReconnectingWebSocket from "partysocket/ws";
import { describe, expect, it, vi } from "vitest";

import { WebSocketBridge } from "../src/index.js";
import { bridgeFor, QUICK, TestServer, until } from "./server.js";

describe("messages", () => {
  it.each([undefined, () => 1, Symbol("s")])("that JSON cannot express are refused", (message) => {
    const bridge = new WebSocketBridge(QUICK);
    bridge.connect("ws://127.0.0.1:1/");
    expect(() => bridge.send(message)).toThrow(TypeError);
    bridge.close();
  });

  it("of no stream go to the listener, with null as their stream", async () => {
    const server = await TestServer.start();
    server.onconnect = () => server.send({ prop1: "value1" });
    const bridge = new WebSocketBridge(QUICK);
    const listener = vi.fn();
    bridge.connect(server.url);
    bridge.listen(listener);
    await until(() => listener.mock.calls.length);
    bridge.close();
    expect(listener.mock.calls).toEqual([[{ prop1: "value1" }, null]]);
  });

  it("of a stream go to its callback, and those of none that has one to the listener", async () => {
    const server = await TestServer.start();
    server.onconnect = () => {
      server.send({ stream: "mine", payload: { a: 1 } });
      server.send({ stream: "other", payload: { b: 2 } });
      server.send({ stream: "constructor", payload: { c: 3 } });
      server.send([1, 2]);
      server.send(null);
    };
    const bridge = bridgeFor();
    const mine = vi.fn();
    bridge.demultiplex("mine", mine);
    bridge.connect(server.url);
    await until(() => bridge.heard.length === 4);
    expect(mine.mock.calls).toEqual([[{ a: 1 }, "mine"]]);
    expect(bridge.heard).toEqual([["other", { b: 2 }], ["constructor", { c: 3 }], [1, 2], null]);
    expect(bridge.streams.mine).toBe(mine);
  });

  it("reach streams also where nobody listens", async () => {
    const server = await TestServer.start();
    server.onconnect = () => {
      server.send("to nobody");
      server.send({ stream: "unknown", payload: 0 });
      server.send({ stream: "mine", payload: 1 });
    };
    const bridge = bridgeFor();
    bridge.listen();
    const mine = vi.fn();
    bridge.connect(server.url);
    bridge.demultiplex("mine", vi.fn());
    bridge.demultiplex("mine", mine);
    await until(() => mine.mock.calls.length);
    expect(mine.mock.calls).toEqual([[1, "mine"]]);
  });

  it("that are no JSON stop nothing", async () => {
    const warned = vi.spyOn(console, "warn").mockImplementation(() => {});
    const server = await TestServer.start();
    server.onconnect = (socket) => {
      socket.send("{");
      socket.send(new Uint8Array([1]));
      server.send({ fine: true });
    };
    const bridge = bridgeFor();
    bridge.connect(server.url);
    await until(() => bridge.heard.length);
    expect(bridge.heard).toEqual([{ fine: true }]);
    expect(warned).toHaveBeenCalledOnce();
    warned.mockRestore();
  });

  it("are sent as JSON, plain or to a stream", async () => {
    const server = await TestServer.start();
    const bridge = bridgeFor();
    bridge.connect(server.url);
    expect(bridge.send({ prop1: "value1" })).toBe(true);
    await until(() => bridge.status.state === "connected");
    expect(bridge.stream("mystream").send({ prop2: "é" })).toBe(true);
    await until(() => server.received.length === 2);
    expect(server.received).toEqual([
      { prop1: "value1" },
      { stream: "mystream", payload: { prop2: "é" } },
    ]);
  });

  it("are not sent before there is a connection to be made", () => {
    expect(() => new WebSocketBridge().send({})).toThrow("call connect() first");
  });
});

describe("a connection", () => {
  it("is a ReconnectingWebSocket, to which listeners may be added", async () => {
    const server = await TestServer.start();
    const bridge = bridgeFor();
    expect(bridge.socket).toBeNull();
    bridge.connect(server.url);
    expect(bridge.socket).toBeInstanceOf(ReconnectingWebSocket);
    const opened = vi.fn();
    bridge.socket?.addEventListener("open", opened);
    await until(() => opened.mock.calls.length);
    expect(bridge.socket?.readyState).toBe(1);
  });

  it("has the protocols and the path that it is given", async () => {
    const server = await TestServer.start();
    const bridge = bridgeFor();
    bridge.connect(`${server.url}ws/?a=b`, ["wamp", "mqtt"]);
    await until(() => bridge.status.state === "connected");
    expect(server.paths).toEqual(["/ws/?a=b"]);
    expect(bridge.socket?.protocol).toBe("wamp");
  });

  it("replaces the earlier one", async () => {
    const server = await TestServer.start();
    const bridge = bridgeFor();
    bridge.connect(`${server.url}1`);
    await until(() => server.sockets.length === 1);
    bridge.connect(`${server.url}2`);
    await until(() => server.codes.length === 1 && bridge.status.state === "connected");
    expect(server.paths).toEqual(["/1", "/2"]);
    server.send({ still: "here" });
    await until(() => bridge.heard.length);
    expect(bridge.heard).toEqual([{ still: "here" }]);
  });

  it("is refused where the address is none", () => {
    const bridge = bridgeFor();
    expect(() => bridge.connect("ftp://127.0.0.1/")).toThrow(TypeError);
    expect(() => bridge.connect("/ws/")).toThrow("there is no page");
    expect(bridge.status.state).toBe("closed");
  });

  it("uses the platform's WebSocket where none is given", async () => {
    const server = await TestServer.start();
    server.onmessage = (_, message) => server.send(message);
    const bridge = bridgeFor({ WebSocket: undefined });
    bridge.connect(server.url);
    bridge.send({ echo: 1 });
    await until(() => bridge.heard.length);
    expect(bridge.heard).toEqual([{ echo: 1 }]);
  });
});

it("a string in the place of a listener is ignored, with a warning", () => {
  const warned = vi.spyOn(console, "warn").mockImplementation(() => {});
  const bridge = bridgeFor();
  const { default_cb } = bridge;
  bridge.listen("/ws/" as never);
  expect(bridge.default_cb).toBe(default_cb);
  expect(warned.mock.calls.join()).toContain("connect() the address");
  warned.mockRestore();
});
