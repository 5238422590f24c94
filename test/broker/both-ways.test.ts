/**
 * Two brokers of one policy, one without the short way of what was asked before (functions/broker/short-way.ts): whatever is asked of both,
 * whatever becomes of clock, keys and blocks in between, they answer and record the same, but for ids and the credentials' own.
 */

import { subscribe, unsubscribe } from "node:diagnostics_channel";
import fc from "fast-check";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { type Harness, type HarnessOptions, policy, startHarness } from "./harness.ts";

const BEGIN = Date.parse("2026-06-01T12:00:00Z");
const TOKENS: readonly Record<string, unknown>[] = [
  { jti: "one", exp: BEGIN / 1000 + 45 },
  { jti: "timed", ref: "refs/heads/timed" },
  { jti: "two" },
  { jti: "early", nbf: BEGIN / 1000 + 90 },
  { jti: "stranger", sub: "stranger" },
];
const FIELDS: readonly object[] = [
  { registry: "prod", scope: ["repository:web/app:pull"] },
  { registry: "prod", scope: ["repository:base/alpine:pull"], min_ttl: 600 },
  { registry: "prod", grant: "base-pull", format: "docker-config" },
  { registry: "prod", scope: ["repository:secret/app:pull"] },
  { registry: "prod", scope: ["repository:timed/app:pull"], format: "env" },
  { registry: "prod", scop: [] },
];
const ADDRESSES = ["10.1.2.3", "192.0.2.7"];
const BLOCKS = ["none", "token ci one", "subject ci job", "grant web-main", "subject ci somebody-else"];

/** Mostly the first of them, so that one is asked again and again. */
const mostly = (count: number) =>
  fc.oneof({ weight: 3, arbitrary: fc.constant(0) }, { weight: 3, arbitrary: fc.nat(count - 1) });
/** What happens: a question, some seconds that pass, another list of blocks, another key of the issuer. */
const step = fc.oneof(
  {
    weight: 12,
    arbitrary: fc.record({
      kind: fc.constant("ask" as const),
      token: mostly(TOKENS.length),
      fields: mostly(FIELDS.length),
      address: mostly(ADDRESSES.length),
      times: fc.integer({ min: 1, max: 6 }),
    }),
  },
  {
    weight: 4,
    arbitrary: fc.record({ kind: fc.constant("pass" as const), seconds: fc.constantFrom(1, 3, 3, 20, 50, -70, 290) }),
  },
  { weight: 3, arbitrary: fc.record({ kind: fc.constant("block" as const), blocks: fc.constantFrom(...BLOCKS) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("rotate" as const) }) },
);

let calls = 0;
const begun = () => calls++;
const ended = () => calls--;
beforeEach(() => {
  subscribe("http.client.request.start", begun);
  subscribe("http.client.response.finish", ended);
  vi.useFakeTimers({ toFake: ["Date"], now: BEGIN });
});
afterEach(() => {
  vi.useRealTimers();
  unsubscribe("http.client.request.start", begun);
  unsubscribe("http.client.response.finish", ended);
});

/** Until nothing is asked of anybody any more: what is renewed beside an answer has been. */
async function settled(): Promise<void> {
  for (let turns = 0; turns < 30; turns++) {
    if (calls > 0) turns = 0;
    await new Promise((resolve) => setImmediate(resolve));
  }
}

const OWN =
  /^(?:request_id|token_fingerprint|(?:assume_role|authorization_token)_request_id|password|x-request-id|date)$/;

/** Without what is each broker's or each credential's own; a text that is no JSON by its length, since a password may be in it. */
function comparable(text: string): unknown {
  try {
    return JSON.parse(text, (name, value) => (OWN.test(name) || name === "auth" ? typeof value : value));
  } catch {
    return text.length;
  }
}

const policyOf = (hasBlocks: boolean) => (cloud: string, issuer: string) =>
  `${policy(cloud, issuer).replace(
    /^grants:$/m,
    `grants:
  timed:
    issuer: ci
    when: { sub: job, ref: refs/heads/timed }
    times: { not_after: "${new Date(BEGIN + 40_000).toISOString()}" }
    cidrs: [10.0.0.0/8]
    registry: prod
    allow: ["repository:timed/*:pull"]
    role_arn: acs:ram::1234567890123456:role/acr-web
    max_ttl: 900`,
  )}${hasBlocks ? "blocks: { file: blocks.txt }" : ""}
limits: { caller_per_minute: 40, grant_per_minute: 30 }
`;

test("the short way and the whole way answer and record the same", async () => {
  await fc.assert(
    fc.asyncProperty(fc.boolean(), fc.array(step, { minLength: 8, maxLength: 30 }), async (hasBlocks, steps) => {
      vi.setSystemTime(BEGIN);
      let from = ADDRESSES[0];
      const files: Record<string, string> = { "blocks.txt": "none" };
      const options: HarnessOptions = { files, policy: policyOf(hasBlocks), socketAddress: () => from };
      const short = await startHarness(options);
      const whole = await startHarness({ ...options, beside: short, wholeWayOnly: true });
      const both = [short, whole];
      const tokens = await Promise.all(TOKENS.map((claims) => short.mint(claims)));
      const ask = async (h: Harness, token: number, fields: number) => {
        const response = await h.ask(FIELDS[fields], tokens[token]);
        const headers = [...response.headers].filter(([name]) => !OWN.test(name) && name !== "content-length");
        return [response.status, headers, comparable(await response.text())];
      };
      try {
        for (const one of steps) {
          if (one.kind === "pass") vi.setSystemTime(Date.now() + one.seconds * 1000);
          else if (one.kind === "block") {
            files["blocks.txt"] = one.blocks;
            vi.setSystemTime(Date.now() + 2_000);
          } else if (one.kind === "rotate") await short.issuer.rotateKeys();
          else {
            from = ADDRESSES[one.address];
            for (let count = 0; count < one.times; count++) {
              const answers: unknown[] = [];
              for (const h of both) {
                answers.push(await ask(h, one.token, one.fields));
                await settled();
              }
              expect(answers[0]).toEqual(answers[1]);
            }
          }
        }
        const lines = both.map((h) => h.logged().map((event) => comparable(JSON.stringify(event))));
        expect(lines[0]).toEqual(lines[1]);
      } finally {
        await whole.close();
        await short.close();
      }
    }),
    { numRuns: 20 },
  );
}, 120_000);
