/** The claims step alone, without a signature: against a table, to the second, and against jose's own reading of RFC 7519. */

import { createHmac } from "node:crypto";
import fc from "fast-check";
import { errors, jwtVerify, SignJWT } from "jose";
import { describe, expect, test } from "vitest";
import type { OidcIssuer } from "../../shared/config/config.ts";
import type { BrokerError } from "../../shared/error.ts";
import { checkClaims } from "../../shared/identity/jwt.ts";
import { parseStrictJson } from "../../shared/json.ts";

const ISSUER: OidcIssuer = {
  name: "ci",
  provider: "generic",
  issuer: "https://issuer.example",
  audience: "https://broker.example",
  algorithms: ["RS256"],
  keys: { from: "discovery" },
  maxTokenLifetimeSeconds: 3600,
  replay: "off",
};
const NOW = new Date("2026-06-01T12:00:00.999Z");
const now = Math.floor(NOW.getTime() / 1000);

type Json = Readonly<Record<string, string>>;

/** Each claim as it stands in the token, so that a number may be one that no JavaScript number is. */
const SOUND: Json = {
  iss: '"https://issuer.example"',
  sub: '"job"',
  aud: '"https://broker.example"',
  iat: `${now - 10}`,
  nbf: `${now - 10}`,
  exp: `${now + 290}`,
};

function json(claims: Json): string {
  const members = Object.entries(claims).map(([name, value]) => `${JSON.stringify(name)}:${value}`);
  return `{${members.join(",")}}`;
}

function outcome(claims: Json, issuer = ISSUER): { code: BrokerError["code"] | "accepted"; message: string } {
  try {
    checkClaims(parseStrictJson(json(claims)) as Record<string, unknown>, issuer, NOW);
    return { code: "accepted", message: "" };
  } catch (error) {
    const { code, message } = error as BrokerError;
    return { code, message };
  }
}

test("sound claims are accepted, and the token proves something until its skew has passed too", () => {
  const { subject, expiresAt } = checkClaims(JSON.parse(json(SOUND)), ISSUER, NOW);
  expect({ subject, expiresAt }).toEqual({ subject: "job", expiresAt: new Date((now + 290 + 60) * 1000) });
});

describe("a value of another type is never read as one that would do", () => {
  const strange = ["null", "true", "false", '""', '"x"', "[]", "{}", `[${now}]`, `{"0":${now}}`, `"${now}"`];

  test.each(["exp", "iat", "nbf"].flatMap((claim) => [...strange, "1e400", "-1e400"].map((value) => [claim, value])))(
    "%s: %s",
    (claim, value) => {
      expect(outcome({ ...SOUND, [claim as string]: value as string })).toEqual({
        code: "invalid_token",
        message: `the token was not accepted: its ${claim} claim is not a number of seconds; the issuer must write it as a JSON number`,
      });
    },
  );

  test.each(["null", "true", "0", "1", '""', "[]", '["job"]', '{"toString":"job"}'])("sub: %s", (value) => {
    expect(outcome({ ...SOUND, sub: value })).toMatchObject({
      code: "invalid_token",
      message: expect.stringContaining("sub"),
    });
  });

  test.each(["null", "1", '["https://issuer.example"]', '"https://issuer.example/"', '"HTTPS://issuer.example"', "{}"])(
    "iss: %s",
    (value) => {
      expect(outcome({ ...SOUND, iss: value })).toMatchObject({
        code: "invalid_token",
        message: expect.stringContaining('iss claim is not "https://issuer.example" to the letter'),
      });
    },
  );

  test.each(["null", "1", '[["https://broker.example"]]', '{"0":"https://broker.example","length":1}', "true"])(
    "aud: %s",
    (value) => {
      expect(outcome({ ...SOUND, aud: value })).toMatchObject({
        code: "invalid_audience",
        message: expect.stringContaining(`whose only audience is "${ISSUER.audience}"`),
      });
    },
  );

  test("a jti that is no text is no identity of the token", () => {
    for (const jti of ["1", "null", '""', '["1"]']) {
      expect(checkClaims(JSON.parse(json({ ...SOUND, jti })), ISSUER, NOW)).not.toHaveProperty("tokenId");
    }
  });
});

test.each(["iss", "sub", "aud", "exp", "iat"])("without %s the refusal names it", (claim) => {
  const { [claim]: _, ...rest } = SOUND;
  expect(outcome(rest)).toMatchObject({
    code: "invalid_token",
    message: expect.stringContaining(`it has no ${claim} claim`),
  });
});

test("of the audiences of a token for others the first five are named, and what is no text is not", () => {
  const aud = JSON.stringify(["a", 1, "c", "d", "e", "f"]);
  expect(outcome({ ...SOUND, aud }).message).toContain('the token is for "a", no string, "c", "d", "e"; ask your CI');
  expect(outcome({ ...SOUND, aud: "[]" }).message).toContain("the token is for nobody; ");
});

test("a sub has the form that the provider gives, where it gives one", () => {
  const buildkite: OidcIssuer = { ...ISSUER, provider: "buildkite" };
  const of = (sub: string) => outcome({ ...SOUND, sub: JSON.stringify(sub) }, buildkite);
  expect(of("organization:acme:pipeline:web:ref:refs/heads/main:commit:1:step:build").code).toBe("accepted");
  expect(of("job")).toEqual({
    code: "invalid_token",
    message: expect.stringContaining("its sub claim is not of the form that buildkite gives"),
  });
});

test("a claim in the prototype's place is not there", () => {
  const { sub: _, ...rest } = SOUND;
  expect(outcome({ ...rest, ["__proto__"]: '{"sub":"admin"}' }).message).toContain("no sub claim");
});

describe("to the second", () => {
  test.each<[string, Json, BrokerError["code"] | "accepted"]>([
    ["exp, the last second of the skew", { exp: `${now - 59}`, iat: `${now - 300}` }, "accepted"],
    ["exp, the skew over", { exp: `${now - 60}`, iat: `${now - 300}` }, "token_expired"],
    ["exp, a fraction before that", { exp: `${now - 61}.5`, iat: `${now - 300}` }, "token_expired"],
    ["nbf, as far ahead as clocks may differ", { nbf: `${now + 60}` }, "accepted"],
    ["nbf, a second more", { nbf: `${now + 61}` }, "invalid_token"],
    ["nbf, half a second more", { nbf: `${now + 60}.5` }, "invalid_token"],
    ["iat, as far ahead as clocks may differ", { iat: `${now + 60}` }, "accepted"],
    ["iat, a second more", { iat: `${now + 61}` }, "invalid_token"],
    ["age, the limit and the skew", { iat: `${now - 3659}`, exp: `${now - 59}` }, "accepted"],
    ["age, a second more", { iat: `${now - 3661}`, exp: `${now - 59}` }, "token_expired"],
    ["lifetime, the limit", { iat: `${now}`, exp: `${now + 3600}` }, "accepted"],
    ["lifetime, a second more", { iat: `${now}`, exp: `${now + 3601}` }, "invalid_token"],
    ["lifetime, half a second more", { iat: `${now}`, exp: `${now + 3600}.5` }, "invalid_token"],
    ["negative", { iat: "-10", exp: "-1" }, "token_expired"],
    ["issued before the epoch, to live for ever", { iat: "-1", exp: "1e300" }, "token_expired"],
    ["huge", { exp: "1e300" }, "invalid_token"],
    ["before all dates", { iat: "-1e300", exp: "-1e300" }, "token_expired"],
    ["a second before the first date", { iat: "-8640000000001", exp: "-8640000000001" }, "token_expired"],
    ["from the beginning to the end of numbers", { iat: "-1.7e308", exp: "1.7e308" }, "token_expired"],
    ["in milliseconds", { exp: `${(now + 290) * 1000}` }, "invalid_token"],
    ["an exponent is a number like others", { exp: `${(now + 290) / 10}e1` }, "accepted"],
  ])("%s", (_, changed, code) => {
    expect(outcome({ ...SOUND, ...changed }).code).toBe(code);
  });

  test("whoever set the clock wrong learns by how much, and whoever asked for too long a life how long it may be", () => {
    expect(outcome({ ...SOUND, nbf: `${now + 100}` }).message).toContain("its nbf claim is 100 s ahead");
    expect(outcome({ ...SOUND, iat: `${now + 100}` }).message).toContain("its iat claim is 100 s ahead");
    expect(outcome({ ...SOUND, iat: `${now - 300}`, exp: `${now - 100}` }).message).toContain(
      "has expired, 100 s ago (2026-06-01T11:58:20.000Z)",
    );
    expect(outcome({ ...SOUND, iat: `${now}`, exp: `${now + 7200}` }).message).toContain(
      "it lives 7200 s; issuer ci may give 3600 s (max_token_lifetime)",
    );
  });
});

describe("against jose's jwtVerify with the same options", () => {
  const secret = new Uint8Array(32);

  /** Whatever the claims, under a signature that is right: jose's own signer would refuse to write most of them. */
  async function joseAccepts(claims: Json): Promise<boolean> {
    const input = [`{"alg":"HS256"}`, json(claims)].map((part) => Buffer.from(part).toString("base64url")).join(".");
    const token = `${input}.${createHmac("sha256", secret).update(input).digest("base64url")}`;
    try {
      await jwtVerify(token, secret, {
        algorithms: ["HS256"],
        issuer: ISSUER.issuer,
        audience: ISSUER.audience,
        requiredClaims: ["exp", "iat", "aud", "sub"],
        clockTolerance: 60,
        maxTokenAge: ISSUER.maxTokenLifetimeSeconds,
        currentDate: NOW,
      });
      return true;
    } catch (error) {
      if (error instanceof errors.JWTClaimValidationFailed || error instanceof errors.JWTExpired) return false;
      throw error;
    }
  }

  /** Mostly near one of the limits; sometimes nothing of the kind. */
  const time = fc.oneof(
    {
      weight: 8,
      arbitrary: fc
        .tuple(fc.constantFrom(0, -60, 60, -3600, 3600, -3660, 3660, 300), fc.integer({ min: -2, max: 2 }))
        .map(([limit, by]) => `${now + limit + by}`),
    },
    { weight: 1, arbitrary: fc.double({ min: -4000, max: 4000, noNaN: true }).map((by) => `${now + by}`) },
    {
      weight: 1,
      arbitrary: fc.constantFrom("null", "1e400", "-1e400", `"${now}"`, "[]", "-1", "0", "1e300", "true", "{}"),
    },
  );
  const audience = fc.constantFrom(
    ...['"https://broker.example"', '["https://broker.example"]', '["https://broker.example","x"]'],
    ...['"x"', "[]", "null", '{"0":"https://broker.example"}'],
  );
  const claims = fc.record(
    {
      iss: fc.oneof(
        { weight: 9, arbitrary: fc.constant(SOUND["iss"] as string) },
        fc.constantFrom('"x"', "null", "[]"),
      ),
      sub: fc.oneof({ weight: 9, arbitrary: fc.constant('"job"') }, fc.constantFrom('""', "1", "null")),
      aud: fc.oneof({ weight: 5, arbitrary: fc.constant(SOUND["aud"] as string) }, audience),
      iat: time,
      nbf: time,
      exp: time,
    },
    { requiredKeys: [] },
  );
  const nearlySound = fc
    .record({ iat: time, nbf: time, exp: time }, { requiredKeys: [] })
    .map((changed) => ({ ...SOUND, ...changed }));

  test("what jose refuses is refused here too; what is refused beyond that breaks a rule of our own", async () => {
    const seen = { bothAccept: 0, bothRefuse: 0, stricter: 0 };
    await fc.assert(
      fc.asyncProperty(fc.oneof(claims, nearlySound), async (set) => {
        const theirs = await joseAccepts(set as Json);
        const { code, message } = outcome(set as Json);
        if (code === "accepted") {
          expect(theirs).toBe(true);
          seen.bothAccept++;
        } else if (theirs) {
          // One audience; a subject; a limited life; and no number beyond all numbers, which jose compares like another.
          expect(message).toMatch(/whose only audience|sub claim|it lives|not a number of seconds/);
          seen.stricter++;
        } else {
          seen.bothRefuse++;
        }
      }),
      { numRuns: 5_000 },
    );
    for (const count of Object.values(seen)) expect(count).toBeGreaterThan(50);
  });

  test("what jose's own signer makes of sound claims is accepted", async () => {
    const token = await new SignJWT({})
      .setProtectedHeader({ alg: "HS256" })
      .setIssuer(ISSUER.issuer)
      .setSubject("job")
      .setAudience(ISSUER.audience)
      .setIssuedAt(NOW)
      .setNotBefore(NOW)
      .setExpirationTime(new Date(NOW.getTime() + 300_000))
      .sign(secret);
    const payload = Buffer.from(token.split(".")[1] as string, "base64url").toString();
    expect(checkClaims(JSON.parse(payload), ISSUER, NOW)).toMatchObject({ subject: "job" });
  });
});
