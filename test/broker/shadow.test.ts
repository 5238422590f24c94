/** Shadow mode over HTTP: the answer is the first policy's alone, and the log has what the second would have done otherwise. */

import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { FUNCTION_ROLE, jobClaims, sandboxPolicy, startBrokerProcess } from "../sandbox/broker-process.ts";
import { startCloud } from "../sandbox/cloud.ts";
import { startIssuer } from "../sandbox/issuer.ts";
import { type Harness, policy, read, startHarness } from "./harness.ts";

const SCRIPT = `abk_script_${"5".repeat(64)}`;
const SHA256 = "9e17ed4de0fb207f5b5890f6072854eeb03eb41254c46e1db4b6fa21f7fd7e41";
const KEYED = (name: string, cidrs = "") => `
  keyed: { api_key: ${name}, registry: prod, allow: ["repository:base/*:pull"], role_arn: "acs:ram::1234567890123456:role/acr-base", max_ttl: 900 }
api_keys: { ${name}: { sha256: ${SHA256}, expires: 2099-01-01T00:00:00Z${cidrs} } }
`;
const first = (cloud: string, ci: string) => policy(cloud, ci).replace("\nalibaba:", `${KEYED("script")}alibaba:`);

/** The second policy is the first with `replaced` by `by`. */
const changed = (replaced: string | RegExp, by: string) => (cloud: string, ci: string) => {
  const text = first(cloud, ci).replace(replaced, by);
  if (text === first(cloud, ci)) throw new Error(`${replaced} does not stand in the policy`);
  return text;
};

async function withShadow(shadow: (cloud: string, ci: string) => string, run: (h: Harness) => Promise<void>) {
  const h = await startHarness({ policy: first, shadow, secrets: [SCRIPT.slice(-64)] });
  try {
    await run(h);
  } finally {
    await h.close();
  }
}
const shadows = (h: Harness) => h.logged().filter(({ event }) => event === "shadow");
const PUSH = { registry: "prod", scope: ["repository:web/app:push"] };
const PULL = { registry: "prod", scope: ["repository:base/alpine:pull"] };

describe("who would lose", () => {
  test("is served, and logged with both verdicts and the lines of both policies", () =>
    withShadow(changed("ref: refs/heads/main", "ref: refs/heads/release"), async (h) => {
      const answer = await h.ask(PUSH);
      expect(answer.status).toBe(200);
      expect(shadows(h)).toEqual([
        expect.objectContaining({
          version: 1,
          request_id: answer.headers.get("x-request-id"),
          issuer: "ci",
          subject: "job",
          registry: "prod",
          scope: ["repository:web/app:push"],
          serving: expect.objectContaining({
            outcome: "allow",
            grants: [{ name: "web-main", line: expect.any(Number) }],
            lifetime_seconds: 1800,
          }),
          shadow: { outcome: "deny", code: "access_denied", reason: "condition" },
        }),
      ]);
      const [{ policy_digest, shadow_digest } = {}] = shadows(h);
      expect(policy_digest).toBe(
        ((await (await h.request("/version")).json()) as { policy_digest: string }).policy_digest,
      );
      expect(shadow_digest).not.toBe(policy_digest);
    }));

  test.each<[string, string | RegExp, string, string]>([
    [
      "its issuer is gone",
      /ci: \{ provider: generic, issuer: "[^"]+" \}/,
      'ci: { provider: generic, issuer: "http://127.0.0.1:3" }',
      "untrusted_issuer",
    ],
    [
      "its audience is another",
      /(ci: \{ provider: generic, issuer: "[^"]+") \}/,
      "$1, audience: other }",
      "invalid_audience",
    ],
    ["its grant is for another registry", /(web-main:[\s\S]*?)registry: prod/, "$1registry: lost", "access_denied"],
  ])("because %s", (_, replaced, by, code) =>
    withShadow(changed(replaced, by), async (h) => {
      expect((await h.ask(PUSH)).status).toBe(200);
      expect(shadows(h)).toMatchObject([{ shadow: { outcome: "deny", code } }]);
    }),
  );

  test("with an API key that is gone, or may not be used from here", async () => {
    const ask = (h: Harness) => h.ask(PULL, SCRIPT);
    await withShadow(changed(SHA256, "a".repeat(64)), async (h) => {
      expect((await ask(h)).status).toBe(200);
      expect(shadows(h)).toMatchObject([{ api_key: "script", shadow: { code: "invalid_api_key" } }]);
    });
    await withShadow(changed(KEYED("script"), KEYED("script", ", cidrs: [10.0.0.0/8]")), async (h) => {
      expect((await ask(h)).status).toBe(200);
      expect(shadows(h)).toMatchObject([{ shadow: { code: "invalid_api_key" } }]);
    });
  });
});

test("who would gain is refused, and logged", () =>
  withShadow(changed("ref: refs/heads/main", "ref: { any_of: [refs/heads/main, refs/heads/x] }"), async (h) => {
    expect((await h.ask(PUSH, await h.mint({ ref: "refs/heads/x" }))).status).toBe(403);
    expect(shadows(h)).toMatchObject([
      { serving: { outcome: "deny", reason: "condition" }, shadow: { outcome: "allow" } },
    ]);
    expect(h.cloud.calls).toEqual([]);
  }));

test("who would get another role or lifetime is logged", () =>
  withShadow(changed(/(web-main:[\s\S]*?)max_ttl: 1800/, "$1max_ttl: 900"), async (h) => {
    await h.ask(PUSH);
    expect(shadows(h)).toMatchObject([{ serving: { lifetime_seconds: 1800 }, shadow: { lifetime_seconds: 900 } }]);
  }));

test.each<[string, string | RegExp, string]>([
  ["a grant's or an issuer's new name", /web-main/g, "web-new"],
  ["an API key's new name", KEYED("script"), KEYED("renamed")],
  ["what this caller has nothing to do with", "sub: limited", "sub: restricted"],
])("%s is no difference", (_, replaced, by) =>
  withShadow(changed(replaced, by), async (h) => {
    await h.ask(PUSH);
    await h.ask(PUSH, await h.mint({ ref: "refs/heads/x" }));
    await h.ask(PULL, SCRIPT);
    expect(shadows(h)).toEqual([]);
  }),
);

describe("whatever the second policy says", () => {
  let plain: Harness;
  let shadowed: Harness;
  beforeAll(async () => {
    plain = await startHarness({ policy: first });
    shadowed = await startHarness({
      policy: first,
      shadow: changed(
        /grants:[\s\S]*?api_keys/,
        `grants:\n  all: { issuer: ci, when: { sub: { any_of: [job, sharer, nobody] } }, registry: prod, allow: ["repository:web/*:pull,push", "repository:secret/*:pull,push"], role_arn: "acs:ram::1234567890123456:role/acr-all", max_ttl: 3600 }\napi_keys`,
      ),
    });
  });
  afterAll(() => Promise.all([plain.close(), shadowed.close()]));

  test("the answer is the first one's", async () => {
    const request = fc.record({
      sub: fc.constantFrom("job", "sharer", "nobody"),
      ref: fc.constantFrom("refs/heads/main", "refs/heads/x"),
      scope: fc.constantFrom(
        "repository:web/app:push",
        "repository:web/sharing:pull",
        "repository:secret/app:pull",
        "repository:base/a:pull",
      ),
    });
    await fc.assert(
      fc.asyncProperty(request, async ({ scope, ...claims }) => {
        const [without, with_] = await Promise.all(
          [plain, shadowed].map(async (h) => {
            const { status, code, detail, ...rest } = await read(
              await h.ask({ registry: "prod", scope: [scope] }, await h.mint(claims)),
            );
            return { status, code, detail, grants: (rest as { grants?: unknown }).grants };
          }),
        );
        expect(with_).toEqual(without);
      }),
      { numRuns: 40 },
    );
    expect(shadows(shadowed).length).toBeGreaterThan(5);
    const policies = shadowed.cloud.calls.map((call) => JSON.stringify(call));
    expect(policies.filter((text) => /secret|acr-all/.test(text))).toEqual([]);
  });
});

describe("the built broker", () => {
  test("asks the policy that shadow names, beside its own, and serves on without one that cannot be used", async () => {
    const [cloud, issuer] = await Promise.all([startCloud(), startIssuer()]);
    const text = sandboxPolicy({ cloudUrl: cloud.url, issuerUrl: issuer.url, registryHost: cloud.host });
    const ask = async (next: string) => {
      const broker = await startBrokerProcess({
        policy: `${text}shadow: next.yaml\n`,
        files: { "next.yaml": next },
        keys: cloud.functionRoleKeys(FUNCTION_ROLE),
      });
      const token = await issuer.mint(jobClaims("main"));
      const { status } = await fetch(`${broker.url}/v1/token?scope=repository:web/app:push`, {
        method: "POST",
        headers: { authorization: `Bearer ${token}`, connection: "close" },
      });
      await broker.stop();
      return { status, output: broker.output() };
    };
    const narrower = await ask(text.replace("refs/heads/main, ", ""));
    expect(narrower.status).toBe(200);
    expect(narrower.output).toContain('"event":"shadow"');
    const broken = await ask("version: 2\n");
    expect(broken.status).toBe(200);
    expect(broken.output).toMatch(/the shadow policy is not asked: .*next\.yaml:1:\d+: /);
    expect(broken.output).not.toContain('"event":"shadow"');
    await Promise.all([cloud.close(), issuer.close()]);
  });
});
