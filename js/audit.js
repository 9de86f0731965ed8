/**
 * Asks the registry for advisories on what `package-lock.json` states, and fails where there are.
 *
 * Not every registry answers such questions, nor is there always a network: that is said, and is
 * no failure.
 */

import { spawnSync } from "node:child_process";

const { stdout } = spawnSync("npm", ["audit", "--json", "--package-lock-only"], {
  encoding: "utf8",
  timeout: 60_000,
});

/** The report, or an empty one where npm gave none. */
function reportOf(text) {
  try {
    return JSON.parse(text);
  } catch {
    return {};
  }
}

const { metadata, message, vulnerabilities } = reportOf(stdout);
if (metadata === undefined) {
  console.log(`not audited: ${message ?? "no answer from the registry"}`);
} else if (metadata.vulnerabilities.total > 0) {
  for (const { name, severity } of Object.values(vulnerabilities)) {
    console.error(`${name}: ${severity}`);
  }
  process.exitCode = 1;
} else {
  console.log(`audited ${metadata.dependencies.total} packages: nothing found`);
}
