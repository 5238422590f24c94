import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { AlibabaIssuer, BrokerConfig } from "../../shared/config/config.ts";
import { BrokerError } from "../../shared/error.ts";
import { parseSignedIdentity, signedIdentities } from "../../shared/identity/signed-identity.ts";
import { credential, type Fields, signedWithAcs3, signedWithRpc } from "./signing.ts";

const keys = { accessKeyId: "LTAI5tExample", accessKeySecret: "secret", securityToken: "CAIS+/=" };
const signing = { keys, host: "sts.cn-hangzhou.aliyuncs.com", audience: "https://broker.example" };

describe("what the vendor's code signs is taken apart as it is", () => {
  test("with ACS3-HMAC-SHA256, named or not", () => {
    const fields = signedWithAcs3(signing);
    const parsed = {
      accessKeyId: keys.accessKeyId,
      securityToken: keys.securityToken,
      date: fields["date"],
      nonce: fields["nonce"],
      audience: signing.audience,
      signature: fields["signature"],
      algorithm: "ACS3-HMAC-SHA256",
    };
    expect(parseSignedIdentity(credential(fields))).toEqual(parsed);
    expect(parseSignedIdentity(credential({ ...fields, algorithm: "ACS3-HMAC-SHA256" }))).toEqual(parsed);
  });

  test("with HMAC-SHA1", () => {
    expect(parseSignedIdentity(credential(signedWithRpc(signing)))).toMatchObject({ algorithm: "HMAC-SHA1" });
  });

  test("with long-lived keys, which have no security token", () => {
    const { securityToken: _, ...longLived } = keys;
    const parsed = parseSignedIdentity(credential(signedWithAcs3({ ...signing, keys: longLived })));
    expect(parsed).not.toHaveProperty("securityToken");
  });

  test("with every signature of HMAC-SHA1 that there can be", () => {
    const fields = signedWithRpc(signing);
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 20, maxLength: 20 }), (bytes) => {
        const signature = Buffer.from(bytes).toString("base64");
        expect(parseSignedIdentity(credential({ ...fields, signature })).signature).toBe(signature);
      }),
    );
  });
});

const refused = (token: string) => {
  try {
    parseSignedIdentity(token);
  } catch (error) {
    return error instanceof BrokerError && error.code === "invalid_identity";
  }
  return false;
};

test("a signature of HMAC-SHA1 has one spelling", () => {
  const fields = signedWithRpc({ ...signing, nonce: "0123456789abcdef", date: "2026-06-01T12:00:00Z" });
  const signature = String(fields["signature"]);
  const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  const bytes = Buffer.from(signature, "base64");
  const others = [...alphabet]
    .map((last) => signature.replace(/.=$/, `${last}=`))
    .filter((text) => text !== signature && Buffer.from(text, "base64").equals(bytes));
  expect(others).toHaveLength(3);
  for (const other of others) expect(refused(credential({ ...fields, signature: other }))).toBe(true);
});

test("base64url has one spelling: no other text of the same bytes is taken", () => {
  const token = credential(signedWithAcs3(signing));
  const last = token.at(-1) as string;
  const sameBytes = [..."ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"]
    .filter((character) => character !== last)
    .map((character) => token.slice(0, -1) + character)
    .filter((text) => Buffer.from(text.slice(5), "base64url").equals(Buffer.from(token.slice(5), "base64url")));
  for (const text of [...sameBytes, `${token}=`, `${token}\n`, ` ${token}`, token.replace(".", "..")]) {
    expect(refused(text), text.slice(-3)).toBe(true);
  }
});

test("no character that means something to HTTP gets into a field that becomes a header", () => {
  const fields = signedWithAcs3(signing);
  fc.assert(
    fc.property(
      fc.constantFrom("access_key_id", "security_token", "date", "nonce", "signature", "algorithm"),
      fc.nat(200),
      fc.constantFrom(..."\r\n\t\0 ,;:\"'()<>@[]{}\\&?#%\u007f\u0085\u00a0é\u2028"),
      (field, position, character) => {
        const value = String(fields[field] ?? "ACS3-HMAC-SHA256");
        const at = position % (value.length + 1);
        // `:` belongs to a date, but not one more of them.
        const spoiled = value.slice(0, at) + character + value.slice(at);
        expect(refused(credential({ ...fields, [field]: spoiled }))).toBe(true);
      },
    ),
    { numRuns: 2_000 },
  );
});

test("whatever comes is an identity or a refusal, never a defect", () => {
  const fields = signedWithAcs3(signing);
  const value = fc.oneof(fc.string(), fc.jsonValue(), fc.constantFrom(...Object.values(fields)));
  const content: fc.Arbitrary<Fields | string> = fc.oneof(
    fc.string({ unit: "binary" }),
    fc.json(),
    fc.dictionary(fc.constantFrom(...Object.keys(fields), "algorithm", "__proto__", "toString"), value),
  );
  fc.assert(
    fc.property(content, (anything) => {
      try {
        parseSignedIdentity(credential(anything));
      } catch (error) {
        expect(error).toMatchObject({ code: "invalid_identity" });
      }
    }),
    { numRuns: 2_000 },
  );
});

test("what is too long is not looked at", () => {
  expect(refused(`acs1.${"A".repeat(4092)}`)).toBe(true);
  const fields = { ...signedWithAcs3(signing), security_token: "" };
  const room = Math.floor(((4096 - 5) * 3) / 4) - JSON.stringify(fields).length;
  const longest = credential({ ...fields, security_token: "A".repeat(room) });
  expect(longest.length).toBeLessThanOrEqual(4096);
  expect(parseSignedIdentity(longest).securityToken).toHaveLength(room);
  expect(refused(credential({ ...fields, security_token: "A".repeat(room + 1) }))).toBe(true);
});

test.each<[string, (fields: Fields) => Fields | string, string]>([
  ["nothing", () => "", "is not canonical base64url"],
  ["a byte order mark", (fields) => `\ufeff${JSON.stringify(fields)}`, "not accepted: "],
  ["a list", () => "[]", "it is not an object"],
  ["null", () => "null", "it is not an object"],
  ["a text", () => '"x"', "it is not an object"],
  ["a field more", (fields) => ({ ...fields, host: "x" }), '"host" is no field of it; the fields are access_key_id, '],
  ["no nonce", ({ nonce: _, ...rest }) => rest, "it has no nonce"],
  ["a number", (fields) => ({ ...fields, nonce: 1 }), "its nonce is not text"],
  ["an audience that is a number", (fields) => ({ ...fields, audience: 1 }), "its audience is not text"],
  ["a short nonce", (fields) => ({ ...fields, nonce: "0123456789abcde" }), "its nonce does not have the form of one"],
  ["another algorithm", (fields) => ({ ...fields, algorithm: "MD5" }), "its algorithm is neither ACS3-HMAC-SHA256 nor"],
  ["another's signature", (fields) => ({ ...fields, algorithm: "HMAC-SHA1" }), "does not have the form of HMAC-SHA1"],
])("%s is told for what it is", (_, change, told) => {
  expect(() => parseSignedIdentity(credential(change(signedWithAcs3(signing))))).toThrow(told);
});

test("a text that is not UTF-8 is told for what it is", () => {
  const bytes = Buffer.from([0x22, 0xff, 0x22]).toString("base64url");
  expect(() => parseSignedIdentity(`acs1.${bytes}`)).toThrow("it is not UTF-8");
});

describe("what STS says of it makes a principal", () => {
  const NOW = new Date("2026-06-01T12:00:00.000Z");
  const issuer = (name: string, audience: string, account: string) =>
    [name, { name, provider: "alibaba", audience, accounts: [account] } as AlibabaIssuer] as const;
  const issuers = [
    issuer("ours", "https://broker.example", "1234567890123456"),
    issuer("theirs", "https://other.example", "6543210987654321"),
  ];
  const session = (account: string) => ({
    IdentityType: "AssumedRoleUser",
    AccountId: account,
    PrincipalId: "300123:job-42",
    Arn: `acs:ram::${account}:assumed-role/ci-builder/job-42`,
  });

  /** Answers what comes of an identity of that date and audience, where STS gives that answer, and how often it is asked. */
  function verifier(answer: object, known: readonly (readonly [string, AlibabaIssuer])[] = issuers) {
    const asked: string[] = [];
    const config = {
      issuers: new Map<string, unknown>([["other", { provider: "generic" }], ...known]),
      alibaba: { stsEndpoint: "https://sts.example" },
      registries: new Map(),
    } as unknown as BrokerConfig;
    const fetch = async (url: string) => {
      asked.push(new URL(url).origin);
      return new Response(JSON.stringify(answer));
    };
    const by = signedIdentities(config, fetch, () => NOW);
    const verify = (facts: { date?: string; audience?: string; nonce?: string } = {}) =>
      by.verify(
        credential(signedWithAcs3({ ...signing, date: "2026-06-01T12:00:00Z", nonce: "0123456789abcdef", ...facts })),
        undefined,
      );
    return { asked, verify };
  }

  test("a role's session, until the window of its date ends", async () => {
    const { verify, asked } = verifier(session("1234567890123456"));
    expect(await verify()).toStrictEqual({
      source: { issuer: "ours" },
      subject: "acs:ram::1234567890123456:assumed-role/ci-builder/job-42",
      claims: {
        account_id: "1234567890123456",
        arn: "acs:ram::1234567890123456:assumed-role/ci-builder/job-42",
        identity_type: "AssumedRoleUser",
        principal_id: "300123:job-42",
        role_name: "ci-builder",
        session_name: "job-42",
      },
      expiresAt: new Date("2026-06-01T12:02:00.000Z"),
    });
    expect(asked).toEqual(["https://sts.example"]);
    await expect(verify()).rejects.toMatchObject({ code: "token_replayed" });
  });

  test("a user, without a role or session", async () => {
    const arn = "acs:ram::1234567890123456:user/alice";
    const { verify } = verifier({
      IdentityType: "RAMUser",
      AccountId: "1234567890123456",
      PrincipalId: "28877",
      Arn: arn,
    });
    expect((await verify()).claims).toStrictEqual({
      account_id: "1234567890123456",
      arn,
      identity_type: "RAMUser",
      principal_id: "28877",
      user_name: "alice",
    });
  });

  test("of the issuer of that account, signed for that issuer's audience", async () => {
    const theirs = verifier(session("6543210987654321"));
    expect(await theirs.verify({ audience: "https://other.example" })).toMatchObject({ source: { issuer: "theirs" } });
    await expect(theirs.verify({ nonce: "fedcba9876543210" })).rejects.toMatchObject({
      code: "invalid_audience",
      message: expect.stringMatching(
        /signed for "https:\/\/broker\.example"; sign BrokerAudience as "https:\/\/other\.example"$/,
      ),
    });
    await expect(verifier(session("1111111111111111")).verify()).rejects.toMatchObject({
      code: "invalid_identity",
      message: expect.stringContaining("account 1111111111111111 is not among those accepted here"),
    });
  });

  test("and nothing is asked about one for nobody here, or for which there is no issuer", async () => {
    const { verify, asked } = verifier(session("1234567890123456"));
    await expect(verify({ audience: "https://third.example" })).rejects.toMatchObject({
      code: "invalid_audience",
      message: expect.stringMatching(/as "https:\/\/broker\.example" or "https:\/\/other\.example"$/),
    });
    const none = verifier(session("1234567890123456"), []);
    await expect(none.verify()).rejects.toThrow("no issuer of provider alibaba is configured here");
    expect([...asked, ...none.asked]).toEqual([]);
  });

  test.each([
    ["2026-06-01T11:58:00Z", undefined, ""],
    ["2026-06-01T11:57:59Z", "token_expired", "older than 120 s"],
    ["2026-06-01T12:02:00Z", undefined, ""],
    ["2026-06-01T12:02:01Z", "invalid_identity", "more than 120 s in the future"],
    ["2026-02-30T12:00:00Z", "invalid_identity", "its date is no date"],
    ["2026-13-01T12:00:00Z", "invalid_identity", "its date is no date"],
  ])("of the date %s: %s", async (date, code, told) => {
    const { verify, asked } = verifier(session("1234567890123456"));
    const outcome = await verify({ date }).catch((error: BrokerError) => error);
    if (code === undefined) expect(outcome).toMatchObject({ source: { issuer: "ours" } });
    else expect(outcome).toMatchObject({ code, message: expect.stringContaining(told) });
    expect(asked).toHaveLength(code === undefined ? 1 : 0);
  });
});
