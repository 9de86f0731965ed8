/** Connections that are lost, and what is sent meanwhile. */

import { describe, expect, it, vi } from "vitest";

import type { BridgeOptions } from "../src/index.js";
import { bridgeFor, Line, TestServer, until } from "./server.js";

async function connected(options: BridgeOptions = {}) {
  const server = await TestServer.start();
  const bridge = bridgeFor(options);
  bridge.connect(server.url);
  await until(() => bridge.status.state === "connected");
  return { server, bridge };
}

describe("a connection comes back", () => {
  it("after the server died and was started again", async () => {
    const { server, bridge } = await connected();
    await server.kill();
    await until(() => bridge.status.attempt > 3);
    await server.start();
    await until(() => bridge.status.state === "connected");
    server.send({ back: true });
    await until(() => bridge.heard.length);
    expect(bridge.heard).toEqual([{ back: true }]);
  });

  it.each([1000, 1001, 1011, 1012, 1013, 4000])("after a close with %i", async (code) => {
    const { server, bridge } = await connected();
    server.socket.close(code);
    await until(() => server.sockets.length === 2 && bridge.status.state === "connected");
    expect(bridge.told.find(({ state }) => state === "reconnecting")?.code).toBe(code);
  });

  it("after a handshake that took too long", async () => {
    const { server, bridge } = await connected({ connectionTimeout: 30 });
    const line = await Line.to(server);
    line.isDead = true;
    bridge.connect(`ws://127.0.0.1:${line.port}/`);
    await until(() => bridge.status.attempt > 2);
    expect(bridge.status.code).toBe(1006);
    line.isDead = false;
    await until(() => bridge.status.state === "connected");
  });

  it("at once when the network is back", async () => {
    const platform = new EventTarget();
    vi.stubGlobal("addEventListener", platform.addEventListener.bind(platform));
    vi.stubGlobal("removeEventListener", platform.removeEventListener.bind(platform));
    const { server, bridge } = await connected({
      minReconnectionDelay: 3_600_000,
      maxReconnectionDelay: 3_600_000,
    });
    await server.kill();
    await until(() => bridge.status.state === "reconnecting");
    await server.start();
    await until(() => {
      platform.dispatchEvent(new Event("online"));
      return bridge.status.state === "connected";
    });
    bridge.close();
    vi.unstubAllGlobals();
  });

  it("at once when the page asks", async () => {
    const hour = 3_600_000;
    const { server, bridge } = await connected({
      minReconnectionDelay: hour,
      maxReconnectionDelay: hour,
    });
    server.socket.terminate();
    await until(() => bridge.status.state === "reconnecting");
    bridge.socket?.reconnect();
    await until(() => bridge.status.state === "connected");
    bridge.socket?.reconnect(1006);
    await until(() => server.sockets.length === 3 && bridge.status.state === "connected");
    await until(() => server.codes.length === 2);
    expect(server.codes).toEqual([1006, 1000]);
  });

  it("with an address that is made anew each time", async () => {
    const server = await TestServer.start();
    const bridge = bridgeFor();
    let count = 0;
    bridge.connect(async () => `${server.url}?after=${++count}`);
    await until(() => server.sockets.length === 1);
    server.socket.close(1011);
    await until(() => server.sockets.length === 2);
    expect(server.paths).toEqual(["/?after=1", "/?after=2"]);
  });

  it("also when an address could not be made", async () => {
    const logged = vi.spyOn(console, "error").mockImplementation(() => {});
    const server = await TestServer.start();
    const bridge = bridgeFor();
    const addresses = [
      () => Promise.reject(new Error("no token")),
      () => "ftp://nowhere/",
      () => server.url,
    ];
    bridge.connect(() => addresses.shift()?.() ?? server.url);
    await until(() => bridge.status.state === "connected");
    expect(logged).toHaveBeenCalledTimes(2);
    expect(bridge.told.map(({ state }) => state)).toEqual([
      "connecting",
      "reconnecting",
      "reconnecting",
      "connected",
    ]);
    logged.mockRestore();
  });
});

describe("a connection ends", () => {
  it("with 1008, whatever the options say", async () => {
    const { server, bridge } = await connected({ finalCodes: [] });
    server.socket.close(1008);
    await until(() => bridge.status.state === "closed");
    expect(bridge.status.code).toBe(1008);
    expect(bridge.send("unheard")).toBe(false);
    expect(bridge.socket?.shouldReconnect).toBe(false);
  });

  it("with codes of the application, by option", async () => {
    const finalCodes = (code: number) => code >= 4000;
    const { server, bridge } = await connected({ finalCodes });
    server.socket.close(4003);
    await until(() => bridge.status.state === "closed");
    expect(bridge.status.code).toBe(4003);
  });

  it("after too many attempts, and can be begun anew", async () => {
    const { server, bridge } = await connected({ maxRetries: 2 });
    await server.kill();
    await until(() => bridge.status.state === "closed");
    expect(bridge.told.filter(({ state }) => state === "reconnecting")).toHaveLength(2);
    await server.start();
    bridge.connect(server.url);
    await until(() => bridge.status.state === "connected");
    server.socket.close(1008);
    await until(() => bridge.status.state === "closed");
    bridge.socket?.reconnect();
    await until(() => bridge.status.state === "connected");
  });

  it("when the page closes it", async () => {
    const { server, bridge } = await connected();
    bridge.close(4321, "enough");
    expect(bridge.status.state).toBe("closed");
    await until(() => server.codes.length);
    expect(server.codes).toEqual([4321]);
    bridge.close();
  });

  it.each(["x".repeat(124), "ä".repeat(62)])("with a reason that is too long", async (reason) => {
    const { server, bridge } = await connected();
    bridge.close(3000, reason);
    await until(() => server.codes.length);
    expect(server.codes).toEqual([3000]);
  });

  it("when the page closes it while it is away", async () => {
    const { server, bridge } = await connected();
    await server.kill();
    await until(() => bridge.status.state === "reconnecting");
    bridge.close();
    await server.start();
    bridge.connect(server.url);
    await until(() => bridge.status.state === "connected");
    expect(server.sockets).toHaveLength(2);
  });

  it.each([1006, 1005, 0, 99999])(
    "and %i, which no client may send, throws nothing",
    async (code) => {
      const { server, bridge } = await connected();
      expect(() => bridge.socket?.close(code)).not.toThrow();
      await until(() => server.codes.length);
      expect(server.codes).toEqual([1000]);
    },
  );
});

describe("close events", () => {
  it("have the code, also where none came", async () => {
    const { server, bridge } = await connected();
    const codes: unknown[] = [];
    bridge.socket?.addEventListener("close", (event) => codes.push(event.code));
    server.socket.close(4001);
    await until(() => codes.length);
    await until(() => bridge.status.state === "connected");
    server.socket.terminate();
    await until(() => codes.length === 2);
    expect(codes).toEqual([4001, 1006]);
  });
});

describe("messages that are sent while there is no connection", () => {
  it("wait, and come in order, before later ones", async () => {
    const { server, bridge } = await connected();
    await server.kill();
    await until(() => bridge.status.state === "reconnecting");
    for (let number = 0; number < 50; number++) expect(bridge.send(number)).toBe(true);
    bridge.onstatus = ({ state }) => {
      if (state === "connected") bridge.send("later");
    };
    await server.start();
    await until(() => server.received.length === 51);
    expect(server.received).toEqual([...Array(50).keys(), "later"]);
  });

  it("wait up to a bound, and those beyond it are refused", async () => {
    const { server, bridge } = await connected({ maxEnqueuedMessages: 3 });
    for (const round of [1, 2]) {
      await server.kill();
      await until(() => bridge.status.state === "reconnecting");
      const sent = [1, 2, 3, 4, 5].map((number) => bridge.send(round * number));
      expect(sent).toEqual([true, true, true, false, false]);
      await server.start();
      await until(() => server.received.length === 3 * round);
    }
    expect(server.received).toEqual([1, 2, 3, 2, 4, 6]);
  });

  it("count with those that were sent by the socket itself", async () => {
    const { server, bridge } = await connected({ maxEnqueuedMessages: 2 });
    await server.kill();
    await until(() => bridge.status.state === "reconnecting");
    bridge.socket?.send('"raw"');
    expect([bridge.send(1), bridge.send(2)]).toEqual([true, false]);
    await server.start();
    await until(() => server.received.length === 2);
    expect(server.received).toEqual(["raw", 1]);
  });

  it("are dropped where the server wants no more of the page", async () => {
    const { server, bridge } = await connected();
    await server.kill();
    await until(() => bridge.status.state === "reconnecting");
    bridge.send("dropped");
    server.onconnect = (socket) => socket.close(1008);
    await server.start();
    await until(() => bridge.status.state === "closed");
    server.onconnect = () => {};
    server.received = [];
    bridge.socket?.reconnect();
    await until(() => bridge.status.state === "connected");
    bridge.send("kept");
    await until(() => server.received.length);
    expect(server.received).toEqual(["kept"]);
  });

  it("are dropped by a close", async () => {
    const { server, bridge } = await connected();
    await server.kill();
    await until(() => bridge.status.state === "reconnecting");
    bridge.send("dropped");
    bridge.close();
    await server.start();
    bridge.connect(server.url);
    bridge.send("kept");
    await until(() => server.received.length);
    expect(server.received).toEqual(["kept"]);
  });
});

describe("the status", () => {
  it("tells each change once, with codes, attempts and delays", async () => {
    const { server, bridge } = await connected({ minReconnectionDelay: 30, maxRetries: 1 });
    server.socket.close(4001);
    await until(() => bridge.status.state === "reconnecting");
    expect(bridge.status).toMatchObject({ code: 4001, attempt: 1 });
    expect(bridge.status.delay).toBeLessThanOrEqual(30);
    await until(() => bridge.status.state === "connected");
    await server.kill();
    await until(() => bridge.told.at(-1)?.state === "closed");
    expect(bridge.told.map(({ state }) => state)).toEqual([
      "connecting",
      "connected",
      "reconnecting",
      "connected",
      "closed",
    ]);
  });

  it("is the page's to fail on, and nobody else's", async () => {
    const failures: unknown[] = [];
    const onFailure = (error: unknown) => failures.push(error);
    const earlier = process.listeners("uncaughtException");
    process.removeAllListeners("uncaughtException");
    process.on("uncaughtException", onFailure);
    try {
      const { server, bridge } = await connected();
      bridge.onstatus = () => {
        throw new Error("a mistake in the page");
      };
      server.socket.close(1011);
      await until(() => server.sockets.length === 2 && bridge.status.state === "connected");
      await until(() => failures.length === 2);
      bridge.onstatus = null;
    } finally {
      process.off("uncaughtException", onFailure);
      for (const listener of earlier) process.on("uncaughtException", listener);
    }
  });
});
