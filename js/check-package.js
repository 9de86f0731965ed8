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

function run(folder, program, ...args) {
  return execFileSync(program, args, { cwd: folder, encoding: "utf8" });
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
  symlinkSync(join(ROOT, "node_modules/partysocket"), join(folder, "node_modules/partysocket"));
}

/** Use the package with either kind of module. */
function use(folder) {
  const print = "console.log(typeof new WebSocketBridge().connect)";
  const ways = {
    "use.mjs": 'import { WebSocketBridge } from "django-channels";',
    "use.cjs": 'const { WebSocketBridge } = require("django-channels");',
  };
  for (const [file, way] of Object.entries(ways)) {
    writeFileSync(join(folder, file), `${way}\n${print}`);
    if (run(folder, process.execPath, file).trim() !== "function") throw new Error(way);
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
