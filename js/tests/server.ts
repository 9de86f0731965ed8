/** A real WebSocket server, and a line to it that can go dead. */

import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Server, type Socket } from "node:net";

import { onTestFinished, vi } from "vitest";
import { WebSocket as NodeWebSocket, type WebSocket, WebSocketServer } from "ws";
import { type BridgeOptions, type Status, WebSocketBridge } from "../src/index.js";

/** Attempts come soon, so that no test waits. */
export const QUICK: BridgeOptions = {
  WebSocket: NodeWebSocket,
  minReconnectionDelay: 2,
  maxReconnectionDelay: 20,
  spread: 20,
};

/** A server that keeps what it receives; it ends with the test. */
export class TestServer {
  port = 0;
  /** Sockets that were opened, the last one last. */
  sockets: WebSocket[] = [];
  /** The address of each handshake. */
  paths: string[] = [];
  /** Messages, of all sockets, in the order in which they came. */
  received: unknown[] = [];
  /** The code with which each socket closed. */
  codes: number[] = [];
  /** Called with each socket and each message. */
  onconnect: (socket: WebSocket) => void = () => {};
  onmessage: (socket: WebSocket, message: unknown) => void = () => {};
  #server: WebSocketServer | null = null;

  static async start(): Promise<TestServer> {
    const server = new TestServer();
    await server.start();
    onTestFinished(() => server.kill());
    return server;
  }

  /** Where it is, or was. */
  get url(): string {
    return `ws://127.0.0.1:${this.port}/`;
  }

  /** The socket that was opened last. */
  get socket(): WebSocket {
    const socket = this.sockets.at(-1);
    if (!socket) throw new Error("nobody is connected");
    return socket;
  }

  /** Listen, after the first time where it listened before. */
  async start(): Promise<void> {
    this.#server = new WebSocketServer({
      host: "127.0.0.1",
      port: this.port,
      handleProtocols: (protocols) => [...protocols][0] ?? false,
    });
    this.#server.on("connection", (socket, request) => {
      this.paths.push(request.url ?? "");
      this.#keep(socket);
    });
    await once(this.#server, "listening");
    this.port = (this.#server.address() as AddressInfo).port;
  }

  /** End as a crash does: no close frame, and nobody listens. */
  async kill(): Promise<void> {
    const server = this.#server;
    this.#server = null;
    if (!server) return;
    for (const socket of server.clients) socket.terminate();
    await new Promise((resolve) => server.close(resolve));
  }

  /** Send to the socket that was opened last. */
  send(message: unknown): void {
    this.socket.send(JSON.stringify(message));
  }

  #keep(socket: WebSocket): void {
    this.sockets.push(socket);
    socket.on("close", (code) => this.codes.push(code));
    socket.on("message", (data) => {
      const message = JSON.parse(data.toString());
      this.received.push(message);
      this.onmessage(socket, message);
    });
    this.onconnect(socket);
  }
}

/** A line to a server that can go dead: nothing passes, and neither end is told. */
export class Line {
  port = 0;
  /** Accept connections, and let nothing of them pass. */
  isDead = false;
  #server: Server | null = null;
  #sockets: Socket[] = [];

  static async to(server: TestServer): Promise<Line> {
    const line = new Line();
    line.#server = createServer((near) => {
      const far = connect(server.port, "127.0.0.1");
      for (const socket of [near, far]) socket.on("error", () => {});
      if (!line.isDead) near.pipe(far).pipe(near);
      line.#sockets.push(near, far);
    });
    line.#server.listen(0, "127.0.0.1");
    await once(line.#server, "listening");
    line.port = (line.#server.address() as AddressInfo).port;
    onTestFinished(() => line.#end());
    return line;
  }

  /** Let nothing pass any more on connections that are open. */
  die(): void {
    for (const socket of this.#sockets) {
      socket.unpipe();
      socket.pause();
    }
  }

  #end(): void {
    for (const socket of this.#sockets) socket.destroy();
    this.#server?.close();
  }
}

/** A bridge that ends with the test, and keeps what it tells of its status. */
export function bridgeFor(
  options: BridgeOptions = {},
): WebSocketBridge & { told: Status[]; heard: unknown[] } {
  const bridge = Object.assign(new WebSocketBridge({ ...QUICK, ...options }), {
    told: [] as Status[],
    heard: [] as unknown[],
  });
  bridge.onstatus = (status) => bridge.told.push(status);
  bridge.listen((action, stream) => bridge.heard.push(stream === null ? action : [stream, action]));
  onTestFinished(() => bridge.close());
  return bridge;
}

/** Wait until `condition` holds. */
export function until(condition: () => unknown): Promise<void> {
  return vi.waitFor(
    () => {
      if (!condition()) throw new Error(`not true in time: ${condition}`);
    },
    { timeout: 10_000, interval: 2 },
  );
}
