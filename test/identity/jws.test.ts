/** The signature step alone: its payload may be anything. What a whole token must look like is in jwt.test.ts. */

import { describe, expect, test } from "vitest";
import type { VerificationKey } from "../../shared/identity/jwks.ts";
import { keyOf, parseJws } from "../../shared/identity/jws.ts";
import { verifyText } from "./verify-text.ts";

/** RFC 7515, appendix A.3. */
const ES256 = {
  text: [
    "eyJhbGciOiJFUzI1NiJ9",
    "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ",
    "DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q",
  ].join("."),
  key: {
    kty: "EC",
    crv: "P-256",
    x: "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
    y: "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0",
  },
};

/** RFC 8037, appendix A.4. */
const ED25519 = {
  text: [
    "eyJhbGciOiJFZERTQSJ9",
    "RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc",
    "hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg",
  ].join("."),
  key: { kty: "OKP", crv: "Ed25519", x: "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo" },
};

test("the RFCs' own examples verify, though they are no tokens of today, or none at all", async () => {
  expect(await verifyText(ES256.text, [ES256.key])).toContain('"iss":"joe"');
  expect(await verifyText(ED25519.text, [ED25519.key])).toBe("Example of Ed25519 signing");
});

describe("not with", () => {
  test("another key", async () => {
    const key = { ...ES256.key, x: ES256.key.y, y: ES256.key.x };
    await expect(verifyText(ES256.text, [key])).rejects.toMatchObject({ code: "invalid_token" });
  });

  test("a key of another kind", async () => {
    await expect(verifyText(ES256.text, [ED25519.key])).rejects.toMatchObject({
      code: "invalid_token",
      message: expect.stringContaining("not just one would fit"),
    });
  });

  test("an algorithm that the issuer may not use, though the signature be right", async () => {
    await expect(verifyText(ES256.text, [ES256.key], ["RS256", "EdDSA"])).rejects.toMatchObject({
      code: "invalid_token",
      message: expect.stringContaining('signed with "ES256"; issuer tested may use RS256, EdDSA'),
    });
  });
});

test.each(["ES256K", "HS256", "none", "RSA1_5", "A256KW", "ES521", "es256", "EdDSA ", "__proto__", ""])(
  "alg %j is none that any issuer may use",
  async (alg) => {
    const [, payload, signature] = ES256.text.split(".");
    const header = Buffer.from(JSON.stringify({ alg })).toString("base64url");
    await expect(verifyText(`${header}.${payload}.${signature}`, [ES256.key])).rejects.toMatchObject({
      code: "invalid_token",
      message: expect.stringContaining("it is signed with"),
    });
  },
);

const b64 = (value: unknown) => Buffer.from(JSON.stringify(value)).toString("base64url");

describe("a text is taken apart, or it is said what is wrong with it:", () => {
  const [header, payload, signature] = ES256.text.split(".") as [string, string, string];
  test.each([
    [`.${payload}.${signature}`, "its header is empty"],
    [`${header}..${signature}`, "its payload is empty"],
    [`${header}.${payload}.`, "its signature is empty"],
    [`${header}=.${payload}.${signature}`, "its header is not canonical"],
    [`${header}.${payload}=.${signature}`, "its payload is not canonical"],
    [`${header}.${payload}.${signature}=`, "its signature is not canonical"],
    [`${b64("x")}.${payload}.${signature}`, "its header is not an object"],
    [`${b64({ alg: "ES256", typ: 1 })}.${payload}.${signature}`, "typ is not a string"],
    [`${b64({ alg: "ES256", typ: null })}.${payload}.${signature}`, "typ is not a string"],
    [`${b64({ alg: "ES256", kid: 1 })}.${payload}.${signature}`, "kid is not a string"],
    [`${b64({ alg: 1 })}.${payload}.${signature}`, "has no alg"],
    [`${b64({ typ: "JWT" })}.${payload}.${signature}`, "has no alg"],
  ])("%s", (text, why) => {
    expect(() => parseJws(text)).toThrow(why);
  });

  test("typ and kid are as they stand there, or are left out", () => {
    expect(parseJws(ES256.text)).toMatchObject({ algorithm: "ES256", kid: undefined, type: undefined });
    const named = `${b64({ alg: "ES256", typ: "JWT", kid: "k" })}.${payload}.${signature}`;
    expect(parseJws(named)).toMatchObject({ kid: "k", type: "JWT" });
  });
});

describe("of the issuer's keys", () => {
  const issuer = { name: "ci", algorithms: ["ES256"] } as const;
  const asked = (retryAfter: number) => {
    const seen: boolean[] = [];
    const source = {
      keys: async (known: (keys: readonly VerificationKey[]) => boolean) => {
        seen.push(known([]));
        return [];
      },
      current: () => undefined,
      retryAfterSeconds: () => retryAfter,
    };
    return { seen, source };
  };

  test("an unknown one is said to be unknown, so that it is looked for, and when it will be looked for again", async () => {
    const { seen, source } = asked(7);
    await expect(keyOf({ algorithm: "ES256", kid: "new" }, issuer, source)).rejects.toMatchObject({
      code: "invalid_token",
      message: expect.stringContaining('its key "new" is not among the usable keys of issuer ci'),
      facts: { retryAfterSeconds: 7 },
    });
    expect(seen).toEqual([false]);
  });

  test("another refusal does not ask for patience", async () => {
    const error = await keyOf({ algorithm: "none", kid: undefined }, issuer, asked(7).source).catch((thrown) => thrown);
    expect(error.facts).toEqual({});
    expect(error.facts).not.toHaveProperty("retryAfterSeconds");
  });
});
