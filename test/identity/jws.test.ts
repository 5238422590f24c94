/** The signature step alone: its payload may be anything. What a whole token must look like is in jwt.test.ts. */

import { describe, expect, test } from "vitest";
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
