import { readFileSync } from "node:fs";
import { CompactSign, type CryptoKey, exportJWK, generateKeyPair } from "jose";
import { beforeAll, describe, expect, test } from "vitest";
import type { BrokerConfig, OidcIssuer, OidcProvider } from "../../shared/config/config.ts";
import { parseConfig } from "../../shared/config/load.ts";
import { identity } from "../../shared/identity/identify.ts";
import { PROVIDERS } from "../../shared/identity/providers.ts";
import { decide } from "../../shared/policy/decision.ts";
import { scope } from "../policy/grants.ts";

const NOW = new Date("2026-06-01T12:00:00Z");
const seconds = NOW.getTime() / 1000;
const page = readFileSync(new URL("../../docs/callers/oidc.md", import.meta.url), "utf8");
const sections = new Map(
  page
    .split(/^## /m)
    .slice(1)
    .map((text) => [/`([a-z-]+)`/.exec(text)?.[1] as OidcProvider, text]),
);

let key: CryptoKey;
let jwks: { keys: object[] };
beforeAll(async () => {
  const pair = await generateKeyPair("RS256", { extractable: true });
  key = pair.privateKey;
  jwks = { keys: [{ ...(await exportJWK(pair.publicKey)), kid: "k1" }] };
});

/** The page's example for a provider, as a whole policy. */
function example(provider: OidcProvider): BrokerConfig {
  const yaml = /```yaml broker\n([\s\S]*?)```/.exec(sections.get(provider) ?? "")?.[1];
  const text = `version: 1
audience: https://acr-broker.example.com
registries:
  prod: { instance_id: cri-abc123, region: cn-hangzhou, account_id: "1234567890123456", endpoints: [acme.example.com] }
${yaml}`;
  return parseConfig(text, { file: "page.yaml", readFile: () => JSON.stringify(jwks) });
}

/** Claims of a token as each issuer makes it, which the page's example grant is for. */
const CLAIMS: Readonly<Record<OidcProvider, Record<string, unknown>>> = {
  github: { sub: "repo:acme/web:ref:refs/heads/main", repository_id: "123456", ref: "refs/heads/main" },
  gitlab: {
    sub: "project_path:acme/web:ref_type:branch:ref:main",
    project_id: "42",
    ref: "main",
    ref_type: "branch",
    ref_protected: "true",
  },
  kubernetes: { sub: "system:serviceaccount:ci:builder", "kubernetes.io": { namespace: "ci" } },
  rrsa: {
    sub: "system:serviceaccount:ci:builder",
    "kubernetes.io": { namespace: "ci", serviceaccount: { name: "builder" } },
  },
  buildkite: {
    sub: "organization:acme:pipeline:web:ref:refs/heads/main:commit:0123:step:push",
    organization_id: "0184990a-477b-4fa8-9968-496074483cee",
    pipeline_slug: "web",
    build_branch: "main",
  },
  circleci: {
    sub: "org/11111111-2222-3333-4444-555555555555/project/66666666-7777-8888-9999-000000000000/user/1",
    "oidc.circleci.com/project-id": "66666666-7777-8888-9999-000000000000",
    "oidc.circleci.com/vcs-ref": "refs/heads/main",
  },
  bitbucket: {
    sub: "{b5a4d1c6-7c2f-4a3e-9f41-2f0e8f3f6a11}:{0f0e}",
    repositoryUuid: "{b5a4d1c6-7c2f-4a3e-9f41-2f0e8f3f6a11}",
    branchName: "main",
  },
  "azure-devops": {
    sub: "p://acme/web/push",
    prj_id: "66666666-7777-8888-9999-000000000000",
    def_id: "7",
    rpo_ref: "refs/heads/main",
  },
  jenkins: { sub: "https://jenkins.example.com/job/web/job/main/", build_number: 7 },
  spiffe: { sub: "spiffe://example.org/ci/builder" },
  generic: { sub: "service:builder" },
};

async function ask(provider: OidcProvider, claims: Record<string, unknown>, header: object = {}) {
  const config = example(provider);
  const issuer = [...config.issuers.values()][0] as OidcIssuer;
  const pinned = { ...issuer, keys: { from: "file" as const, path: "x", jwks } };
  const callers = identity(
    { ...config, issuers: new Map([[issuer.name, pinned]]) },
    fetch,
    () => fetch,
    () => NOW,
  );
  const payload = { iss: issuer.issuer, aud: issuer.audience, iat: seconds, exp: seconds + 300, jti: "1", ...claims };
  const token = await new CompactSign(new TextEncoder().encode(JSON.stringify(payload)))
    .setProtectedHeader({ alg: "RS256", kid: "k1", ...header })
    .sign(key);
  const principal = await callers.identify(`Bearer ${token}`);
  return decide(principal, { registry: "prod", scopes: [scope("repository:web/app:push")] }, config).outcome;
}

describe.each(Object.keys(PROVIDERS) as OidcProvider[])("%s", (provider) => {
  const preset = PROVIDERS[provider];

  test("the page's grant takes a token as the issuer makes it", async () => {
    expect(await ask(provider, CLAIMS[provider])).toBe("allow");
  });

  test("and refuses one that differs in any claim that the grant names", async () => {
    const written = example(provider).grants[0]?.when.filter((condition) => condition.kind !== "none_of") ?? [];
    const named = written.map((condition) => condition.claim);
    expect(named.length).toBeGreaterThan(0);
    for (const name of named) {
      const [top] = Object.hasOwn(CLAIMS[provider], name) ? [name] : ["kubernetes.io"];
      const changed = {
        ...CLAIMS[provider],
        [top as string]: top === "kubernetes.io" ? {} : `${CLAIMS[provider][top as string]}x`,
      };
      expect(await ask(provider, changed).catch(() => "deny"), name).toBe("deny");
    }
  });

  test("the page names every claim of the preset", () => {
    for (const claim of [...preset.trusted, ...preset.callerChosen])
      expect(sections.get(provider)).toContain(`\`${claim}\``);
    expect(sections.get(provider)).toContain(
      `at most ${preset.maxTokenLifetimeSeconds} s, \`replay: ${preset.replay}\``,
    );
  });

  test("a grant on what a caller chooses alone does not load, and says what to name", () => {
    for (const claim of preset.callerChosen) {
      const text = `version: 1
audience: https://acr-broker.example.com
registries:
  prod: { instance_id: cri-abc123, region: cn-hangzhou, account_id: "1234567890123456", endpoints: [acme.example.com] }
issuers:
  it: { provider: ${provider}, issuer: "https://issuer.example.com" }
grants:
  loose: { issuer: it, when: { "${claim}": x }, registry: prod, allow: ["repository:web/*:pull"], role_arn: "acs:ram::1234567890123456:role/acr-web", max_ttl: 900 }
`;
      const load = () => parseConfig(text, { file: "broker.yaml", readFile: () => "" });
      expect(load, claim).toThrow(preset.advice);
    }
  });

  test("a sub of another form is not of this issuer", async () => {
    // Where none is known, any text may be one.
    for (const sub of preset.subject === undefined ? [""] : ["somebody", `x${CLAIMS[provider]["sub"]}`]) {
      await expect(ask(provider, { ...CLAIMS[provider], sub })).rejects.toMatchObject({ code: "invalid_token" });
    }
  });

  test("what is implied of a claim that the grant says nothing of is demanded", async () => {
    for (const implied of preset.implied ?? []) {
      for (const value of implied.kind === "none_of" ? implied.values : []) {
        expect(await ask(provider, { ...CLAIMS[provider], [implied.claim]: value })).toBe("deny");
      }
      expect(await ask(provider, { ...CLAIMS[provider], [implied.claim]: "push" })).toBe("allow");
    }
  });

  test(`a token of typ JOSE is ${preset.types?.includes("JOSE") ? "accepted" : "refused"}`, async () => {
    const outcome = await ask(provider, CLAIMS[provider], { typ: "JOSE" }).catch(
      (error: { code: string }) => error.code,
    );
    expect(outcome).toBe(preset.types?.includes("JOSE") ? "allow" : "invalid_token");
  });
});
