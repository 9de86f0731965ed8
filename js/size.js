/** Says how large the file for pages is, and fails where it is 8 KB gzipped or more. */

import { readFileSync } from "node:fs";
import { gzipSync } from "node:zlib";

const LIMIT = 8 * 1024;
const FILE = new URL("../channels/static/channels/js/websocketbridge.js", import.meta.url);

const content = readFileSync(FILE);
const size = gzipSync(content, { level: 9 }).length;
console.log(`websocketbridge.js: ${content.length} bytes, ${size} gzipped (below ${LIMIT})`);
process.exitCode = size < LIMIT ? 0 : 1;
