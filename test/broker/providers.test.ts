/**
 * Each kind of caller with an OpenID Connect token, over HTTP: tokens of the provider's form, made by a real OpenID provider, and
 * the grant of the provider's page in docs/callers/.
 */

import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { OidcProvider } from "../../shared/config/config.ts";
import { parseConfig } from "../../shared/config/load.ts";
import { PROVIDERS } from "../../shared/identity/providers.ts";
import { examplePolicy, PROVIDER_NAMES, TOKENS } from "../callers.ts";
import { type Answer, AUDIENCE, type Harness, type HarnessOptions, read, startHarness } from "./harness.ts";

type Claims = Readonly<Record<string, unknown>>;

function start(provider: OidcProvider, when?: Claims, rest: HarnessOptions = {}): Promise<Harness> {
  const named = when === undefined ? {} : { when };
  return startHarness({ policy: (cloud, issuer) => examplePolicy(provider, { cloud, issuer, ...named }), ...rest });
}

/** A token of the provider's form with these claims in the place of its own; `null` leaves one out. */
function mint(h: Harness, provider: OidcProvider, claims: Claims = {}, header?: Claims): Promise<string> {
  const { mine, audience = AUDIENCE, header: usual } = TOKENS[provider];
  return h.mint({ ref: null, aud: audience, ...mine, ...claims }, { ...usual, ...header });
}

async function push(h: Harness, token: string): Promise<Answer> {
  return read(await h.ask({ registry: "prod", scope: ["repository:web/app:push"] }, token));
}

async function ask(h: Harness, provider: OidcProvider, claims?: Claims, header?: Claims): Promise<Answer> {
  return push(h, await mint(h, provider, claims, header));
}

describe.each(PROVIDER_NAMES)("%s", (provider) => {
  const { mine, stranger } = TOKENS[provider];
  const preset = PROVIDERS[provider];
  /** The claims that the page's grant names. */
  const named = parseConfig(examplePolicy(provider, { issuer: "https://issuer.example.com" }), {
    file: "broker.yaml",
    readFile: () => "",
  }).grants.flatMap(({ when }) => when.flatMap(({ claim, kind }) => (kind === "none_of" ? [] : [claim])));
  /** The claim of the token that one is in, where dots lead into it. */
  const outermost = (claim: string) => (Object.hasOwn(mine, claim) ? claim : "kubernetes.io");

  let h: Harness;
  beforeAll(async () => {
    h = await start(provider);
  });
  afterAll(() => h.close());

  test("a token as the provider makes it gets what the page's grant gives", async () => {
    const { password, username } = await ask(h, provider);
    const login = h.cloud.login(username, password);
    expect([login?.allows("push", "web/app"), login?.allows("pull", "base/alpine")]).toEqual([true, false]);
  });

  test("one in which a claim that carries the grant is another tenant's is refused", async () => {
    const carrying = named.filter((claim) => (preset.trusted as readonly string[]).includes(claim));
    expect(carrying.length).toBeGreaterThan(0);
    for (const claim of carrying.map(outermost)) {
      expect(await ask(h, provider, { [claim]: stranger[claim] }), claim).toMatchObject({ code: "access_denied" });
    }
  });

  test("another tenant who has chosen all that can be chosen is refused", async () => {
    expect(await ask(h, provider, stranger)).toMatchObject({ code: "access_denied" });
  });

  test("one without a claim that the grant names is refused", async () => {
    for (const claim of new Set(named.map(outermost))) {
      const code = claim === "sub" ? "invalid_token" : "access_denied";
      expect(await ask(h, provider, { [claim]: null }), claim).toMatchObject({ code });
    }
  });

  test("one whose sub is not of the provider's form is no token of the provider", async () => {
    for (const sub of preset.subject === undefined ? [""] : ["somebody", `x${mine["sub"]}`, `${mine["sub"]}\n`]) {
      if (preset.subject?.test(sub)) continue;
      expect(await ask(h, provider, { sub }), sub).toMatchObject({ code: "invalid_token" });
    }
  });

  test("one for another audience, or for several, is refused", async () => {
    const { audience = AUDIENCE } = TOKENS[provider];
    for (const aud of ["https://other.example.com", [audience, "https://other.example.com"], []]) {
      expect(await ask(h, provider, { aud })).toMatchObject({ code: "invalid_audience" });
    }
  });

  test(`a second use of one is ${preset.replay === "once" ? "refused" : "served"}`, async () => {
    const token = await mint(h, provider);
    expect(await push(h, token)).toHaveProperty("password");
    const again = await push(h, token);
    if (preset.replay === "once") expect(again).toMatchObject({ code: "token_replayed" });
    else expect(again).toHaveProperty("password");
  });

  test(`one of typ JOSE is ${preset.types?.includes("JOSE") ? "served" : "refused"}, of another refused`, async () => {
    const jose = await ask(h, provider, {}, { typ: "JOSE" });
    if (preset.types?.includes("JOSE")) expect(jose).toHaveProperty("password");
    else expect(jose).toMatchObject({ code: "invalid_token" });
    expect(await ask(h, provider, {}, { typ: "at+jwt" })).toMatchObject({ code: "invalid_token" });
  });
});

describe("GitHub", () => {
  const immutable = { sub: "repo:acme@789/web@123456:ref:refs/heads/main" };

  test("a grant on ids takes both forms of sub, and one that names a form that form only", async () => {
    const h = await start("github");
    for (const claims of [{}, immutable, { sub: "repository_id:123456:ref:refs/heads/main" }]) {
      expect(await ask(h, "github", claims)).toHaveProperty("password");
    }
    await h.close();

    const strict = await start("github", { sub: immutable.sub });
    expect(await ask(strict, "github", immutable)).toHaveProperty("password");
    expect(await ask(strict, "github")).toMatchObject({ code: "access_denied" });
    // A name that another owner has taken: the numbers differ.
    const taken = { sub: "repo:acme@790/web@123457:ref:refs/heads/main" };
    expect(await ask(strict, "github", taken)).toMatchObject({ code: "access_denied" });
    await strict.close();
  });

  test.each(["pull_request", "pull_request_target"])("%s is refused unless the grant names it", async (event) => {
    // As in pull_request_target, where `ref` is the base branch.
    const claims = { event_name: event, base_ref: "main", head_ref: "patch-1" };
    const silent = await start("github");
    expect(await ask(silent, "github", claims)).toMatchObject({ code: "access_denied" });
    await silent.close();

    const naming = await start("github", { repository_id: "123456", event_name: event });
    expect(await ask(naming, "github", claims)).toHaveProperty("password");
    expect(await ask(naming, "github")).toMatchObject({ code: "access_denied" });
    await naming.close();
  });
});

describe("Kubernetes", () => {
  test("nested claims go by name", async () => {
    const h = await start("kubernetes", {
      "kubernetes.io.namespace": "ci",
      "kubernetes.io.serviceaccount.name": "builder",
      "kubernetes.io.pod.name": { glob: "copy-*" },
    });
    const inner = TOKENS.kubernetes.mine["kubernetes.io"] as Record<string, unknown>;
    const askWith = (part: Claims) => ask(h, "kubernetes", { "kubernetes.io": { ...inner, ...part } });
    expect(await askWith({})).toHaveProperty("password");
    for (const part of [
      { namespace: "evil" },
      { serviceaccount: { name: "other" } },
      { serviceaccount: "builder" },
      { pod: { name: "shell" } },
      { pod: undefined, "pod.name": "shell" },
    ]) {
      expect(await askWith(part), JSON.stringify(part)).toMatchObject({ code: "access_denied" });
    }
    await h.close();
  });

  test("with the cluster's keys in a file nothing has to be reached", async () => {
    const h = await startHarness({
      policy: (cloud) => examplePolicy("kubernetes", { cloud }),
      keysFile: "./cluster-jwks.json",
    });
    const iss = "https://kubernetes.default.svc";
    expect(await ask(h, "kubernetes", { iss })).toHaveProperty("password");
    expect(await ask(h, "kubernetes", { iss: h.issuer.url })).toMatchObject({ code: "untrusted_issuer" });
    await h.issuer.rotateKeys();
    expect(await ask(h, "kubernetes", { iss })).toMatchObject({ code: "invalid_token" });
    await h.close();
  });
});
