/** What a broker remembers of tokens never changes what it answers: only how often a signature is verified, which is counted. */

import { type CryptoKey, exportJWK, generateKeyPair, type JWK, SignJWT } from "jose";
import { afterEach, beforeAll, describe, expect, test, vi } from "vitest";
import type { OidcIssuer } from "../../shared/config/config.ts";
import { identity } from "../../shared/identity/identify.ts";
import { tokenMemory } from "../../shared/identity/token-memory.ts";

const verified = vi.hoisted(() => ({ count: 0 }));
vi.mock("../../shared/identity/signature.ts", async (original) => {
  const { isSignatureOf } = await original<typeof import("../../shared/identity/signature.ts")>();
  return {
    isSignatureOf: (...args: Parameters<typeof isSignatureOf>) => {
      verified.count++;
      return isSignatureOf(...args);
    },
  };
});
afterEach(() => {
  verified.count = 0;
});

const AUDIENCE = "https://broker.example";
const ISSUER = "https://issuer.example";
const BEGIN = Date.parse("2026-06-01T12:00:00Z");
const SECOND = 1_000;
const MINUTE = 60 * SECOND;

let ours: { jwk: JWK; privateKey: CryptoKey };
let other: typeof ours;

async function keyPair(): Promise<typeof ours> {
  const { publicKey, privateKey } = await generateKeyPair("ES256", { extractable: true });
  return { jwk: await exportJWK(publicKey), privateKey };
}

beforeAll(async () => {
  [ours, other] = await Promise.all([keyPair(), keyPair()]);
});

/** Good from a minute from now until five minutes from now, both by the clock at the start. */
function mint(claims: Record<string, unknown> = {}, { privateKey } = ours): Promise<string> {
  const begin = BEGIN / SECOND;
  return new SignJWT({ iss: ISSUER, aud: AUDIENCE, sub: "job", iat: begin, nbf: begin, exp: begin + 300, ...claims })
    .setProtectedHeader({ alg: "ES256", kid: "k1" })
    .sign(privateKey);
}

/** A broker of one issuer, whose keys and clock a test can change. */
function stage(facts: Partial<OidcIssuer> = {}) {
  const clock = { ms: BEGIN };
  const published: { keys: JWK[] | "down" } = { keys: [{ ...ours.jwk, kid: "k1" }] };
  const issuer: OidcIssuer = {
    name: "ci",
    provider: "generic",
    issuer: ISSUER,
    audience: AUDIENCE,
    algorithms: ["ES256"],
    keys: { from: "url", url: `${ISSUER}/jwks` },
    maxTokenLifetimeSeconds: 3 * 3600,
    replay: "off",
    ...facts,
  };
  const fetch = async () => {
    if (published.keys === "down") throw new TypeError("fetch failed", { cause: { code: "ECONNREFUSED" } });
    return Response.json({ keys: published.keys });
  };
  const { identifyToken } = identity(
    {
      audience: AUDIENCE,
      registries: new Map(),
      issuers: new Map([[issuer.name, issuer]]),
      apiKeys: new Map(),
      grants: [],
      denials: [],
      alibaba: {},
      digest: "sha256:0",
    },
    fetch,
    () => fetch,
    () => new Date(clock.ms),
  );
  const outcome = async (token: string) => {
    try {
      return (await identifyToken(token)).subject;
    } catch (error) {
      return (error as { code: string }).code;
    }
  };
  return { clock, published, identifyToken, outcome };
}

test("a token that is sent again is verified once, and says the same", async () => {
  const { identifyToken } = stage();
  const token = await mint({ jti: "1", ref: "refs/heads/main" });
  const first = await identifyToken(token);
  expect(await identifyToken(token)).toEqual(first);
  expect(verified.count).toBe(1);
});

describe("a known token", () => {
  test("expires at the second at which a new one does", async () => {
    const { clock, outcome } = stage();
    const token = await mint();
    expect(await outcome(token)).toBe("job");
    // With the minute for clocks that differ.
    clock.ms = BEGIN + 6 * MINUTE - SECOND;
    expect([await outcome(token), await stageAt(clock.ms).outcome(token)]).toEqual(["job", "job"]);
    clock.ms += SECOND;
    expect([await outcome(token), await stageAt(clock.ms).outcome(token)]).toEqual(["token_expired", "token_expired"]);
  });

  test("is not valid yet where the clock is set back, as a new one is not", async () => {
    const { clock, outcome } = stage();
    const token = await mint();
    expect(await outcome(token)).toBe("job");
    clock.ms = BEGIN - 61 * SECOND;
    expect([await outcome(token), await stageAt(clock.ms).outcome(token)]).toEqual(["invalid_token", "invalid_token"]);
  });

  test("grows too old for its issuer", async () => {
    const { clock, outcome } = stage({ maxTokenLifetimeSeconds: 300 });
    const token = await mint();
    expect(await outcome(token)).toBe("job");
    clock.ms = BEGIN + 362 * SECOND;
    expect(await outcome(token)).toBe("token_expired");
  });

  function stageAt(ms: number) {
    const made = stage();
    made.clock.ms = ms;
    return made;
  }
});

describe("when the issuer's keys change", () => {
  const long = { exp: BEGIN / SECOND + 2 * 3600 };

  test("a token of one that was taken back is believed for 15 minutes, and no longer", async () => {
    const { clock, published, outcome } = stage();
    const token = await mint(long);
    expect(await outcome(token)).toBe("job");
    published.keys = [{ ...other.jwk, kid: "k2" }];
    clock.ms = BEGIN + 9 * MINUTE;
    expect(await outcome(token)).toBe("job");
    clock.ms = BEGIN + 15 * MINUTE + 1;
    expect(await outcome(token)).toBe("invalid_token");
  });

  test("a token is not good with another key of the same kid", async () => {
    const { clock, published, outcome } = stage();
    const token = await mint(long);
    expect(await outcome(token)).toBe("job");
    published.keys = [{ ...other.jwk, kid: "k1" }];
    clock.ms = BEGIN + 15 * MINUTE + 1;
    expect(await outcome(token)).toBe("invalid_token");
    expect(await outcome(await mint(long, other))).toBe("job");
  });

  test("a token is verified again, once, with the same key fetched anew", async () => {
    const { clock, outcome } = stage();
    const token = await mint(long);
    expect(await outcome(token)).toBe("job");
    clock.ms = BEGIN + 15 * MINUTE + 1;
    expect([await outcome(token), await outcome(token)]).toEqual(["job", "job"]);
    expect(verified.count).toBe(2);
  });

  test("a token is believed for 12 hours where the issuer does not answer, and no longer", async () => {
    const { clock, published, outcome } = stage({ maxTokenLifetimeSeconds: 24 * 3600 });
    const token = await mint({ exp: BEGIN / SECOND + 20 * 3600 });
    expect(await outcome(token)).toBe("job");
    published.keys = "down";
    clock.ms = BEGIN + 12 * 60 * MINUTE;
    expect(await outcome(token)).toBe("job");
    clock.ms += 1;
    expect(await outcome(token)).toBe("issuer_unavailable");
  });
});

describe("what is known of a token is not known of", () => {
  test("the same text but for a character that decodes alike", async () => {
    const { outcome } = stage();
    const token = await mint();
    expect(await outcome(token)).toBe("job");
    // Of the last character's six bits a signature of 64 bytes uses two.
    const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    const last = alphabet[alphabet.indexOf(token.at(-1) as string) + 1] as string;
    const alike = token.slice(0, -1) + last;
    expect(Buffer.from(alike.split(".")[2] as string, "base64url")).toEqual(
      Buffer.from(token.split(".")[2] as string, "base64url"),
    );
    expect(await outcome(alike)).toBe("invalid_token");
    expect(await outcome(`${token}=`)).toBe("invalid_token");
  });

  test("a text of other characters with the same low bytes", async () => {
    const { outcome } = stage();
    const token = await mint();
    expect(await outcome(token)).toBe("job");
    const wide = String.fromCharCode(token.charCodeAt(0) + 256) + token.slice(1);
    expect(await outcome(wide)).toBe("invalid_token");
  });

  test("one with its payload or signature from another", async () => {
    const { outcome } = stage();
    const [one, two] = [await mint({ sub: "job" }), await mint({ sub: "other-job" })];
    expect([await outcome(one), await outcome(two)]).toEqual(["job", "other-job"]);
    const [header, , signature] = one.split(".");
    expect(await outcome([header, two.split(".")[1], signature].join("."))).toBe("invalid_token");
  });

  test("the same one, to a broker of another policy", async () => {
    const token = await mint();
    expect(await stage().outcome(token)).toBe("job");
    expect(await stage({ audience: "https://elsewhere.example" }).outcome(token)).toBe("invalid_audience");
    expect(await stage({ issuer: "https://other.example" }).outcome(token)).toBe("untrusted_issuer");
    expect(await stage({ algorithms: ["RS256"] }).outcome(token)).toBe("invalid_token");
    const renamed = await stage({ name: "renamed" }).identifyToken(token);
    expect(renamed.source).toEqual({ issuer: "renamed" });
  });
});

test("refused tokens are not remembered: each is verified again", async () => {
  const { clock, outcome } = stage();
  const [forged, foreign, early] = [
    await mint({}, other),
    await mint({ aud: "https://elsewhere.example" }),
    await mint({ nbf: BEGIN / SECOND + 90 }),
  ];
  for (const token of [forged, foreign, early, forged, foreign, early]) expect(await outcome(token)).not.toBe("job");
  expect(verified.count).toBe(6);
  clock.ms = BEGIN + 40 * SECOND;
  expect(await outcome(early)).toBe("job");
});

describe("memory", () => {
  test("holds so many tokens, and forgets the least recently used", () => {
    const memory = tokenMemory<{ name: string }>(3);
    for (const name of ["a", "b", "c"]) memory.find(name).keep({ name });
    memory.find("a");
    memory.find("d").keep({ name: "d" });
    expect(["a", "b", "c", "d"].map((text) => memory.find(text).known?.name)).toEqual(["a", undefined, "c", "d"]);
  });

  test("holds tokens of so many characters in all, however few they are", () => {
    const memory = tokenMemory<{ name: string }>(1_000, 10_000);
    const texts = Array.from({ length: 50 }, (_, index) => String(index).padStart(2_000, "x"));
    for (const text of texts) memory.find(text).keep({ name: text });
    expect(texts.filter((text) => memory.find(text).known !== undefined)).toEqual(texts.slice(-5));
    memory.find("y".repeat(10_001)).keep({ name: "too long" });
    expect(memory.find("y".repeat(10_001)).known).toBeUndefined();
    expect(memory.find(texts.at(-1) as string).known).toBeDefined();
  });

  test("of a broker that is flooded with valid tokens does not grow without end", async () => {
    const { outcome } = stage();
    const first = await mint({ jti: "first" });
    expect(await outcome(first)).toBe("job");
    // As large as a token may be: some 520 of them are as many characters as are kept.
    const padding = "p".repeat(5_800);
    for (let count = 0; count < 700; count++)
      expect(await outcome(await mint({ jti: String(count), padding }))).toBe("job");
    const before = verified.count;
    expect(await outcome(first)).toBe("job");
    expect(verified.count).toBe(before + 1);
  });
});

test("a token that is good for one credential is not remembered", async () => {
  const { outcome } = stage({ replay: "once" });
  const token = await mint({ jti: "1" });
  expect([await outcome(token), await outcome(token)]).toEqual(["job", "job"]);
  expect(verified.count).toBe(2);
});
