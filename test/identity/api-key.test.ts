/** API keys: how they are made, that nothing but the whole key opens, and that a wrong one takes the same steps as a right one. */

import { createHash, randomBytes, timingSafeEqual } from "node:crypto";
import fc from "fast-check";
import { afterEach, describe, expect, test, vi } from "vitest";
import type { ApiKey } from "../../shared/config/config.ts";
import { BrokerError } from "../../shared/error.ts";
import { apiKeys, newApiKey } from "../../shared/identity/api-key.ts";
import { principalName } from "../../shared/identity/principal.ts";
import { plantCanaries } from "../canaries.ts";

vi.mock("node:crypto", async (original) => {
  const crypto = await original<typeof import("node:crypto")>();
  return { ...crypto, createHash: vi.fn(crypto.createHash), timingSafeEqual: vi.fn(crypto.timingSafeEqual) };
});
afterEach(() => vi.clearAllMocks());

const NOW = new Date("2027-01-01T00:00:00Z");
const EXPIRES = new Date("2027-06-30T00:00:00Z");

function make(name: string) {
  const made = newApiKey(name, randomBytes);
  plantCanaries([made.key, made.key.slice(-64)]);
  return made;
}

function configured(name: string, sha256: string, facts: Partial<ApiKey> = {}): [string, ApiKey] {
  return [name, { name, sha256, expires: EXPIRES, cidrs: [], ...facts }];
}

const nightly = make("nightly");
const weekly = make("weekly");
const office = make("office");
const holders = apiKeys(
  new Map([
    configured("nightly", nightly.sha256),
    configured("weekly", weekly.sha256),
    configured("office", office.sha256, { cidrs: ["10.0.0.0/8", "2001:db8::/32"] }),
  ]),
);

/** What is answered: the principal, or the error. */
function verify(key: string, { address = undefined as string | undefined, now = NOW, by = holders } = {}) {
  try {
    return by.verify(key, address, now);
  } catch (error) {
    if (error instanceof BrokerError) return error;
    throw error;
  }
}

const UNKNOWN =
  "the API key was not accepted: the broker does not know it, or no longer; ask its operator for a new one";

describe("a new key", () => {
  test("is its name and 256 random bits, and the configuration gets the digest of all of it", () => {
    const bytes = Uint8Array.from({ length: 32 }, (_, index) => index);
    const made = newApiKey("ci-42", (count) => bytes.slice(0, count));
    const key = "abk_ci-42_000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";
    expect(made).toEqual({ key, sha256: createHash("sha256").update(key).digest("hex"), last4: "1e1f" });
  });

  test("is never the same twice", () => {
    expect(new Set(Array.from({ length: 1000 }, () => newApiKey("ci", randomBytes).key)).size).toBe(1000);
  });

  test.each(["", "Nightly", "night_ly", "-nightly", "night ly", "a".repeat(64)])("has no name like %j", (name) => {
    expect(() => newApiKey(name, randomBytes)).toThrow(TypeError);
  });

  test("is not made of too few bits", () => {
    expect(() => newApiKey("ci", () => new Uint8Array(31))).toThrow(TypeError);
  });
});

describe("a right key", () => {
  test("is its holder, by the name in the configuration, without claims", () => {
    const principal = verify(nightly.key);
    expect(principal).toEqual({ source: { apiKey: "nightly" }, subject: "nightly", claims: {}, expiresAt: EXPIRES });
  });

  test("has a name that no issuer's caller has", () => {
    const holder = { source: { apiKey: "nightly" }, subject: "nightly", claims: {} };
    const caller = { source: { issuer: "nightly" }, subject: "nightly", claims: {} };
    expect(principalName(holder)).toBe("api_key.nightly");
    expect(principalName(caller)).not.toBe(principalName(holder));
  });

  test("made with openssl rand -hex 32 is as good", () => {
    const key = `abk_by-hand_${randomBytes(32).toString("hex")}`;
    const by = apiKeys(new Map([configured("by-hand", createHash("sha256").update(key).digest("hex"))]));
    expect(verify(key, { by })).toMatchObject({ subject: "by-hand" });
  });

  test("ends to the millisecond, and its holder is told so", () => {
    expect(verify(nightly.key, { now: new Date(EXPIRES.getTime() - 1) })).toMatchObject({ subject: "nightly" });
    const error = verify(nightly.key, { now: EXPIRES });
    expect(error).toMatchObject({ code: "invalid_api_key", status: 401 });
    expect((error as BrokerError).message).toContain("nightly expired at 2027-06-30T00:00:00.000Z; ask the broker's");
  });

  test.each(["10.0.0.1", "10.255.255.255", "2001:db8::1"])("opens from %s, in its networks", (address) => {
    expect(verify(office.key, { address })).toMatchObject({ subject: "office" });
  });

  test.each(["11.0.0.1", "::1", "2001:db9::1"])("does not open from %s, and its holder is told so", (address) => {
    const error = verify(office.key, { address });
    expect(error).toMatchObject({ code: "invalid_api_key" });
    expect((error as BrokerError).message).toContain(`office may not be used from ${address}, which is in none of its`);
  });

  test("with networks does not open where nobody knows the caller's address", () => {
    const error = verify(office.key);
    expect(error).toMatchObject({ code: "invalid_api_key" });
    expect((error as BrokerError).message).toContain("cannot tell where a request comes from");
  });
});

describe("a wrong key", () => {
  const secret = nightly.key.slice(-64);
  const flipped = nightly.key.at(-1) === "0" ? "1" : "0";

  test.each([
    ["of another name", `abk_weekly_${secret}`],
    ["of an unknown name", `abk_monthly_${secret}`],
    ["with another secret", make("nightly").key],
    ["of which one digit is another", nightly.key.slice(0, -1) + flipped],
    ["of a name that every object has", `abk_constructor_${secret}`],
  ])("%s is answered like any other, also to who has a right secret at hand", (_, key) => {
    expect(verify(key)).toMatchObject({ code: "invalid_api_key", status: 401, message: UNKNOWN });
  });

  test("says nothing of expiry or networks to who has not the secret", () => {
    const late = { now: new Date("2030-01-01T00:00:00Z"), address: "192.0.2.1" };
    expect(verify(make("office").key, late)).toMatchObject({ message: UNKNOWN });
  });

  test.each([
    ["cut off", nightly.key.slice(0, -1)],
    ["padded behind", `${nightly.key}0`],
    ["padded in front", nightly.key.replace("abk_", "abk_0")],
    ["in capitals", `abk_nightly_${secret.toUpperCase().replace(/\d/g, "A")}`],
    ["with a capital name", nightly.key.replace("nightly", "Nightly")],
    ["with a line end", `${nightly.key}\n`],
    ["with a space", `${nightly.key} `],
    ["with a zero byte", `${nightly.key}\0`],
    ["with digits of another script", nightly.key.slice(0, -1).concat("\uff10")],
    ["with a name of look-alikes", nightly.key.replace("n", "\u0578")],
    ["with another underscore", nightly.key.replace("nightly", "night_ly")],
    ["twice", nightly.key + nightly.key],
    ["in base64", Buffer.from(nightly.key).toString("base64url").replace(/^/, "abk_")],
    ["without a secret", "abk_nightly_"],
    ["without a name", `abk__${secret}`],
    ["of nothing", "abk_"],
    ["of a megabyte", `abk_nightly_${"a".repeat(1024 * 1024)}`],
    ["that is the digest", `abk_nightly_${nightly.sha256}`],
    ["whose secret somebody made up, though its digest is configured", "abk_made-up_correct-horse-battery-staple"],
  ])("%s does not open", (_, key) => {
    const by = apiKeys(
      new Map([
        configured("nightly", nightly.sha256),
        configured("made-up", createHash("sha256").update("abk_made-up_correct-horse-battery-staple").digest("hex")),
      ]),
    );
    expect(verify(key, { by })).toMatchObject({ code: "invalid_api_key", status: 401 });
  });

  test("of another form is told its form, and one of the right form no more than that it is unknown", () => {
    const told = (key: string) => (verify(key) as BrokerError).message;
    expect(told(`${nightly.key}0`)).toContain("it is not abk_<name>_<64 hex digits in lower case>");
    for (const key of [make("nightly").key, make("unknown").key])
      expect(told(key)).toContain("the broker does not know it, or no longer");
  });

  test("takes the same steps whether its name is known or not: one digest, one comparison of 32 bytes", () => {
    const steps = (key: string) => {
      vi.clearAllMocks();
      verify(key);
      return {
        digests: [...vi.mocked(createHash).mock.calls],
        compared: vi.mocked(timingSafeEqual).mock.calls.map((sides) => sides.map((side) => side.byteLength)),
      };
    };
    const right = steps(nightly.key);
    expect(right).toEqual({ digests: [["sha256"]], compared: [[32, 32]] });
    expect(steps(make("nightly").key)).toEqual(right);
    expect(steps(make("unknown").key)).toEqual(right);
  });

  test("is never opened by changing a right one at random", () => {
    const pieces = fc.oneof(
      fc.constantFrom("", "0", "a", "_", "-", "abk_", "weekly", " ", "\n", nightly.last4, secret),
      fc.string({ maxLength: 6, unit: "binary" }),
      fc.string({ maxLength: 3, unit: fc.constantFrom(..."0123456789abcdefABCDEF_") }),
    );
    const change = fc.tuple(fc.nat(nightly.key.length), fc.nat(4), pieces);
    fc.assert(
      fc.property(fc.array(change, { minLength: 1, maxLength: 4 }), (changes) => {
        const key = changes.reduce(
          (text, [at, length, piece]) => text.slice(0, at) + piece + text.slice(at + length),
          nightly.key,
        );
        fc.pre(key !== nightly.key);
        expect(verify(key) instanceof BrokerError).toBe(true);
      }),
      { numRuns: 5000 },
    );
  });

  test("is in no answer", () => {
    for (const key of [nightly.key, `${nightly.key}x`, make("nightly").key, make("unknown").key]) {
      const answer = verify(key, { now: EXPIRES });
      expect((answer as BrokerError).message).not.toContain(key.slice(-20, -1));
    }
  });
});
