import { createHmac } from "node:crypto";
import { CompactSign, type CryptoKey, exportJWK, exportSPKI, generateKeyPair, type JWK } from "jose";
import { beforeAll, describe, expect, test } from "vitest";
import type { OidcIssuer } from "../../shared/config/config.ts";
import type { BrokerError } from "../../shared/error.ts";
import { type Identity, identity } from "../../shared/identity/identify.ts";

const AUDIENCE = "https://broker.example";
const ISSUER = "https://issuer.example";
const NOW = new Date("2026-06-01T12:00:00Z");
const seconds = NOW.getTime() / 1000;

let keys: { privateKey: CryptoKey; publicKey: CryptoKey };
let other: { privateKey: CryptoKey; publicKey: CryptoKey };
let jwks: { keys: JWK[] };
let callers: Identity;

function oidcIssuer(jwks: { keys: unknown[] }, facts: Partial<OidcIssuer> = {}): OidcIssuer {
  return {
    name: "ci",
    provider: "generic",
    issuer: ISSUER,
    audience: AUDIENCE,
    algorithms: ["RS256"],
    keys: { from: "file", path: "keys.json", jwks },
    maxTokenLifetimeSeconds: 3600,
    replay: "off",
    ...facts,
  };
}

function broker(...issuers: OidcIssuer[]): Identity {
  const config = {
    audience: AUDIENCE,
    registries: new Map(),
    issuers: new Map(issuers.map((issuer) => [issuer.name, issuer])),
    apiKeys: new Map(),
    grants: [],
    denials: [],
    alibaba: {},
    digest: "sha256:0",
  };
  const noNetwork = () => Promise.reject(new Error("a pinned issuer is never fetched from"));
  return identity(
    config,
    noNetwork,
    () => noNetwork,
    () => NOW,
  );
}

beforeAll(async () => {
  keys = await generateKeyPair("RS256", { extractable: true });
  other = await generateKeyPair("RS256", { extractable: true });
  jwks = { keys: [{ ...(await exportJWK(keys.publicKey)), kid: "k1", alg: "RS256" }] };
  callers = broker(oidcIssuer(jwks));
});

const claims = { iss: ISSUER, aud: AUDIENCE, sub: "job", iat: seconds, nbf: seconds, exp: seconds + 300, jti: "1" };
const b64 = (value: unknown) =>
  Buffer.from(typeof value === "string" ? value : JSON.stringify(value)).toString("base64url");

async function sign(payload: unknown, header: object = {}, key: CryptoKey = keys.privateKey): Promise<string> {
  const bytes = new TextEncoder().encode(typeof payload === "string" ? payload : JSON.stringify(payload));
  return new CompactSign(bytes).setProtectedHeader({ alg: "RS256", kid: "k1", ...header }).sign(key);
}

const identify = (token: string, by = callers) => by.identify(`Bearer ${token}`);

async function refusal(token: string | Promise<string>, by = callers): Promise<Pick<BrokerError, "code" | "message">> {
  const error = await identify(await token, by).then(
    () => ({ code: "accepted", message: "" }),
    (thrown: BrokerError) => thrown,
  );
  return { code: error.code as BrokerError["code"], message: error.message };
}

test("a sound token names its caller", async () => {
  const principal = await identify(await sign(claims));
  expect(principal).toMatchObject({ source: { issuer: "ci" }, subject: "job", tokenId: "1" });
  expect(principal).not.toHaveProperty("member");
});

describe("the header", () => {
  test.each(["jwk", "jku", "x5u", "x5c", "b64", "zip", "enc"])(
    "%s is refused, though the signature be right",
    async (name) => {
      const value =
        name === "jwk" ? await exportJWK(keys.publicKey) : name === "x5c" ? ["MII"] : "https://evil.example";
      const header = { alg: "RS256", kid: "k1", [name]: value };
      const input = `${b64(header)}.${b64(claims)}`;
      const { createSign, KeyObject } = await import("node:crypto");
      const signature = createSign("RSA-SHA256")
        .update(input)
        .sign(KeyObject.from(keys.privateKey))
        .toString("base64url");
      expect(await refusal(`${input}.${signature}`)).toMatchObject({
        code: "invalid_token",
        message: expect.stringContaining(name),
      });
    },
  );

  test("crit is refused", async () => {
    const token = await sign(claims);
    const [, payload, signature] = token.split(".");
    expect(
      await refusal(`${b64({ alg: "RS256", kid: "k1", crit: ["exp"], exp: 1 })}.${payload}.${signature}`),
    ).toMatchObject({
      message: expect.stringContaining("crit"),
    });
  });

  test.each(["none", "None", "NONE", "HS256", "RS1", "ES256", ""])("alg %s is refused", async (alg) => {
    expect((await refusal(`${b64({ alg, kid: "k1" })}.${b64(claims)}.${b64("x")}`)).code).toBe("invalid_token");
  });

  test("the public key is no HMAC secret", async () => {
    const input = `${b64({ alg: "HS256", kid: "k1" })}.${b64(claims)}`;
    const secret = await exportSPKI(keys.publicKey);
    const signature = createHmac("sha256", secret).update(input).digest("base64url");
    expect((await refusal(`${input}.${signature}`)).message).toContain('signed with "HS256"');
  });

  test.each(["at+jwt", "secevent+jwt", 1])("typ %s is another kind of token", async (typ) => {
    expect((await refusal(sign(claims, { typ: typ as string }))).message).toContain("typ");
  });

  test("an unknown kid is refused, and so is another's key under a known kid", async () => {
    expect((await refusal(sign(claims, { kid: "k2" }))).message).toContain('"k2"');
    expect((await refusal(sign(claims, {}, other.privateKey))).message).toContain("signature does not verify");
  });

  test("a kid is a name, not a path", async () => {
    for (const kid of ["../../k1", "k1\0", "' OR 1=1"])
      expect((await refusal(sign(claims, { kid }))).code).toBe("invalid_token");
  });
});

describe("the text", () => {
  test("each part is canonical base64url, or one signature would go with several texts", async () => {
    const token = await sign(claims);
    const [header, payload, signature] = token.split(".") as [string, string, string];
    const last = signature.at(-1) as string;
    const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    const sibling = alphabet[alphabet.indexOf(last) ^ 1] as string;
    for (const changed of [
      `${header}.${payload}.${signature.slice(0, -1)}${sibling}`,
      `${header}.${payload}.${signature}=`,
      `${header}.${payload}.${signature}==`,
      `${header}.${payload}=.${signature}`,
      `${header}.${payload}.${signature.replaceAll("-", "+").replaceAll("_", "/")}+`,
      `.${payload}.${signature}`,
      `${header}.${payload}.`,
      `${header}.${payload}`,
      `${token}.x`,
      `${header}..${payload}.${signature}`,
    ]) {
      expect((await refusal(changed)).code, changed.slice(-30)).toBe("invalid_token");
    }
  });

  test.each([" ", "\n", "\t", " x"])("nothing may follow the token (%j)", async (tail) => {
    const token = await sign(claims);
    const outcome = await callers.identify(`Bearer ${token}${tail}`).catch((error: BrokerError) => error.code);
    expect(outcome).toBe("invalid_token");
  });

  test("a token over 8 KiB is not even taken apart", async () => {
    expect((await refusal(sign({ ...claims, pad: "x".repeat(9000) }))).message).toContain("longer than 8192");
    expect((await refusal(`${"a.".repeat(4200)}`)).message).toContain("longer than 8192");
    expect((await refusal("a".repeat(8193))).message).toContain("longer than 8192");
    expect((await refusal("a".repeat(8192))).message).toContain("three parts");
  });

  test("a claim may not stand there twice, nor be nested without end", async () => {
    const text = JSON.stringify(claims);
    expect((await refusal(sign(`${text.slice(0, -1)},"sub":"admin"}`))).message).toContain("twice");
    expect((await refusal(sign(`${text.slice(0, -1)},"x":${"[".repeat(40)}${"]".repeat(40)}}`))).message).toContain(
      "nested",
    );
  });

  test.each(["[]", "null", '"x"'])("a payload of %j is no object", async (payload) => {
    expect(await refusal(sign(payload))).toMatchObject({
      code: "invalid_token",
      message: expect.stringContaining("its payload is not an object"),
    });
  });

  test.each(["{", "\ufeff{}"])("a payload of %j is no JSON", async (payload) => {
    expect(await refusal(sign(payload))).toMatchObject({
      code: "invalid_token",
      message: expect.stringContaining("its payload: "),
    });
  });

  test("a payload that is not UTF-8 is refused", async () => {
    const token = await new CompactSign(Buffer.from('{"iss":"\xff"}', "latin1"))
      .setProtectedHeader({ alg: "RS256" })
      .sign(keys.privateKey);
    expect((await refusal(token)).message).toContain("UTF-8");
  });
});

describe("the claims", () => {
  test.each(["exp", "iat", "aud", "sub"])("%s is required", async (name) => {
    const { [name as "exp"]: _, ...rest } = claims;
    expect(await refusal(sign(rest))).toMatchObject({ code: "invalid_token", message: expect.stringContaining(name) });
  });

  test.each(["", 1, null, ["job"]])("a sub of %j names nobody", async (sub) => {
    expect((await refusal(sign({ ...claims, sub }))).code).toBe("invalid_token");
  });

  test.each([
    [{ exp: seconds - 61, iat: seconds - 300 }, "token_expired"],
    [{ exp: seconds - 59, iat: seconds - 300 }, "accepted"],
    [{ nbf: seconds + 61 }, "invalid_token"],
    [{ nbf: seconds + 59 }, "accepted"],
    [{ iat: seconds + 61, exp: seconds + 300 }, "invalid_token"],
    [{ iat: seconds + 59, exp: seconds + 300 }, "accepted"],
    [{ exp: seconds + 3601 }, "invalid_token"],
    [{ exp: seconds + 10 ** 9 }, "invalid_token"],
    [{ exp: String(seconds + 300) }, "invalid_token"],
    [{ exp: null }, "invalid_token"],
    [{ iat: seconds - 4000, exp: seconds + 60 }, "token_expired"],
    [{ exp: seconds + 300, iat: seconds + 400 }, "invalid_token"],
  ])("times %j: %s", async (changed, code) => {
    expect((await refusal(sign({ ...claims, ...changed }))).code).toBe(code);
  });

  test.each([
    "https://broker.example/",
    "https://broker.example.evil",
    "HTTPS://BROKER.EXAMPLE",
    ["https://broker.example", "https://other.example"],
    ["https://broker.example", "https://broker.example"],
    [],
    "",
    { 0: "https://broker.example" },
  ])("audience %j is not ours alone", async (aud) => {
    expect(await refusal(sign({ ...claims, aud }))).toMatchObject({
      code: "invalid_audience",
      message: expect.stringContaining(`whose only audience is "${AUDIENCE}"`),
    });
  });

  test("a list of just our audience is ours", async () => {
    expect((await refusal(sign({ ...claims, aud: [AUDIENCE] }))).code).toBe("accepted");
  });
});

test.each([
  { exp: seconds - 1000 },
  { nbf: seconds + 1000 },
  { aud: "https://other.example" },
  { sub: 1 },
  { exp: undefined },
])("claims %j are not looked at under a signature that does not verify", async (changed) => {
  expect((await refusal(sign({ ...claims, ...changed }, {}, other.privateKey))).message).toContain(
    "signature does not verify",
  );
});

describe("the issuer", () => {
  test.each([
    "https://evil.example",
    `${ISSUER}/`,
    `${ISSUER}.evil.example`,
    `${ISSUER}@evil.example`,
    "__proto__",
    "HTTPS://ISSUER.EXAMPLE",
  ])("%s is not configured, and nothing is fetched from it", async (iss) => {
    expect((await refusal(sign({ ...claims, iss }))).code).toBe("untrusted_issuer");
  });

  test("one issuer's key does not speak for another", async () => {
    const second = oidcIssuer(
      { keys: [{ ...(await exportJWK(other.publicKey)), kid: "k1" }] },
      { name: "second", issuer: "https://second.example" },
    );
    const both = broker(oidcIssuer(jwks), second);
    expect((await refusal(sign({ ...claims, iss: "https://second.example" }), both)).code).toBe("invalid_token");
    expect(
      await identify(await sign({ ...claims, iss: "https://second.example" }, {}, other.privateKey), both),
    ).toMatchObject({
      source: { issuer: "second" },
    });
  });
});

describe("the Authorization header", () => {
  test.each([
    [undefined, "missing_credentials"],
    ["", "missing_credentials"],
    ["Bearer", "missing_credentials"],
    ["Bearer ", "missing_credentials"],
    ["Bearer null", "missing_credentials"],
    ['Bearer "a.b.c"', "invalid_token"],
    ["Basic dXNlcjpwYXNz", "invalid_token"],
    ["Bearer a b", "invalid_token"],
    ["Bearer abk_x_y", "invalid_api_key"],
    ["Bearer acs1.e30", "invalid_identity"],
  ])("%j: %s", async (header, code) => {
    await expect(callers.identify(header)).rejects.toMatchObject({ code, status: 401 });
  });

  test("the scheme's case does not count, nor how many spaces are behind it", async () => {
    expect(await callers.identify(`bearer ${await sign(claims)}`)).toMatchObject({ subject: "job" });
    expect(await callers.identify(`Bearer  ${await sign(claims)}`)).toMatchObject({ subject: "job" });
  });

  test("nothing stands before the scheme", async () => {
    for (const before of ["x", "Basic ", " "])
      await expect(callers.identify(`${before}Bearer ${await sign(claims)}`)).rejects.toThrow(
        'is not "Bearer <token>"',
      );
  });

  test.each([
    [undefined, /^send "Authorization: Bearer <token>"/],
    ["", /^send "Authorization: Bearer <token>"/],
    ["Bearer ", /^the token is empty; is the variable set that it comes from\? send "Authorization/],
    ["Bearer null", /^the token is the word "null"; the step/],
    ["Bearer nullx", /three parts of a signed JWT$/],
    ["Bearer xnull", /three parts of a signed JWT$/],
    ['Bearer "a"', /^the token has quotes around it; send it without$/],
    ['Bearer a"b', /three parts of a signed JWT$/],
  ])("%j is told what is wrong with it", async (header, told) => {
    await expect(callers.identify(header)).rejects.toThrow(told);
  });
});

describe("warming", () => {
  const discovered = (name: string, facts: Partial<OidcIssuer> = {}) =>
    oidcIssuer({ keys: [] }, { name, issuer: `https://${name}.example`, keys: { from: "discovery" }, ...facts });

  /** The hosts that are asked, by which fetch. */
  async function asked(issuers: readonly OidcIssuer[]): Promise<string[]> {
    const hosts: string[] = [];
    const by = (which: string) => async (url: string) => {
      hosts.push(`${which} ${new URL(url).hostname}`);
      throw new TypeError("no network");
    };
    const signing = { name: "signing", provider: "alibaba", audience: AUDIENCE, accounts: ["1"] };
    // One that has no keys at all.
    const entries = new Map<string, never>([...issuers, signing].map((issuer) => [issuer.name, issuer as never]));
    const facts = { audience: AUDIENCE, registries: new Map(), issuers: entries, apiKeys: new Map() };
    const config = { ...facts, grants: [], denials: [], alibaba: {}, digest: "sha256:0" };
    await identity(
      config,
      by("any CA"),
      (certificates) => by(String(certificates)),
      () => NOW,
    ).warm();
    return hosts;
  }

  test("fetches each issuer's keys, by its own CA where it has one, and fails on none", async () => {
    const own = discovered("own", { ca: { path: "ca.pem", certificates: ["ours"] } } as never);
    expect(await asked([discovered("public"), own, oidcIssuer(jwks)])).toEqual([
      "any CA public.example",
      "ours own.example",
    ]);
  });

  test("of many the first twenty", async () => {
    const many = Array.from({ length: 25 }, (_, index) => discovered(`i${index}`));
    expect(await asked(many)).toEqual(many.slice(0, 20).map(({ name }) => `any CA ${name}.example`));
  });
});

test("no refusal holds any of the token", async () => {
  const token = await sign({ ...claims, aud: "https://other.example" });
  const { message } = await refusal(token);
  for (const part of token.split(".")) expect(message).not.toContain(part.slice(0, 12));
});
