/**
 * Packs the package as it would be published, and uses it: the files are those that are meant,
 * `import` and `require` work without a bundler, and both find their types.
 */

import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readdirSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const ROOT = dirname(dirname(fileURLToPath(import.meta.url)));

/** Each source has its types, for either kind of module. */
const TYPES = readdirSync(join(ROOT, "js/src")).flatMap((file) => {
  const name = `js/lib/${file.replace(/\.ts$/, "")}`;
  return [`${name}.d.cts`, `${name}.d.ts`];
});

const MEANT = [
  "LICENSE",
  "README.md",
  "channels/static/channels/js/websocketbridge.js",
  "js/README.md",
  "js/lib/index.cjs",
  "js/lib/index.js",
  "package.json",
  ...TYPES,
].sort();

const USE = `
const bridge: WebSocketBridge = new WebSocketBridge({ finalCodes: [4001] });
bridge.onstatus = ({ state, delay }: Status) => console.log(state, delay + 1);
bridge.socket?.addEventListener("open", () => {});
const rows = bridge.bind("rows", new Map<number, { name: string }>());
const isSent: boolean = rows.update(1, { name: "one" });
// @ts-expect-error: rows have no such field
rows.update(1, { size: isSent });
`;

/** Nobody listens where it connects, and its next attempt is hours away when it is closed. */
const END = `
const HOUR = 3_600_000;
const bridge = new WebSocketBridge({
  WebSocket, minReconnectionDelay: HOUR, maxReconnectionDelay: HOUR, heartbeat: true,
});
bridge.onstatus = ({ state }) => {
  if (state === "reconnecting") setTimeout(() => bridge.close(), 50);
  if (state === "closed") console.log(state);
};
bridge.connect("ws://127.0.0.1:1/");
`;

function run(folder, program, ...args) {
  return execFileSync(program, args, { cwd: folder, encoding: "utf8", timeout: 60_000 });
}

/** Unpack the package where `folder` finds it by name, with its dependency. */
function install(folder) {
  const options = ["--json", "--ignore-scripts", "--pack-destination", folder];
  const [packed] = JSON.parse(run(ROOT, "npm", "pack", ...options));
  const files = packed.files.map(({ path }) => path).sort();
  if (files.join() !== MEANT.join()) {
    throw new Error(`the package has\n${files.join("\n")}\nand not\n${MEANT.join("\n")}`);
  }
  const target = join(folder, "node_modules/django-channels");
  mkdirSync(target, { recursive: true });
  run(folder, "tar", "-xzf", packed.filename, "-C", target, "--strip-components=1");
  for (const name of ["partysocket", "ws"]) {
    symlinkSync(join(ROOT, "node_modules", name), join(folder, "node_modules", name));
  }
}

/** Use the package with either kind of module: nothing of it holds a process back at its end. */
function use(folder) {
  const ways = {
    "use.mjs": 'import { WebSocketBridge } from "django-channels"; import WebSocket from "ws";',
    "use.cjs": 'const { WebSocketBridge } = require("django-channels"), WebSocket = require("ws");',
  };
  for (const [file, way] of Object.entries(ways)) {
    writeFileSync(join(folder, file), way + END);
    const printed = run(folder, process.execPath, file);
    if (printed !== "closed\n") throw new Error(`${way} printed ${printed}`);
  }
  for (const file of ["types.mts", "types.cts"]) {
    const names = 'import { type Status, WebSocketBridge } from "django-channels";';
    writeFileSync(join(folder, file), names + USE);
  }
  const strict = ["--strict", "--noEmit", "--module", "nodenext", "--lib", "es2022,dom"];
  const tsc = join(ROOT, "node_modules/typescript/bin/tsc");
  run(folder, process.execPath, tsc, ...strict, "types.mts", "types.cts");
}

const folder = mkdtempSync(join(tmpdir(), "django-channels-"));
try {
  install(folder);
  use(folder);
  console.log(`the package has ${MEANT.length} files, and import, require and types work`);
} catch (error) {
  console.error(error.stdout || error.message);
  process.exitCode = 1;
} finally {
  rmSync(folder, { recursive: true, force: true });
}
