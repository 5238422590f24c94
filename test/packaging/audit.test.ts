/** `npm run audit:shipped` with npm as it is, against a registry that knows of advisories. Needs `npm run build`. */

import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { fileURLToPath } from "node:url";
import { afterEach, beforeEach, expect, test } from "vitest";

const ROOT = fileURLToPath(new URL("../../", import.meta.url));

let server: Server | undefined;
/** Of its own: npm keeps what it has worked out of an advisory. */
let cache: string;
beforeEach(() => {
  cache = mkdtempSync(join(tmpdir(), "audit-"));
});
afterEach(() => {
  rmSync(cache, { recursive: true });
  server?.close();
  server?.closeAllConnections();
});

/** https://docs.npmjs.com/cli/v11/commands/npm-audit#bulk-advisory-endpoint: `advisories` is its answer, undefined where it has no such thing. */
async function audit(advisories: object | undefined) {
  server = createServer((request, response) => {
    request.resume();
    const known = request.url === "/-/npm/v1/security/advisories/bulk" && advisories !== undefined;
    response.writeHead(known ? 200 : 404, { "content-type": "application/json" });
    response.end(JSON.stringify(known ? advisories : {}));
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
  const registry = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`;
  const child = spawn(process.execPath, ["node_modules/tsx/dist/cli.mjs", "packaging/audit.ts"], {
    cwd: ROOT,
    env: { ...process.env, npm_config_registry: registry, npm_config_cache: cache, npm_config_fetch_retries: "0" },
  });
  const [out, told, [status]] = await Promise.all([text(child.stdout), text(child.stderr), once(child, "exit")]);
  return { status, told: out + told };
}

const advisory = (title: string) => ({
  id: 1,
  url: "https://github.com/advisories/GHSA-0000-0000-0000",
  title,
  severity: "high",
  vulnerable_versions: "<99",
  cwe: [],
  cvss: { score: 0, vectorString: null },
});

test("an advisory against a package that is shipped is told and fails it, one against what only tests does not", async () => {
  const { status, told } = await audit({ lodash: [advisory("shipped")], vitest: [advisory("not shipped")] });
  expect(told).toMatch(
    /^pkg:npm\/lodash@\S+: high: shipped \(https:\/\/github\.com\/advisories\/GHSA-0000-0000-0000\)\nmove these packages up/,
  );
  expect([status, told.includes("not shipped")]).toEqual([1, false]);
});

test("advisories against what only builds and tests pass it", async () => {
  expect(await audit({ vitest: [advisory("not shipped")] })).toEqual({
    status: 0,
    told: expect.stringMatching(/^no advisory against any of the \d\d packages that are shipped\n$/),
  });
});

test("a registry that cannot be asked is no clean answer", async () => {
  expect(await audit(undefined)).toEqual({
    status: 2,
    told: expect.stringMatching(/^NOT AUDITED: the registry did not answer npm audit \(404 /),
  });
});
