/** Our way to OpenSSL against jose's, which goes by WebCrypto: of each signature, right or spoilt, the two must say the same. */

import { constants, createPrivateKey, type KeyObject, sign } from "node:crypto";
import fc from "fast-check";
import { type CryptoKey, compactVerify, exportJWK, exportPKCS8, generateKeyPair, importJWK, type JWK } from "jose";
import { beforeAll, expect, test } from "vitest";
import type { JwsAlgorithm } from "../../shared/config/config.ts";
import { ALL_ALGORITHMS, verifyText } from "./verify-text.ts";

interface Pair {
  readonly privateKey: KeyObject;
  readonly jwk: JWK;
}

const KINDS = ["RS256", "ES256", "ES384", "ES512", "EdDSA"] as const;
const pairs = new Map<string, readonly [Pair, Pair]>();

async function pair(algorithm: string): Promise<Pair> {
  const { publicKey, privateKey } = await generateKeyPair(algorithm, { extractable: true, modulusLength: 2048 });
  return { jwk: await exportJWK(publicKey), privateKey: createPrivateKey(await exportPKCS8(privateKey)) };
}

beforeAll(async () => {
  for (const kind of KINDS) pairs.set(kind, [await pair(kind), await pair(kind)]);
});

const pairsFor = (algorithm: JwsAlgorithm) =>
  pairs.get(/^[RP]S/.test(algorithm) ? "RS256" : algorithm) as readonly [Pair, Pair];

const digestOf = (algorithm: JwsAlgorithm) => (algorithm === "EdDSA" ? null : `sha${algorithm.slice(2)}`);

/** With node:crypto, so that forms can be made which no JWS library makes. */
function signed(algorithm: JwsAlgorithm, text: string, key: KeyObject, form: "right" | "other"): Buffer {
  const data = Buffer.from(text);
  switch (algorithm.slice(0, 2)) {
    case "PS":
      return sign(digestOf(algorithm), data, {
        key,
        padding: constants.RSA_PKCS1_PSS_PADDING,
        saltLength: form === "right" ? constants.RSA_PSS_SALTLEN_DIGEST : constants.RSA_PSS_SALTLEN_MAX_SIGN,
      });
    case "ES":
      return sign(digestOf(algorithm), data, { key, dsaEncoding: form === "right" ? "ieee-p1363" : "der" });
    default:
      return sign(digestOf(algorithm), form === "right" ? data : Buffer.from(`${text}.`), key);
  }
}

const part = (value: unknown) => Buffer.from(JSON.stringify(value)).toString("base64url");

type Spoil = (signature: Buffer) => Buffer;
const spoils: fc.Arbitrary<readonly [string, Spoil]> = fc.oneof(
  // Often, so that each algorithm's right signatures are among them.
  { weight: 8, arbitrary: fc.constant(["nothing", (signature: Buffer) => signature] as const) },
  fc.tuple(fc.nat(), fc.integer({ min: 0, max: 7 })).map(
    ([at, bit]) =>
      [
        "a bit",
        (signature: Buffer) => {
          const bytes = Buffer.from(signature);
          const index = at % bytes.length;
          bytes[index] = (bytes[index] as number) ^ (1 << bit);
          return bytes;
        },
      ] as const,
  ),
  fc.integer({ min: 1, max: 40 }).map((count) => ["cut", (s: Buffer) => s.subarray(0, s.length - count)] as const),
  fc
    .uint8Array({ minLength: 1, maxLength: 3 })
    .map((more) => ["longer", (s: Buffer) => Buffer.concat([s, more])] as const),
  fc.constant(["a zero before", (s: Buffer) => Buffer.concat([Buffer.alloc(1), s])] as const),
  fc.constant(["zeros", (s: Buffer) => Buffer.alloc(s.length)] as const),
  fc.constant(["ones", (s: Buffer) => Buffer.alloc(s.length, 255)] as const),
  fc.constant([
    "halves swapped",
    (s: Buffer) => Buffer.concat([s.subarray(s.length / 2), s.subarray(0, s.length / 2)]),
  ] as const),
);

async function accepts(run: () => Promise<unknown>): Promise<boolean> {
  try {
    await run();
    return true;
  } catch {
    return false;
  }
}

test("each signature that jose accepts is accepted, and no other", async () => {
  const seen = new Map<string, number>();
  await fc.assert(
    fc.asyncProperty(
      fc.constantFrom(...ALL_ALGORITHMS),
      fc.constantFrom(...ALL_ALGORITHMS),
      fc.constantFrom("right", "right", "right", "other"),
      spoils,
      fc.boolean(),
      fc.string(),
      async (algorithm, claimed, form, [, spoil], otherKey, payload) => {
        const [pair, other] = pairsFor(algorithm);
        // Mostly what it is; now and then the header says another algorithm than the one it was signed with.
        const header = { alg: payload.length % 3 === 0 ? claimed : algorithm };
        const text = `${part(header)}.${part(payload)}`;
        const made = spoil(signed(algorithm, text, pair.privateKey, form)).toString("base64url");
        const { jwk } = otherKey && payload.length % 2 === 0 ? other : pair;
        const jws = `${text}.${made}`;
        const theirs = await accepts(async () =>
          compactVerify(jws, (await importJWK(jwk, header.alg)) as CryptoKey, { algorithms: [header.alg] }),
        );
        const ours = await accepts(() => verifyText(jws, [jwk]));
        expect({ ...header, form, ours }).toEqual({ ...header, form, ours: theirs });
        const verdict = `${header.alg} ${ours}`;
        seen.set(verdict, (seen.get(verdict) ?? 0) + 1);
      },
    ),
    { numRuns: 1_000 },
  );
  const wanted = ALL_ALGORITHMS.flatMap((algorithm) => [`${algorithm} true`, `${algorithm} false`]);
  expect(wanted.filter((verdict) => !seen.has(verdict))).toEqual([]);
});

/** As openssl writes them unless it is told otherwise: PSS with the longest salt there is room for, ECDSA in DER. */
test.each(["PS256", "PS384", "PS512", "ES256", "ES384", "ES512"] as const)(
  "%s is refused with a salt of another length than its digest, or in DER",
  async (alg) => {
    const [{ privateKey, jwk }] = pairsFor(alg);
    const text = `${part({ alg })}.${part("x")}`;
    const jws = (form: "right" | "other") => `${text}.${signed(alg, text, privateKey, form).toString("base64url")}`;
    await verifyText(jws("right"), [jwk]);
    await expect(verifyText(jws("other"), [jwk])).rejects.toMatchObject({ code: "invalid_token" });
  },
);

test("a key that jose does not take for the algorithm verifies nothing", async () => {
  const [{ privateKey, jwk }] = pairsFor("ES256");
  const text = `${part({ alg: "ES256" })}.${part("x")}`;
  const made = signed("ES256", text, privateKey, "right").toString("base64url");
  // Not a point of the curve.
  await expect(verifyText(`${text}.${made}`, [{ ...jwk, y: jwk.x }])).rejects.toMatchObject({
    code: "invalid_token",
    message: expect.stringContaining("could not be verified"),
  });
});
