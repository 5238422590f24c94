import { exportJWK, generateKeyPair, type JWK } from "jose";
import { beforeAll, describe, expect, test } from "vitest";
import { selectKey, usableKeys } from "../../shared/identity/jwks.ts";
import { ALL_ALGORITHMS } from "./verify-text.ts";

let rsa: JWK;
let weak: JWK;
let ec: JWK;

beforeAll(async () => {
  const { generateKeyPairSync } = await import("node:crypto");
  const publicJwk = async (algorithm: string) =>
    exportJWK((await generateKeyPair(algorithm, { extractable: true })).publicKey);
  rsa = { ...(await publicJwk("RS256")), kid: "rsa" };
  ec = { ...(await publicJwk("ES256")), kid: "ec" };
  weak = {
    ...(generateKeyPairSync("rsa", { modulusLength: 1024 }).publicKey.export({ format: "jwk" }) as JWK),
    kid: "weak",
  };
});

const kids = (keys: unknown[], algorithms = ["RS256", "ES256"] as ("RS256" | "ES256")[]) =>
  usableKeys({ keys }, algorithms).map((key) => key.kid);

describe("keys that are left out", () => {
  test("a sound one is not", () =>
    expect(kids([{ ...rsa, use: "sig", alg: "RS256", key_ops: ["verify"] }])).toEqual(["rsa"]));
  test("RSA under 2,048 bits", () => expect(kids([weak])).toEqual([]));
  test("a modulus that is only long by leading zeros", () => {
    for (const zeros of [1, 128, 200]) {
      const n = Buffer.concat([Buffer.alloc(zeros), Buffer.from(weak.n as string, "base64url")]).toString("base64url");
      expect(kids([{ ...weak, n }])).toEqual([]);
    }
  });
  test.each(["AQ", "Aw", "AAAD"])("RSA with exponent %s", (e) => expect(kids([{ ...rsa, e }])).toEqual([]));
  test("RSA made by Infineon's library, as CVE-2017-15361 describes its primes", () => {
    // Of the form k·M + (65537^a mod M), M the product of the small primes; that they be prime plays no part here.
    const small = Array.from({ length: 166 }, (_, index) => BigInt(index + 2)).filter(
      (candidate, index) => !Array.from({ length: index }, (_, j) => BigInt(j + 2)).some((d) => candidate % d === 0n),
    );
    const product = small.reduce((all, prime) => all * prime, 1n);
    const half = (k: bigint, exponent: number) => {
      let power = 1n;
      for (let count = 0; count < exponent; count++) power = (power * 65537n) % product;
      return k * product + power;
    };
    const modulus = half(2n ** 806n + 12345n, 77) * half(2n ** 806n + 99n, 1234);
    const jwk = (n: bigint) => ({
      ...rsa,
      n: Buffer.from(n.toString(16).padStart(514, "0"), "hex").toString("base64url"),
    });
    expect(modulus).toBeGreaterThan(2n ** 2048n);
    expect(kids([jwk(modulus)])).toEqual([]);
    expect(kids([jwk(modulus + 2n)])).toEqual(["rsa"]);
  });
  test("for encryption", () => expect(kids([{ ...rsa, use: "enc" }])).toEqual([]));
  test("for another algorithm", () => expect(kids([{ ...rsa, alg: "RS512" }])).toEqual([]));
  test("not for verifying", () => expect(kids([{ ...rsa, key_ops: ["encrypt"] }])).toEqual([]));
  test("private", () => expect(kids([{ ...rsa, d: "x" }])).toEqual([]));
  test("symmetric", () => expect(kids([{ kty: "oct", k: "c2VjcmV0", kid: "oct", alg: "RS256" }])).toEqual([]));
  test("of an algorithm that the issuer may not use", () => expect(kids([ec], ["RS256"])).toEqual([]));
  test("of another curve", () => expect(kids([{ ...ec, crv: "P-384" }])).toEqual([]));
  test.each([
    ["EC", "P-256", "ES256"],
    ["EC", "P-384", "ES384"],
    ["EC", "P-521", "ES512"],
    ["OKP", "Ed25519", "EdDSA"],
  ])("of type %s and curve %s for any algorithm but %s, and with either of them alone", (kty, crv, own) => {
    const fitting = (key: object) =>
      ALL_ALGORITHMS.filter((algorithm) => usableKeys({ keys: [key] }, [algorithm]).length > 0);
    // With an RSA key's numbers in it, too, which are not looked at.
    const key = { kty, crv, x: ec.x, y: ec.y, n: rsa.n, e: rsa.e };
    expect(fitting(key)).toEqual([own]);
    expect(fitting({ ...key, kty: kty === "EC" ? "OKP" : "EC" })).toEqual([]);
    expect(fitting({ ...key, crv: "secp256k1" })).toEqual([]);
  });
  test.each([
    ["no text", 65537],
    ["nothing", ""],
    ["zero", "AAAA"],
  ])("RSA whose modulus or exponent is %s", (_, value) => {
    expect(kids([{ ...rsa, n: value }])).toEqual([]);
    expect(kids([{ ...rsa, e: value }])).toEqual([]);
  });
  test("with a kid that is no string", () => expect(kids([{ ...rsa, kid: 1 }])).toEqual([]));
  test("no objects", () => expect(kids([null, 1, "x", []])).toEqual([]));
});

test.each([null, [], {}, { keys: {} }])("%j is no key set", (jwks) => {
  expect(() => usableKeys(jwks, ["RS256"])).toThrow("no JWK set");
});

test("fifty keys are taken, and more are refused", () => {
  expect(usableKeys({ keys: Array.from({ length: 50 }, () => rsa) }, ["RS256"])).toHaveLength(50);
  expect(() => usableKeys({ keys: Array.from({ length: 51 }, () => rsa) }, ["RS256"])).toThrow("more than 50");
});

describe("selecting", () => {
  test("by kid, and only one that fits the algorithm", () => {
    const keys = usableKeys({ keys: [rsa, ec] }, ["RS256", "ES256"]);
    expect(selectKey(keys, "rsa", "RS256")?.kid).toBe("rsa");
    expect(selectKey(keys, "rsa", "ES256")).toBeUndefined();
    expect(selectKey(keys, "none", "RS256")).toBeUndefined();
  });

  test("without a kid only where there is no choice", () => {
    expect(selectKey(usableKeys({ keys: [rsa, ec] }, ["RS256", "ES256"]), undefined, "RS256")?.kid).toBe("rsa");
    const two = usableKeys({ keys: [rsa, { ...rsa, kid: "again" }] }, ["RS256"]);
    expect(selectKey(two, undefined, "RS256")).toBeUndefined();
  });

  test("never where two share a kid", () => {
    expect(selectKey(usableKeys({ keys: [rsa, rsa] }, ["RS256"]), "rsa", "RS256")).toBeUndefined();
  });
});
