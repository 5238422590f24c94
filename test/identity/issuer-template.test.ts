/** Many issuers under one template: the `iss` that are accepted are those that grants name, to the letter, and no others. */

import fc from "fast-check";
import { CompactSign, exportJWK, generateKeyPair } from "jose";
import { describe, expect, test } from "vitest";
import type { Issuer } from "../../shared/config/config.ts";
import { parseConfig } from "../../shared/config/load.ts";
import { identity } from "../../shared/identity/identify.ts";
import { acceptedIss, filledWith, memberOf, overlap, valuesIn } from "../../shared/identity/issuer-template.ts";

const TEMPLATE = "https://oidc.example.com/org/{org}";
const ACME = "https://oidc.example.com/org/acme";
const GLOBEX = "https://oidc.example.com/org/Globex_1.2~3";
const grant = (iss: string) =>
  `{ issuer: orgs, when: { iss: ${iss}, sub: job }, registry: prod, allow: ["repository:web/*:pull"], role_arn: "acs:ram::1234567890123456:role/acr-web", max_ttl: 900 }`;
const config = parseConfig(
  `version: 1
audience: https://acr-broker.example.com
registries:
  prod: { instance_id: cri-abc123, region: cn-hangzhou, account_id: "1234567890123456", endpoints: [acme.example.com] }
issuers:
  orgs: { provider: generic, issuer_template: "${TEMPLATE}" }
grants:
  one: ${grant(ACME)}
  both: ${grant(`{ any_of: ["${GLOBEX}", "${ACME}"] }`)}
denials:
  third: { issuer: orgs, when: { iss: https://oidc.example.com/org/denied }, registry: prod, deny: ["repository:web/x:pull"] }
`,
  { file: "broker.yaml", readFile: () => "" },
);

const { privateKey } = await generateKeyPair("RS256");

/** What a token with this `iss` is refused with, and what was fetched for it. */
async function tried(iss: unknown): Promise<{ code: string; fetched: string[] }> {
  const fetched: string[] = [];
  const callers = identity(
    config,
    async (url) => {
      fetched.push(url);
      return new Response(null, { status: 404 });
    },
    () => () => Promise.reject(new Error("no issuer has a CA of its own")),
    () => new Date(),
  );
  const token = await new CompactSign(new TextEncoder().encode(JSON.stringify({ iss, sub: "job" })))
    .setProtectedHeader({ alg: "RS256", kid: "k1" })
    .sign(privateKey);
  const code = await callers.identify(`Bearer ${token}`).then(
    () => "accepted",
    (error: { code: string }) => error.code,
  );
  return { code, fetched };
}

test.each([ACME, GLOBEX])("%s, which a grant names, is asked for its keys at its own place", async (iss) => {
  expect(await tried(iss)).toEqual({
    code: "issuer_unavailable",
    fetched: [`${iss}/.well-known/openid-configuration`],
  });
});

test("a token of one of them names its caller as the issuer's, and which of the many it is of", async () => {
  const keys = await generateKeyPair("RS256", { extractable: true });
  const now = Math.floor(Date.parse("2026-06-01T12:00:00Z") / 1000);
  const documents: Record<string, object> = {
    [`${ACME}/.well-known/openid-configuration`]: { issuer: ACME, jwks_uri: `${ACME}/keys` },
    [`${ACME}/keys`]: { keys: [{ ...(await exportJWK(keys.publicKey)), kid: "k1", alg: "RS256" }] },
  };
  const callers = identity(
    config,
    async (url) => new Response(JSON.stringify(documents[url]), { status: url in documents ? 200 : 404 }),
    () => () => Promise.reject(new Error("no issuer has a CA of its own")),
    () => new Date(now * 1000),
  );
  const claims = { iss: ACME, sub: "job", aud: config.audience, iat: now, exp: now + 300, jti: "1" };
  const token = await new CompactSign(new TextEncoder().encode(JSON.stringify(claims)))
    .setProtectedHeader({ alg: "RS256", kid: "k1" })
    .sign(keys.privateKey);
  expect(await callers.identify(`Bearer ${token}`)).toMatchObject({
    source: { issuer: "orgs" },
    member: "acme",
    subject: "job",
  });
  const forged = `${token.slice(0, -4)}AAAA`;
  await expect(callers.identify(`Bearer ${forged}`)).rejects.toThrow("key of issuer orgs/acme");
});

describe("nothing is fetched for", () => {
  test.each([
    ["another host", "https://evil.example.com/org/acme"],
    ["a longer host", "https://oidc.example.com.evil.example/org/acme"],
    ["a host before it", "https://evil.example/https://oidc.example.com/org/acme"],
    ["another port", "https://oidc.example.com:8443/org/acme"],
    ["the scheme's own port", "https://oidc.example.com:443/org/acme"],
    ["another scheme", "http://oidc.example.com/org/acme"],
    ["a scheme in capitals", "HTTPS://oidc.example.com/org/acme"],
    ["a host in capitals", "https://OIDC.example.com/org/acme"],
    ["a host with a dot behind it", "https://oidc.example.com./org/acme"],
    ["a segment more", "https://oidc.example.com/org/acme/x"],
    ["a segment before", "https://oidc.example.com/x/org/acme"],
    ["a segment less", "https://oidc.example.com/org"],
    ["another literal segment", "https://oidc.example.com/user/acme"],
    ["an encoded slash", "https://oidc.example.com/org/acme%2Fx"],
    ["an encoded letter", "https://oidc.example.com/org/%61cme"],
    ["a backslash", "https://oidc.example.com\\org\\acme"],
    ["dot segments", "https://oidc.example.com/org/../org/acme"],
    ["a dot segment for the value", "https://oidc.example.com/org/.."],
    ["encoded dot segments", "https://oidc.example.com/org/x/%2e%2e/acme"],
    ["an empty segment", "https://oidc.example.com/org//acme"],
    ["an empty value", "https://oidc.example.com/org/"],
    ["somebody before the host", "https://user@oidc.example.com/org/acme"],
    ["the host as somebody", "https://oidc.example.com@evil.example/org/acme"],
    ["a slash behind it", `${ACME}/`],
    ["a query", `${ACME}?x=1`],
    ["an empty query", `${ACME}?`],
    ["a fragment", `${ACME}#x`],
    ["the template as a query", `http://localhost?issuer=${ACME}`],
    ["something before it", `x${ACME}`],
    ["something behind it", `${ACME}x`],
    ["white space before it", ` ${ACME}`],
    ["white space behind it", `${ACME} `],
    ["a line break behind it", `${ACME}\n`],
    ["a zero behind it", `${ACME}\0`],
    ["the value in capitals", "https://oidc.example.com/org/ACME"],
    ["the template itself", TEMPLATE],
    ["an organization that no grant names", "https://oidc.example.com/org/other"],
    ["an organization that only a denial names", "https://oidc.example.com/org/denied"],
    ["a name that objects have", "__proto__"],
    ["nothing", ""],
  ])("%s: %j", async (_, iss) => {
    expect(await tried(iss)).toEqual({ code: "untrusted_issuer", fetched: [] });
  });

  test("a list with it in it", async () => {
    expect(await tried([ACME])).toEqual({ code: "invalid_token", fetched: [] });
  });

  test("any iss that no grant names to the letter", async () => {
    const near = fc
      .tuple(
        fc.nat(ACME.length),
        fc.nat(3),
        fc.oneof(fc.string({ maxLength: 4 }), fc.constantFrom("/", "%2F", "..", "@")),
      )
      .map(([at, length, put]) => ACME.slice(0, at) + put + ACME.slice(at + length));
    const ofForm = fc.stringMatching(/^[A-Za-z0-9._~-]{1,20}$/).map((value) => filledWith(TEMPLATE, value));
    await fc.assert(
      fc.asyncProperty(fc.oneof(near, ofForm, fc.webUrl(), fc.string()), async (iss) => {
        fc.pre(iss !== ACME && iss !== GLOBEX);
        expect(await tried(iss)).toEqual({ code: "untrusted_issuer", fetched: [] });
      }),
      { numRuns: 300 },
    );
  });
});

describe("a template", () => {
  const segment = fc.oneof(
    fc.constantFrom("a", "b", "a.b", "..", ".", "%61", "", "{x}", "{y}"),
    fc.stringMatching(/^[A-Za-z0-9._~%-]{0,5}$/),
  );
  const path = fc.array(segment, { minLength: 1, maxLength: 4 }).map((parts) => `https://h.example/${parts.join("/")}`);

  test("is of the form of exactly what it makes", () => {
    fc.assert(
      fc.property(path, fc.string({ maxLength: 5 }), (template, value) => {
        const isValue = /^[A-Za-z0-9._~-]+$/.test(value) && /[^.]/.test(value);
        const iss = filledWith(template, value);
        if (iss === template) return;
        expect(valuesIn(template, iss) !== undefined).toBe(isValue);
      }),
    );
  });

  test("overlaps with another, either way round, wherever some iss is of both forms", () => {
    const value = fc.stringMatching(/^[ab.]{1,3}$/);
    fc.assert(
      fc.property(path, path, value, (one, other, text) => {
        expect(overlap(one, other)).toBe(overlap(other, one));
        const iss = filledWith(one, text);
        const isOfBoth = valuesIn(one, iss) !== undefined && valuesIn(other, iss) !== undefined;
        if (isOfBoth) expect(overlap(one, other)).toBe(true);
      }),
      { numRuns: 2000 },
    );
  });

  test.each([
    ["https://h/{x}", "https://h/{y}", true],
    ["https://h/{x}/b", "https://h/a/{y}", true],
    ["https://h/{x}/b", "https://h/{y}/c", false],
    ["https://h/{x}", "https://h/{y}/", false],
    ["https://h/{x}", "https://h/a/{y}", false],
    ["https://h/{x}", "https://i/{x}", false],
    ["https://h/{x}", "http://h/{x}", false],
    ["https://h/{x}/a%62", "https://h/{x}/{y}", false],
  ])("%s and %s: %s", (one, other, expected) => {
    expect(overlap(one, other)).toBe(expected);
  });

  test("has no variable before the path", () => {
    for (const template of ["{s}://h/{x}", "https:{s}//h/{x}", "https://{h}/{x}"]) {
      expect(valuesIn(template, filledWith(template, "a"))).toEqual(["a"]);
      expect(valuesIn(template, template.replace(/\{[sh]\}/, "evil").replace("{x}", "a"))).toBeUndefined();
    }
  });

  test("takes up to 128 characters for a variable", () => {
    expect(valuesIn("https://h/{x}", `https://h/${"a".repeat(128)}`)).toHaveLength(1);
    expect(valuesIn("https://h/{x}", `https://h/${"a".repeat(129)}`)).toBeUndefined();
  });
});

describe("which of the many an iss is", () => {
  const issuer = config.issuers.get("orgs") as Issuer;
  const two = { ...issuer, template: "https://h.example/{org}/x/{team}" } as Issuer;
  const alone = { provider: "generic", issuer: "https://one.example" } as Issuer;

  test("the values of its variables", () => {
    expect(memberOf(issuer, ACME)).toStrictEqual({ member: "acme" });
    expect(memberOf(two, "https://h.example/acme/x/web")).toStrictEqual({ member: "acme/web" });
  });

  test("none where there is one issuer only, or no iss of the form", () => {
    expect(memberOf(alone, "https://one.example")).toStrictEqual({});
    expect(memberOf(undefined, ACME)).toStrictEqual({});
    for (const iss of ["https://evil.example", undefined, 1, [ACME]]) expect(memberOf(issuer, iss)).toStrictEqual({});
  });

  test("accepted are those that grants name, the one that there is, or none where there are no tokens", () => {
    expect([...acceptedIss(issuer)].sort()).toEqual([GLOBEX, ACME].sort());
    expect(acceptedIss(alone)).toEqual(["https://one.example"]);
    expect(acceptedIss({ provider: "alibaba", issuer: "x" } as unknown as Issuer)).toEqual([]);
  });
});
