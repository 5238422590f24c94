/** `POST /v1/explain` and `GET /v1/whoami` over real HTTP: the same answer as `/v1/token`, and nothing done. */

import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { ExplanationJson } from "../../shared/policy/explanation-view.ts";
import { type Issuer, startIssuer } from "../sandbox/issuer.ts";
import { type Answer, AUDIENCE, type Harness, policy, read, startHarness } from "./harness.ts";

/** A grant for a thousand teams, a denial, and a ceiling. */
const LIMITS = `  teams: { issuer: ci, when: { sub: team }, registry: prod, allow: ["repository:\${team}/*:pull"], role_arn: "acs:ram::1234567890123456:role/acr-web", max_ttl: 900 }
denials:
  sealed: { registry: prod, deny: ["repository:web/sealed:pull,push"] }
ceiling: ["repository:web/*:pull,push", "repository:base/*:pull"]
`;

let h: Harness;
/** An issuer that is trusted, and that no grant speaks of. */
let strange: Issuer;
beforeAll(async () => {
  strange = await startIssuer({ audience: AUDIENCE, now: () => new Date() });
  h = await startHarness({
    policy: (cloudUrl, issuerUrl) =>
      policy(cloudUrl, issuerUrl)
        .replace(`issuer: "${issuerUrl}"`, `issuer: "${issuerUrl}", replay: once`)
        .replace("alibaba:", `${LIMITS}alibaba:`)
        .replace("issuers:", `issuers:\n  strange: { provider: generic, issuer: "${strange.url}" }`),
  });
});
afterAll(async () => {
  await h.close();
  await strange.close();
});

async function explained(fields: unknown, token?: string): Promise<Response> {
  return h.request("/v1/explain", {
    method: "POST",
    headers: { authorization: `Bearer ${token ?? (await h.mint())}`, "content-type": "application/json" },
    body: JSON.stringify(fields),
  });
}
const json = async (response: Response) => (await response.json()) as ExplanationJson & { request_id: string };
/** What the two routes have in common, and what each has of its own. */
type Either = ExplanationJson & Answer & { readonly request_id: string };
const either = async (response: Response) => (await response.json()) as Either;
interface Whoami {
  readonly principal: { readonly expires_at: string };
  readonly grants: readonly { readonly name: string }[];
}
const whoami = async (token: string) => h.request("/v1/whoami", { headers: { authorization: `Bearer ${token}` } });

const PULL = { registry: "prod", scope: ["repository:web/app:pull"] };

describe("explaining", () => {
  test("an allowed request shows what would be sent, and sends nothing", async () => {
    const calls = h.cloud.calls.length;
    const response = await explained({ ...PULL, ttl: 1000 });
    expect(response.status).toBe(200);
    expect(response.headers.get("cache-control")).toBe("no-store");
    expect(await json(response)).toMatchObject({
      outcome: "allow",
      principal: { issuer: "ci", subject: "job" },
      registry: "prod",
      scope: PULL.scope,
      role_arn: "acs:ram::1234567890123456:role/acr-web",
      lifetime: { seconds: 1000, max_ttl: 1800 },
      session_policy: {
        most_characters: 2048,
        policy: { Statement: [{ Resource: "*" }, { Resource: expect.stringMatching(/cri-abc123\/web\/app$/) }] },
      },
      request_id: response.headers.get("x-request-id"),
    });
    expect(h.cloud.calls.length).toBe(calls);
  });

  test("a denied request is answered with 200, and with the words of the token route", async () => {
    const claims = { ref: "refs/heads/evil" };
    const answer = await json(await explained(PULL, await h.mint(claims)));
    const refused = await read(await h.ask(PULL, await h.mint(claims)));
    expect(answer).toMatchObject({ outcome: "deny", code: refused.code, detail: refused.detail });
    expect(answer.nearest).toMatchObject({ grant: "web-main", claim: "ref", expected: '"refs/heads/main"' });
    expect(answer.nearest?.line).toBeGreaterThan(1);
  });

  test("leaves a token unused that may be used once", async () => {
    const token = await h.mint();
    expect((await explained(PULL, token)).status).toBe(200);
    expect((await explained(PULL, token)).status).toBe(200);
    expect((await h.ask(PULL, token)).status).toBe(200);
    expect((await read(await h.ask(PULL, token))).code).toBe("token_replayed");
    expect((await explained(PULL, token)).status).toBe(200);
  });

  test("is recorded as a question, not as an issue", async () => {
    const { request_id } = await json(await explained(PULL));
    const events = h.logged().filter((line) => line["event"] === "decision" && line["request_id"] === request_id);
    expect(events).toHaveLength(1);
    expect(events[0]).toMatchObject({ explain: true, outcome: "allow", grants: [{ name: "web-main" }] });
    expect(events[0]).not.toHaveProperty("issued");
    const issuing = await either(await h.ask(PULL));
    const issued = h.logged().find((line) => line["event"] === "decision" && line["request_id"] === issuing.request_id);
    expect(issued).not.toHaveProperty("explain");
  });

  test("needs the same identity, and refuses the same malformed requests", async () => {
    const unsigned = await h.request("/v1/explain", { method: "POST" });
    expect(unsigned.status).toBe(401);
    for (const fields of [
      {},
      { scope: ["web"] },
      { ...PULL, extra: 1 },
      { ...PULL, registry: "no" },
      { grant: "no" },
    ]) {
      const [one, other] = [await read(await explained(fields)), await read(await h.ask(fields))];
      expect({ status: one.status, code: one.code, detail: one.detail }).toEqual({
        status: other.status,
        code: other.code,
        detail: other.detail,
      });
    }
  });

  test("tells a stranger to every grant's issuer nothing", async () => {
    const token = await strange.mint({ sub: "job", ref: "refs/heads/main" });
    const answer = await json(await explained(PULL, token));
    const { request_id: _, ...told } = answer;
    expect(told).toEqual({
      outcome: "deny",
      code: "access_denied",
      detail: "the request was refused",
      principal: { issuer: "strange", subject: "job" },
      registry: "prod",
      scope: PULL.scope,
      grants: [],
    });
    expect((await read(await explained({ grant: "web-main" }, token))).code).toBe("unknown_grant");
    expect(((await (await whoami(token)).json()) as Whoami).grants).toEqual([]);
  });

  test("tells a caller who meets no condition of any grant no name, and nothing that is expected", async () => {
    const answer = await json(await explained(PULL, await h.mint({ sub: "other", ref: "refs/heads/x" })));
    expect(answer.grants).toEqual([]);
    expect(answer.nearest).toEqual({ claim: "sub", actual: "other" });
    expect(JSON.stringify(answer)).not.toMatch(/refs\/heads\/main|web-main|untrusting|sharer|"job"/);
  });
});

test("explain agrees with token, whoever asks for whatever", async () => {
  const seen = new Set<string>();
  const wishes = fc.record({
    sub: fc.constantFrom("job", "job", "other", "sharer", "team"),
    team: fc.constantFrom("web", "vault", "web/*"),
    ref: fc.constantFrom("refs/heads/main", "refs/heads/evil"),
    registry: fc.constantFrom("prod", "prod", "prod", "nope", undefined),
    scope: fc.uniqueArray(
      fc.constantFrom(
        "repository:web/app:pull",
        "repository:web/app:pull,push",
        "repository:web/*:push",
        "repository:web/sharing:pull",
        "repository:base/*:pull",
        "repository:base/alpine:push",
        "repository:vault/app:pull",
        "repository:web/sealed:pull",
        "repository:web:pull",
      ),
      { maxLength: 2 },
    ),
    ttl: fc.constantFrom(undefined, 900, 3600),
    min_ttl: fc.constantFrom(undefined, 60, 1700),
  });
  type Wish = typeof wishes extends fc.Arbitrary<infer One> ? One : never;
  const asks = { sub: "team", ref: "refs/heads/main", registry: "prod", ttl: undefined, min_ttl: undefined } as const;
  // One of each kind of answer, that none be left to chance.
  const examples: [Wish][] = [
    [{ ...asks, team: "vault", scope: ["repository:vault/app:pull"] }],
    [{ ...asks, team: "web", scope: ["repository:web/sealed:pull"] }],
    [{ ...asks, team: "web", scope: ["repository:web/app:pull"] }],
    [{ ...asks, team: "web", scope: ["repository:vault/app:pull"] }],
    [{ ...asks, team: "web", scope: ["repository:web:pull"] }],
    [{ ...asks, sub: "job", ref: "refs/heads/evil", team: "web", scope: ["repository:web/app:pull,push"] }],
    [{ ...asks, team: "web", scope: [] }],
    [{ ...asks, registry: "nope", team: "web", scope: ["repository:web/app:pull"] }],
  ];
  await fc.assert(
    fc.asyncProperty(wishes, async ({ sub, ref, team, ...fields }) => {
      const claims = { sub, ref, team };
      const [explanation, token] = [
        await explained(fields, await h.mint(claims)),
        await h.ask(fields, await h.mint(claims)),
      ];
      const [said, did] = [await either(explanation), await either(token)];
      seen.add(did.code ?? "issued");
      seen.add(said.reason ?? "");
      expect(said.code).toBe(did.code);
      expect(said.detail).toBe(did.detail);
      if (token.status !== 200) return;
      expect(said.scope).toEqual(did.scope);
      const deciding = said.grants.filter((one) => one.decides);
      expect(deciding.map(({ name }) => name).sort()).toEqual(did.grants);
      expect(did.expires_in).toBeLessThanOrEqual(said.lifetime?.seconds ?? 0);
    }),
    { numRuns: 150, examples },
  );
  const codes = ["access_denied", "invalid_request", "invalid_scope", "issued", "unknown_registry"];
  for (const one of [...codes, "condition", "scope", "denied", "ceiling"]) expect(seen).toContain(one);
});

describe("whoami", () => {
  test("shows the principal as the broker sees it, and the grants that are its own", async () => {
    const response = await whoami(await h.mint({ nested: { deep: [1] } }));
    expect(response.headers.get("cache-control")).toBe("no-store");
    const { principal, grants } = (await response.json()) as Whoami;
    expect(principal).toMatchObject({
      issuer: "ci",
      subject: "job",
      claims: { sub: "job", ref: "refs/heads/main", nested: { deep: [1] } },
    });
    expect(Date.parse(principal.expires_at)).toBeGreaterThan(Date.now());
    expect(grants.map(({ name }) => name)).toEqual(["web-main", "base-pull", "lost"]);
    expect(grants[1]).toEqual({ name: "base-pull", registry: "prod", scope: ["repository:base/*:pull"], max_ttl: 900 });
  });

  test("shows nothing of a grant one of whose conditions fails", async () => {
    const text = await (await whoami(await h.mint({ sub: "job", ref: "refs/heads/evil" }))).text();
    expect(text).toContain("base-pull");
    expect(text).not.toMatch(/web-main|refs\/heads\/main|sharing/);
  });

  test("shows a grant as it is for this caller", async () => {
    const { grants } = (await (await whoami(await h.mint({ sub: "team", team: "web" }))).json()) as Whoami;
    expect(grants).toMatchObject([{ name: "teams", scope: ["repository:web/*:pull"] }]);
  });

  test("needs an identity", async () => {
    expect((await h.request("/v1/whoami")).status).toBe(401);
    expect((await h.request("/v1/whoami", { method: "POST" })).status).toBe(405);
  });
});
