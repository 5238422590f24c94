/** V8's cache of the built broker's code: taken where it is of this very code and Node, and otherwise as if it were not there. */

import { cpSync, mkdtempSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from "vitest";
import { cacheFile } from "../../../functions/broker/code-cache/load.ts";
import { RARELY_NEEDED } from "../../../functions/broker/code-cache/when-needed.ts";
import { DIST, FUNCTION_ROLE, jobClaims, sandboxPolicy, startBrokerProcess } from "../../sandbox/broker-process.ts";
import { type Cloud, startCloud } from "../../sandbox/cloud.ts";
import { type Issuer, startIssuer } from "../../sandbox/issuer.ts";

let cloud: Cloud;
let issuer: Issuer;
beforeAll(async () => {
  [cloud, issuer] = await Promise.all([startCloud(), startIssuer()]);
});
afterAll(() => Promise.all([cloud.close(), issuer.close()]));

let code: string;
beforeEach(() => {
  code = mkdtempSync(join(tmpdir(), "code-cache-"));
  cpSync(DIST, code, { recursive: true });
});
afterEach(() => rmSync(code, { recursive: true }));

/** Starts `code`, has a credential issued, and tells whether the broker's own code came from the cache. */
async function startedFromCache(environment: Record<string, string> = {}, onOutput?: (output: string) => void) {
  const broker = await startBrokerProcess({
    policy: sandboxPolicy({ cloudUrl: cloud.url, issuerUrl: issuer.url, registryHost: cloud.host }),
    keys: cloud.functionRoleKeys(FUNCTION_ROLE),
    code,
    environment,
  });
  const answer = await fetch(`${broker.url}/v1/token`, {
    method: "POST",
    headers: { authorization: `Bearer ${await issuer.mint(jobClaims("main"))}`, connection: "close" },
    body: new URLSearchParams({ scope: "repository:web/app:pull" }),
  });
  expect(answer.status).toBe(200);
  const started = broker
    .output()
    .split("\n")
    .find((line) => line.includes('"started"')) as string;
  expect(await broker.stop()).toBe(0);
  onOutput?.(broker.output());
  return (JSON.parse(started) as { code_cache: unknown }).code_cache;
}

/** Changes a file of the package. */
function change(name: string, by: (bytes: Buffer) => Buffer): void {
  writeFileSync(join(code, name), by(readFileSync(join(code, name))));
}

/** With one bit of its middle turned. */
function damaged(bytes: Buffer): Buffer {
  const middle = Math.floor(bytes.length / 2);
  bytes.writeUInt8(bytes.readUInt8(middle) ^ 1, middle);
  return bytes;
}

const FILES = ["broker.cjs", "alibaba.cjs"];

test("is taken by the Node that built", async () => {
  expect(readdirSync(join(code, "code-cache")).length).toBeGreaterThan(0);
  expect(await startedFromCache()).toBe(true);
});

test.each<[string, (file: string) => void]>([
  ["is damaged", (file) => change(cacheFile(file), damaged)],
  ["is cut short", (file) => change(cacheFile(file), (bytes) => bytes.subarray(0, 1000))],
  ["is empty", (file) => change(cacheFile(file), (bytes) => bytes.subarray(0, 0))],
  ["is not there", (file) => rmSync(join(code, cacheFile(file)))],
  // V8 itself would take this one: it compares no more of the source than its length.
  [
    "is of a source that had other bytes",
    (file) => change(file, (bytes) => Buffer.from(bytes.toString("latin1").replace("\n})", " })"), "latin1")),
  ],
])("a cache that %s changes nothing but the time it takes", async (_, harm) => {
  for (const file of FILES) harm(file);
  expect(await startedFromCache()).toBe(false);
});

test("one file's cache is not taken for another's", async () => {
  const [broker, alibaba] = FILES.map((file) => join(code, cacheFile(file))) as [string, string];
  renameSync(broker, `${broker}.other`);
  renameSync(alibaba, broker);
  renameSync(`${broker}.other`, alibaba);
  expect(await startedFromCache()).toBe(false);
});

test("what the vendor's SDK loads when it is needed is not needed for a credential, nor where the cloud refuses, fails or is slow", async () => {
  let changed = 0;
  change("alibaba.cjs", (bytes) =>
    Buffer.from(
      bytes.toString("latin1").replaceAll(".it??=", () => {
        changed++;
        return ".it??=neededAfterAll()??";
      }),
      "latin1",
    ),
  );
  expect(changed).toBe(RARELY_NEEDED.length);
  cloud.failNext("AssumeRole", { status: 500, code: "InternalError" });
  cloud.failNext("GetAuthorizationToken", { status: 429, code: "Throttling.User" });
  await startedFromCache();
  cloud.failNext("AssumeRole", "reset");
  await startedFromCache();
});

test("a start, a credential and its issuer's keys need neither undici nor web streams nor HTTP/2 nor promises of files", async () => {
  writeFileSync(
    join(code, "loaded.cjs"),
    'process.on("exit", () => process.stderr.write(`loaded: ${process.moduleLoadList.join()}\\n`));',
  );
  let output = "";
  await startedFromCache({ NODE_OPTIONS: `--require ${join(code, "loaded.cjs")}` }, (all) => {
    output = all;
  });
  expect(output).toContain("NativeModule http,");
  expect(output).not.toMatch(
    /NativeModule (?:internal\/deps\/undici|internal\/webstreams\/readablestream|http2|fs\/promises)/,
  );
});
