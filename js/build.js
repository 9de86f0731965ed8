/**
 * Builds the package from its sources: `js/lib` for bundlers and Node, and the file for pages.
 *
 * With `--check` it writes `js/lib` alone and fails where the file for pages, which is committed,
 * is not what the sources make.
 */

import { execFileSync } from "node:child_process";
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

import { rolldown } from "rolldown";

const ROOT = dirname(dirname(fileURLToPath(import.meta.url)));
const LIB = join(ROOT, "js/lib");
const PAGE_FILE = join(ROOT, "channels/static/channels/js/websocketbridge.js");

/** The two licences that the file for pages falls under, its own and that of what it contains. */
function banner() {
  const partysocket = readFileSync(join(ROOT, "node_modules/partysocket/LICENSE.txt"), "utf8");
  const own = readFileSync(join(ROOT, "LICENSE"), "utf8");
  return [
    "/*!",
    "WebSocketBridge, built from js/src: do not edit.",
    "",
    own.trim(),
    "",
    "Contains partysocket, under this licence:",
    "",
    partysocket.trim(),
    "*/",
  ].join("\n");
}

/** The chunk that `output` makes of the sources, with dependencies inside if `isWhole`. */
async function chunk(output, isWhole = false) {
  const bundle = await rolldown({
    input: join(ROOT, "js/src/index.ts"),
    external: isWhole ? [] : [/^partysocket/],
    transform: { target: "es2022" },
  });
  const { output: chunks } = await bundle.generate(output);
  await bundle.close();
  return chunks[0].code;
}

/**
 * The sources as CommonJS. The bundler takes it that these find dependencies as Node's own modules
 * do, whose default is all that a CommonJS module exports; but what `require` finds of partysocket
 * has a default of its own.
 */
async function commonJs() {
  const code = await chunk({ format: "cjs" });
  const mended = code.replace("__toESM(partysocket_ws, 1)", "__toESM(partysocket_ws)");
  if (mended === code) throw new Error("the default of partysocket is not where it was");
  return mended;
}

/** Type declarations, one file for each source, for both kinds of modules. */
function writeTypes() {
  const tsc = join(ROOT, "node_modules/typescript/bin/tsc");
  const only = ["--declaration", "--emitDeclarationOnly", "--outDir", LIB, "--rootDir", "js/src"];
  execFileSync(process.execPath, [tsc, "--project", "js/tsconfig.build.json", ...only], {
    cwd: ROOT,
    stdio: "inherit",
  });
  for (const file of readdirSync(LIB)) {
    const types = readFileSync(join(LIB, file), "utf8");
    const common = types.replace(/"(\.\/\w+)\.js"/g, '"$1.cjs"');
    writeFileSync(join(LIB, file.replace(/\.d\.ts$/, ".d.cts")), common);
  }
}

/** The file for pages: one script with everything in it, and `channels` as its global. */
async function pageFile() {
  const output = { format: "iife", name: "channels", extend: true, minify: true };
  return `${banner()}\n${(await chunk(output, true)).trim()}\n`;
}

rmSync(LIB, { recursive: true, force: true });
writeTypes();
writeFileSync(join(LIB, "index.js"), await chunk({ format: "esm" }));
writeFileSync(join(LIB, "index.cjs"), await commonJs());
const page = await pageFile();
if (!process.argv.includes("--check")) {
  mkdirSync(dirname(PAGE_FILE), { recursive: true });
  writeFileSync(PAGE_FILE, page);
} else if (readFileSync(PAGE_FILE, "utf8") !== page) {
  console.error(`${PAGE_FILE} is stale: run npm run build, and commit it`);
  process.exit(1);
}
