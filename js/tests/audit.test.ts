/** The audit, by registries that answer in all ways. */

import { spawn } from "node:child_process";
import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { fileURLToPath } from "node:url";

import { expect, it, onTestFinished } from "vitest";

const AUDIT = fileURLToPath(new URL("../audit.js", import.meta.url));

const ADVISORY = {
  id: 1,
  title: "it does what it should not",
  severity: "high",
  vulnerable_versions: ">=0",
  url: "about:blank",
};

/** Exit code and output of the audit by a registry that answers so. */
async function audited(status: number, advisories: object = {}) {
  const registry = createServer((request, response) => {
    request.resume();
    const isAsked = request.url?.endsWith("/advisories/bulk");
    response.writeHead(isAsked ? status : 404, { "content-type": "application/json" });
    response.end(JSON.stringify(advisories));
  });
  registry.listen(0, "127.0.0.1");
  await once(registry, "listening");
  onTestFinished(() => void registry.close());
  const { port } = registry.address() as AddressInfo;
  const audit = spawn(process.execPath, [AUDIT], {
    env: {
      ...process.env,
      npm_config_registry: `http://127.0.0.1:${port}/`,
      npm_config_fetch_retries: "0",
    },
  });
  let output = "";
  for (const stream of [audit.stdout, audit.stderr]) {
    stream.on("data", (data) => {
      output += data;
    });
  }
  const [code] = await once(audit, "close");
  return { code, output };
}

it("passes where nothing is known", async () => {
  const { code, output } = await audited(200);
  expect([code, output]).toEqual([0, expect.stringMatching(/^audited \d+ packages/)]);
});

it("fails where something is", async () => {
  const { code, output } = await audited(200, { ws: [ADVISORY] });
  expect([code, output]).toEqual([1, "ws: high\n"]);
});

it("passes where the registry does not answer that, and says so", async () => {
  const { code, output } = await audited(405);
  expect([code, output]).toEqual([0, expect.stringMatching(/^not audited: ./)]);
});
