/**
 * Packs the package as it would be published, and uses it: the files are those that are meant, the
 * same sources elsewhere make the same bytes, and where it is installed `import` and `require` work
 * without a bundler, and both find their types.
 *
 * With an argument it leaves the package in that folder.
 */

import { execFileSync } from "node:child_process";
import {
  cpSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { basename, dirname, join } from "node:path";
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

/** What the package is built of. */
const SOURCES = ["package.json", "README.md", "LICENSE", "js", "channels/static"];

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

/** Pack what is in `root` into `folder`; returns the file, after a look at what is in it. */
function pack(root, folder) {
  mkdirSync(folder, { recursive: true });
  const options = ["--json", "--ignore-scripts", "--pack-destination", folder];
  const [packed] = JSON.parse(run(root, "npm", "pack", ...options));
  const files = packed.files.map(({ path }) => path).sort();
  if (files.join() !== MEANT.join()) {
    throw new Error(`the package has\n${files.join("\n")}\nand not\n${MEANT.join("\n")}`);
  }
  return join(folder, packed.filename);
}

/** The files that git tracks, elsewhere, with what was built of them there. */
function rebuild(folder) {
  const tracked = run(ROOT, "git", "ls-files", "-z", ...SOURCES)
    .split("\0")
    .filter(Boolean);
  for (const file of tracked) {
    cpSync(join(ROOT, file), join(folder, file));
    utimesSync(join(folder, file), 1_000_000_000, 1_000_000_000);
  }
  symlinkSync(join(ROOT, "node_modules"), join(folder, "node_modules"));
  run(folder, process.execPath, "js/build.js");
  return folder;
}

/**
 * Install the package as a site's developers do, with all that it depends on, and with what Node.js
 * lacks; from what is installed here, since a registry may be away.
 */
function install(folder, file) {
  writeFileSync(join(folder, "package.json"), '{ "private": true }');
  const lock = JSON.parse(readFileSync(join(ROOT, "package-lock.json"), "utf8"));
  const needed = Object.keys(lock.packages).filter((path) => path && !lock.packages[path].dev);
  const dependencies = [...needed, "node_modules/ws"].map((path) => join(ROOT, path));
  const options = ["--offline", "--install-links", "--no-audit", "--no-fund", "--ignore-scripts"];
  run(folder, "npm", "install", ...options, file, ...dependencies);
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
  const file = pack(ROOT, join(folder, "first"));
  const again = pack(rebuild(join(folder, "elsewhere")), join(folder, "second"));
  if (!readFileSync(file).equals(readFileSync(again))) {
    throw new Error(`${again}, which was built elsewhere, is not ${file} byte for byte`);
  }
  const site = join(folder, "site");
  mkdirSync(site);
  install(site, file);
  use(site);
  if (process.argv[2]) cpSync(file, join(process.argv[2], basename(file)));
  console.log(
    `the package has ${MEANT.length} files, is the same when it is built elsewhere, and once it is ` +
      "installed import, require and types work",
  );
} catch (error) {
  console.error(error.message, error.stdout ?? "", error.stderr ?? "");
  process.exitCode = 1;
} finally {
  rmSync(folder, { recursive: true, force: true });
}
