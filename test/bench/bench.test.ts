/** That the benchmarks of servers measure what they say, once and small. How long anything takes is no test's matter. */

import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { benchCold } from "../../bench/cold.ts";
import { openConnection, requestBytes } from "../../bench/connection.ts";
import { ANYWHERE } from "../../bench/cores.ts";
import { benchMemory } from "../../bench/memory.ts";
import { benchOverload } from "../../bench/overload.ts";
import { askFor } from "../../bench/scene.ts";
import { baseline, DIST, startTarget } from "../../bench/targets.ts";
import { benchUpstream } from "../../bench/upstream.ts";
import { benchWarm } from "../../bench/warm.ts";
import { haveTools } from "../e2e/tools.ts";
import { jobClaims } from "../sandbox/broker-process.ts";
import { startCloud } from "../sandbox/cloud.ts";
import { startIssuer } from "../sandbox/issuer.ts";

const SMALL = { dists: [DIST], place: ANYWHERE, rounds: 1 };
/** Each starts some twenty processes, on a machine that has other tests to run. */
const SLOW = 90_000;

/** All numbers in it, at any depth. */
function numbers(value: unknown): number[] {
  if (typeof value === "number") return [value];
  return typeof value === "object" && value !== null ? Object.values(value).flatMap(numbers) : [];
}

test(
  "cold starts the floor, the broker and the plain one, and each answers as it must",
  async () => {
    const results = await benchCold(SMALL);
    expect(results.map(({ of, what }) => [of, what])).toEqual([
      ["node", "hello"],
      [DIST, "health"],
      [DIST, "refusal: unknown issuer"],
      ["baseline", "refusal: unknown issuer"],
      [DIST, "refusal: forged signature"],
      [DIST, "refusal: denied by the policy"],
      [DIST, "credential"],
      ["baseline", "credential"],
      [DIST, "credential after /initialize"],
    ]);
    expect(numbers(results).every((value) => value > 0)).toBe(true);
    expect(results[0]?.ratio).toEqual({ median: 1, p10: 1, p90: 1 });
  },
  SLOW,
);

test(
  "warm climbs from a bare hello to a credential that has to be made",
  async () => {
    const results = await benchWarm({ ...SMALL, size: 0.01 });
    const rungs = (of: string) => results.filter((one) => one.of === of).map(({ what }) => what);
    const compared = [
      "refusal: denied by the policy",
      "refusal: unknown issuer",
      "miss, cloud of 0 ms",
      "miss, cloud of 30 ms",
    ];
    expect([rungs("node"), rungs("hono"), rungs("baseline")]).toEqual([["hello"], ["hello"], compared]);
    expect(rungs(DIST)).toEqual([
      "kept credential, repeated token",
      "kept credential, new token each time",
      ...compared,
    ]);
    expect(numbers(results).every((value) => value > 0)).toBe(true);
    const distant = results.find(({ of, what }) => of === DIST && what === "miss, cloud of 30 ms");
    // Two calls of the cloud, one after the other.
    expect(distant?.alone.p50.median).toBeGreaterThan(59);
  },
  SLOW,
);

test(
  "overload asks four times as often as the broker answers, and counts each request from when it was due",
  async () => {
    const results = await benchOverload({ ...SMALL, size: 0.05 });
    expect(results.map(({ of, what }) => [of, what])).toEqual([
      [DIST, "repeated tokens, new tokens, bad tokens"],
      [DIST, "a new token each"],
    ]);
    for (const { capacity, longest, served, share } of results) {
      expect(numbers({ capacity, served, share }).every((value) => value > 0)).toBe(true);
      // In less than half a second nobody is refused yet, so three of four have to wait for those before them.
      expect(longest.median).toBeGreaterThan(100);
    }
  },
  SLOW,
);

test(
  "memory is looked at before the first request and after each part of them",
  async () => {
    const results = await benchMemory({ ...SMALL, requests: 40, steps: 2 });
    expect(results.map(({ of }) => of)).toEqual([DIST, "baseline"]);
    for (const { steps } of results) {
      expect(steps.map(({ requests }) => requests)).toEqual([0, 20, 40]);
      expect(steps.every(({ residentMb, heapMb }) => residentMb > heapMb && heapMb > 1)).toBe(true);
    }
  },
  SLOW,
);

test.skipIf(!haveTools(["redis-server"]))(
  "the cloud is asked twice for a miss, never for a hit, and twice for a hundred equal requests, of ten instances too; by the plain broker each time",
  async () => {
    const results = await benchUpstream(SMALL);
    expect(results.map(({ of, what, calls }) => [of, what, calls])).toEqual([
      [DIST, "miss", 2],
      [DIST, "hit", 0],
      [DIST, "100 equal in flight", 2],
      ["baseline", "miss", 2],
      ["baseline", "hit", 2],
      ["baseline", "100 equal in flight", 200],
      [DIST, "100 equal in flight, ten instances with Redis", 2],
    ]);
  },
  SLOW,
);

test(
  "the plain broker is a working one: a cloud that checks signatures, roles and policies gives it the narrowed login",
  async () => {
    const [cloud, issuer] = [await startCloud(), await startIssuer()];
    const keys = cloud.functionRoleKeys("acs:ram::1234567890123456:role/acr-token-broker");
    const target = baseline(cloud.url);
    const environment = {
      ...target.environment,
      ISSUERS: issuer.url,
      JWKS_URL: `${issuer.url}/jwks`,
      ALIBABA_CLOUD_ACCESS_KEY_ID: keys.accessKeyId,
      ALIBABA_CLOUD_ACCESS_KEY_SECRET: keys.accessKeySecret,
      ALIBABA_CLOUD_SECURITY_TOKEN: keys.securityToken,
    };
    const server = await startTarget({ ...target, environment }, ANYWHERE);
    const connection = await openConnection(server.port);
    try {
      const ask = async (branch: string) =>
        connection.ask(requestBytes("POST", "/v1/token", await issuer.mint(jobClaims(branch)), askFor("app")));
      const { status, body } = await ask("main");
      expect(status).toBe(200);
      const { username, password } = JSON.parse(body) as { username: string; password: string };
      const login = cloud.login(username, password);
      expect([login?.allows("push", "web/app"), login?.allows("pull", "base/alpine")]).toEqual([true, false]);
      expect((await ask("evil")).status).toBe(403);
    } finally {
      connection.close();
      await server.stop();
      await Promise.all([cloud.close(), issuer.close()]);
    }
  },
  SLOW,
);

test("a build that does not take the run's policy as compiled is refused, and not measured reading YAML", async () => {
  const folder = mkdtempSync(join(tmpdir(), "bench-"));
  try {
    cpSync(DIST, folder, { recursive: true });
    const compiled = join(folder, "broker.compiled.json");
    writeFileSync(compiled, readFileSync(compiled, "utf8").replace(/"loader":"[^"]*"/, '"loader":"another"'));
    await expect(benchUpstream({ dists: [folder], place: ANYWHERE })).rejects.toThrow(
      /was built by other sources than .*shared\/config: run npm run build there/,
    );
  } finally {
    rmSync(folder, { recursive: true });
  }
});
