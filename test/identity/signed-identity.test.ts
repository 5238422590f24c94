import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { BrokerError } from "../../shared/error.ts";
import { parseSignedIdentity } from "../../shared/identity/signed-identity.ts";
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
