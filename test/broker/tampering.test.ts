/** A provider's own token, spoiled in one way at a time and sent over HTTP. */

import {
  createHmac,
  createPublicKey,
  createSign,
  generateKeyPairSync,
  type JsonWebKey,
  type KeyObject,
} from "node:crypto";
import { afterAll, beforeAll, expect, test } from "vitest";
import { type Issuer, startIssuer } from "../sandbox/issuer.ts";
import { AUDIENCE, type Harness, policy, read, startHarness } from "./harness.ts";

let h: Harness;
let second: Issuer;
let publicPem: string;
const stranger = generateKeyPairSync("rsa", { modulusLength: 2048 });

beforeAll(async () => {
  second = await startIssuer({ audience: AUDIENCE });
  h = await startHarness({
    policy: (cloud, issuer) => policy(cloud, issuer).replace("http://127.0.0.1:2", second.url),
  });
  const { keys } = (await (await fetch(`${h.issuer.url}/jwks`)).json()) as { keys: JsonWebKey[] };
  publicPem = createPublicKey({ key: keys[0] as JsonWebKey, format: "jwk" })
    .export({ type: "spki", format: "pem" })
    .toString();
});
afterAll(async () => {
  await h.close();
  await second.close();
});

type Facts = Record<string, unknown>;

/** A token that would be accepted, and its parts. */
interface Sound {
  readonly header: Facts;
  readonly claims: Facts;
  /** Encoded, as the token has them. */
  readonly parts: readonly [header: string, payload: string, signature: string];
}

const encode = (value: unknown) =>
  Buffer.from(typeof value === "string" ? value : JSON.stringify(value)).toString("base64url");
const decode = (part: string) => JSON.parse(Buffer.from(part, "base64url").toString()) as Facts;
const seconds = () => Math.floor(Date.now() / 1000);

async function sound(): Promise<Sound> {
  const parts = (await h.mint()).split(".") as [string, string, string];
  return { header: decode(parts[0]), claims: decode(parts[1]), parts };
}

function signed(header: Facts, claims: Facts | string, key: KeyObject = stranger.privateKey): string {
  const input = `${encode(header)}.${encode(claims)}`;
  return `${input}.${createSign("RSA-SHA256").update(input).sign(key).toString("base64url")}`;
}

/** The same signature under a header with more, or other, parameters. */
const withHeader =
  (changed: Facts) =>
  ({ header, parts: [, payload, signature] }: Sound) =>
    `${encode({ ...header, ...changed })}.${payload}.${signature}`;

/** The provider's signature over other claims. */
const minted = (claims: () => Facts) => () => h.mint(claims());

const whole = ({ parts }: Sound) => parts.join(".");

const strangersKey = () => ({ ...stranger.publicKey.export({ format: "jwk" }), alg: "RS256", use: "sig" });

interface Spoiling {
  readonly title: string;
  readonly spoil: (token: Sound) => string | Promise<string>;
  readonly code?: string;
  /** Of the refusal: it must be for this, and not for something else that is wrong too. */
  readonly detail: string;
}

const spoilings: readonly Spoiling[] = [
  // What the header says
  {
    title: "alg none, without a signature",
    spoil: ({ header, parts: [, payload] }) => `${encode({ ...header, alg: "none" })}.${payload}.`,
    detail: "its signature is empty",
  },
  {
    title: "alg none, with the signature left there",
    spoil: withHeader({ alg: "none" }),
    detail: 'signed with "none"',
  },
  { title: "alg NonE", spoil: withHeader({ alg: "NonE" }), detail: 'signed with "NonE"' },
  {
    title: "alg HS256, the public key for a secret",
    spoil: ({ header, claims }) => {
      const input = `${encode({ ...header, alg: "HS256" })}.${encode(claims)}`;
      return `${input}.${createHmac("sha256", publicPem).update(input).digest("base64url")}`;
    },
    detail: 'signed with "HS256"',
  },
  { title: "alg ES256K", spoil: withHeader({ alg: "ES256K" }), detail: 'signed with "ES256K"' },
  { title: "no alg", spoil: withHeader({ alg: undefined }), detail: "no alg" },
  {
    title: "a key of its own (jwk), and its signature by that",
    spoil: ({ header, claims }) => signed({ ...header, jwk: strangersKey() }, claims),
    detail: "its header has jwk",
  },
  {
    title: "a place to fetch the key from (jku)",
    spoil: ({ header, claims }) => signed({ ...header, jku: "https://evil.example/jwks" }, claims),
    detail: "its header has jku",
  },
  { title: "a certificate of its own (x5c)", spoil: withHeader({ x5c: ["MIIB"] }), detail: "its header has x5c" },
  { title: "crit", spoil: withHeader({ crit: ["exp"] }), detail: "its header has crit" },
  { title: "b64", spoil: withHeader({ b64: false, crit: ["b64"] }), detail: "its header has crit" },
  { title: "b64 without crit", spoil: withHeader({ b64: false }), detail: "its header has b64" },
  { title: "another kid", spoil: withHeader({ kid: "../../dev/null" }), detail: "not among the usable keys" },
  { title: "a kid that is a number", spoil: withHeader({ kid: 1 }), detail: "kid is not a string" },
  { title: "no kid", spoil: withHeader({ kid: undefined }), detail: "its signature does not verify" },
  { title: "typ at+jwt", spoil: withHeader({ typ: "at+jwt" }), detail: "typ is not JWT" },
  { title: "a word more in the header", spoil: withHeader({ x: 1 }), detail: "its signature does not verify" },
  // What is signed, and by whom
  {
    title: "another's key under the provider's kid",
    spoil: ({ header, claims }) => signed(header, claims),
    detail: "its signature does not verify",
  },
  {
    title: "another subject under the same signature",
    spoil: ({ claims, parts: [header, , signature] }) => `${header}.${encode({ ...claims, sub: "root" })}.${signature}`,
    detail: "its signature does not verify",
  },
  {
    title: "another token's signature",
    spoil: async ({ parts: [header, payload] }) => {
      const other = await h.mint({ ref: "refs/heads/other" });
      return `${header}.${payload}.${other.split(".")[2]}`;
    },
    detail: "its signature does not verify",
  },
  {
    title: "a signature cut short",
    spoil: ({ parts: [header, payload, signature] }) => `${header}.${payload}.${signature.slice(0, -2)}`,
    detail: "its signature does not verify",
  },
  {
    title: "a signature of zeros",
    spoil: ({ parts: [header, payload] }) => `${header}.${payload}.${Buffer.alloc(256).toString("base64url")}`,
    detail: "its signature does not verify",
  },
  {
    title: "another issuer's name over this one's signature",
    spoil: minted(() => ({ iss: second.url })),
    detail: "not among the usable keys of issuer quiet",
  },
  {
    title: "this issuer's name over another's signature",
    spoil: () => second.mint({ iss: h.issuer.url, sub: "job", ref: "refs/heads/main" }),
    detail: "not among the usable keys of issuer ci",
  },
  // How it is written
  {
    title: "the same signature in other letters",
    spoil: (token) => {
      const text = whole(token);
      const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
      // 256 bytes leave four bits of the last letter unused.
      return text.slice(0, -1) + alphabet[alphabet.indexOf(text.at(-1) as string) ^ 1];
    },
    detail: "its signature is not canonical base64url",
  },
  { title: "padding", spoil: (token) => `${whole(token)}==`, detail: "its signature is not canonical base64url" },
  { title: "letters behind it", spoil: (token) => `${whole(token)}AAAA`, detail: "its signature does not verify" },
  { title: "a dot behind it", spoil: (token) => `${whole(token)}.`, detail: "three parts" },
  { title: "a fourth part", spoil: (token) => `${whole(token)}.e30`, detail: "three parts" },
  { title: "without its signature", spoil: ({ parts }) => parts.slice(0, 2).join("."), detail: "three parts" },
  { title: "sent twice in one", spoil: (token) => `${whole(token)},${whole(token)}`, detail: "three parts" },
  {
    title: "a claim twice",
    spoil: ({ header, claims }) => signed(header, `${JSON.stringify(claims).slice(0, -1)},"sub":"root"}`),
    detail: 'the key "sub" stands twice',
  },
  {
    title: "claims that are a list",
    spoil: ({ header, claims }) => signed(header, JSON.stringify([claims])),
    detail: "payload is not an object",
  },
  // What the provider itself signed
  {
    title: "two audiences, one of them ours",
    spoil: minted(() => ({ aud: [AUDIENCE, "https://other.example"] })),
    code: "invalid_audience",
    detail: "whose only audience is",
  },
  {
    title: "another's audience",
    spoil: minted(() => ({ aud: "https://other.example" })),
    code: "invalid_audience",
    detail: "whose only audience is",
  },
  {
    title: "expired",
    spoil: minted(() => ({ iat: seconds() - 900, nbf: seconds() - 900, exp: seconds() - 61 })),
    code: "token_expired",
    detail: "has expired",
  },
  {
    title: "issued too long ago",
    spoil: minted(() => ({ iat: seconds() - 3700, nbf: seconds() - 3700, exp: seconds() + 60 })),
    code: "token_expired",
    detail: "older (iat) than the 3600 s",
  },
  { title: "not yet valid", spoil: minted(() => ({ nbf: seconds() + 120 })), detail: "its nbf claim is" },
  { title: "not yet issued", spoil: minted(() => ({ iat: seconds() + 120 })), detail: "its iat claim is" },
  { title: "too long a life", spoil: minted(() => ({ exp: seconds() + 7200 })), detail: "issuer ci may give 3600 s" },
  {
    title: "an expiry in quotes",
    spoil: minted(() => ({ exp: String(seconds() + 60) })),
    detail: "its exp claim is not a number",
  },
  ...["exp", "iat", "sub", "aud", "iss"].map((claim) => ({
    title: `no ${claim}`,
    spoil: minted(() => ({ [claim]: null })),
    detail: `it has no ${claim} claim`,
  })),
  {
    title: "an issuer that is not configured",
    spoil: minted(() => ({ iss: `${h.issuer.url}/` })),
    code: "untrusted_issuer",
    detail: "must equal a configured issuer to the letter",
  },
];

const send = (token: string) => h.ask({ registry: "prod", scope: ["repository:web/app:pull"] }, token);

test("unspoiled it is accepted", async () => {
  expect((await send(whole(await sound()))).status).toBe(200);
});

test.each(spoilings)("$title: refused", async ({ spoil, code = "invalid_token", detail }) => {
  const token = await spoil(await sound());
  const before = h.output.length;
  const response = await send(token);
  expect(await read(response)).toMatchObject({ status: 401, code, detail: expect.stringContaining(detail) });
  expect(response.headers.get("www-authenticate")).toContain("Bearer");
  const told = h.output.slice(before).join("\n");
  expect(told).toContain(code);
  for (const part of token.split(/[.,]/)) {
    if (part.length >= 16) expect(told).not.toContain(part.slice(0, 16));
  }
});
