/** Collections in step with what a server tells. */

import { describe, expect, it, vi } from "vitest";

import type { Action } from "../src/index.js";
import { bridgeFor, TestServer, until } from "./server.js";

interface Value {
  name: string;
  value: number;
}

/** A server that tells changes of values, and a collection bound to it. */
async function bound(load?: () => Promise<[number, Value][]>) {
  const server = await TestServer.start();
  const bridge = bridgeFor();
  const values = new Map<number, Value>();
  const handle = bridge.bind("intval", values, load ? { load } : {});
  bridge.connect(server.url);
  await until(() => bridge.status.state === "connected");
  const tell = (action: Action, pk: number, data: Partial<Value> = {}) =>
    server.send({ stream: "intval", payload: { action, pk, data, model: "values.value" } });
  /** Waits until all that was told has come. */
  const settle = async () => {
    const before = bridge.heard.length;
    server.send("all");
    await until(() => bridge.heard.length > before);
  };
  return { server, bridge, values, handle, tell, settle };
}

describe("a collection", () => {
  it("follows what is created, updated and deleted", async () => {
    const { values, tell, settle } = await bound();
    tell("create", 1, { name: "one", value: 1 });
    tell("create", 2, { name: "two", value: 0 });
    tell("update", 2, { value: 2 });
    tell("update", 3, { name: "three", value: 3 });
    tell("delete", 1);
    tell("delete", 9);
    tell("truncate" as Action, 2);
    await settle();
    expect([...values]).toEqual([
      [2, { name: "two", value: 2 }],
      [3, { name: "three", value: 3 }],
    ]);
  });

  it("may be anything with the methods of a Map that are used", async () => {
    const calls: unknown[] = [];
    const page = {
      get: () => undefined,
      set: (...row: unknown[]) => calls.push(["set", ...row]),
      delete: (key: string) => calls.push(["delete", key]),
      keys: () => [],
    };
    const server = await TestServer.start();
    const bridge = bridgeFor();
    bridge.connect(server.url);
    await until(() => bridge.status.state === "connected");
    bridge.bind<string, object>("s", page);
    server.send({ stream: "s", payload: { action: "create", pk: "a", data: { x: 1 } } });
    server.send({ stream: "s", payload: { action: "delete", pk: "a", data: {} } });
    await until(() => calls.length === 2);
    expect(calls).toEqual([
      ["set", "a", { x: 1 }],
      ["delete", "a"],
    ]);
  });

  it("is bound no more once its stream is taken by something else", async () => {
    const load = vi.fn(async (): Promise<[number, Value][]> => []);
    const { server, bridge, values, tell, settle } = await bound(load);
    const other = vi.fn();
    bridge.demultiplex("intval", other);
    server.socket.terminate();
    await until(() => server.sockets.length === 2 && bridge.status.state === "connected");
    tell("create", 1, { name: "one", value: 1 });
    await settle();
    expect(load).toHaveBeenCalledOnce();
    expect(values.size).toBe(0);
    expect(other).toHaveBeenCalledOnce();
  });

  it("asks for changes", async () => {
    const { server, handle } = await bound();
    expect(handle.create({ name: "one" })).toBe(true);
    handle.update(1, { value: 2 });
    handle.delete(1);
    await until(() => server.received.length === 3);
    expect(server.received).toEqual([
      { stream: "intval", payload: { action: "create", data: { name: "one" } } },
      { stream: "intval", payload: { action: "update", pk: 1, data: { value: 2 } } },
      { stream: "intval", payload: { action: "delete", pk: 1 } },
    ]);
  });
});

describe("a collection that is loaded", () => {
  it("has what was there, and then what was told meanwhile", async () => {
    const gate = withResolvers();
    const load = async (): Promise<[number, Value][]> => {
      await gate.promise;
      return [
        [1, { name: "one", value: 1 }],
        [2, { name: "two", value: 2 }],
      ];
    };
    const { values, tell, settle } = await bound(load);
    tell("update", 1, { value: 10 });
    tell("delete", 2);
    tell("create", 3, { name: "three", value: 3 });
    await settle();
    expect(values.size).toBe(0);
    gate.resolve(undefined);
    await until(() => values.size);
    expect([...values]).toEqual([
      [1, { name: "one", value: 10 }],
      [3, { name: "three", value: 3 }],
    ]);
  });

  it("is loaded at once where the connection is open", async () => {
    const { bridge } = await bound();
    const values = new Map<number, Value>();
    bridge.bind("other", values, { load: () => [[1, { name: "one", value: 1 }]] });
    await until(() => values.size);
  });

  it("is loaded again after each connect, and forgets what is gone", async () => {
    const rows: [number, Value][][] = [
      [
        [1, { name: "one", value: 1 }],
        [2, { name: "two", value: 2 }],
      ],
      [[2, { name: "two", value: 22 }]],
    ];
    const { server, values } = await bound(async () => rows.shift() ?? []);
    await until(() => values.size === 2);
    await server.kill();
    await server.start();
    await until(() => values.size === 1);
    expect(values.get(2)).toEqual({ name: "two", value: 22 });
  });

  it("is not loaded by an answer that comes after the connection was lost", async () => {
    const answers: ((rows: [number, Value][]) => void)[] = [];
    const load = () => new Promise<[number, Value][]>((resolve) => answers.push(resolve));
    const { server, values } = await bound(load);
    await until(() => answers.length === 1);
    await server.kill();
    await server.start();
    await until(() => answers.length === 2);
    answers[1]?.([[2, { name: "new", value: 2 }]]);
    answers[0]?.([[1, { name: "old", value: 1 }]]);
    await until(() => values.size);
    expect([...values.keys()]).toEqual([2]);
  });

  it("is not loaded any more once its stream is bound anew", async () => {
    const answers: ((rows: [number, Value][]) => void)[] = [];
    const load = () => new Promise<[number, Value][]>((resolve) => answers.push(resolve));
    const { bridge, values } = await bound(load);
    const others = new Map<number, Value>();
    bridge.bind("intval", others, { load });
    answers[0]?.([[1, { name: "old", value: 1 }]]);
    answers[1]?.([[2, { name: "new", value: 2 }]]);
    await until(() => others.size);
    expect(values.size).toBe(0);
  });

  it("is loaded again where that failed", async () => {
    const logged = vi.spyOn(console, "error").mockImplementation(() => {});
    let failures = 2;
    const { values, tell, settle } = await bound(async () => {
      if (failures-- > 0) throw new Error("503");
      return [[1, { name: "one", value: 1 }]];
    });
    await until(() => values.size);
    tell("update", 1, { value: 2 });
    await settle();
    expect(values.get(1)).toEqual({ name: "one", value: 2 });
    expect(logged).toHaveBeenCalledTimes(2);
    logged.mockRestore();
  });
});

function withResolvers() {
  let resolve: (value: unknown) => void = () => {};
  const promise = new Promise((done) => {
    resolve = done;
  });
  return { promise, resolve };
}
