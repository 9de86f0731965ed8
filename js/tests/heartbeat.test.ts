/** Half-open connections: lines that are dead, of which neither end was told. */

import { expect, it } from "vitest";

import { bridgeFor, Line, TestServer, until } from "./server.js";

const HEARTBEAT = { interval: 40, timeout: 10_000 };

async function connectedByLine(heartbeat: object) {
  const server = await TestServer.start();
  server.onmessage = (_, message) => server.send(message); // as a consumer does
  const line = await Line.to(server);
  const bridge = bridgeFor({ heartbeat: { ...HEARTBEAT, ...heartbeat } });
  bridge.connect(`ws://127.0.0.1:${line.port}/`);
  await until(() => bridge.status.state === "connected");
  return { server, line, bridge };
}

it("asks a silent server, on a stream, and keeps the answers to itself", async () => {
  const { server, bridge } = await connectedByLine({});
  await until(() => server.received.length === 3);
  expect(server.received).toEqual(
    [1, 2, 3].map((heartbeat) => ({ stream: "heartbeat", payload: { heartbeat } })),
  );
  expect(bridge.heard).toEqual([]);
  expect(server.sockets).toHaveLength(1);
});

it("asks with a plain message where there are no streams", async () => {
  const { server, bridge } = await connectedByLine({ stream: null });
  await until(() => server.received.length === 2);
  bridge.send({ heartbeat: 1, and: "more" });
  await until(() => bridge.heard.length);
  expect(server.received.slice(0, 2)).toEqual([{ heartbeat: 1 }, { heartbeat: 2 }]);
  expect(bridge.heard).toEqual([{ heartbeat: 1, and: "more" }]);
});

it("comes back by another connection when the line is dead", async () => {
  const { server, line, bridge } = await connectedByLine({ timeout: 300 });
  line.die();
  await until(() => server.sockets.length >= 2 && bridge.status.state === "connected");
  expect(bridge.told.find(({ state }) => state === "reconnecting")?.code).toBe(1006);
  server.send({ alive: true });
  await until(() => bridge.heard.length);
  expect(bridge.heard).toEqual([{ alive: true }]);
});

it("is off by default", async () => {
  const server = await TestServer.start();
  const bridge = bridgeFor();
  bridge.connect(server.url);
  bridge.send("only this");
  await until(() => server.received.length);
  expect(bridge.options.heartbeat).toBeUndefined();
  expect(server.received).toEqual(["only this"]);
});
