/** Sealed texts: what opens them, and that nothing else does. Web Crypto, another implementation, agrees. */

import { execFileSync } from "node:child_process";
import { randomBytes, webcrypto } from "node:crypto";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { readSecret, seal } from "../../shared/issuing/seal.ts";
import { haveTools } from "../e2e/tools.ts";

const SECRET = Buffer.alloc(32, 7);
const TEXT = "canary-text of a credential";
const ours = seal(SECRET, randomBytes);
const bytes = (sealed: string) => Buffer.from(sealed, "base64url");
const written = (...parts: Buffer[]) => Buffer.concat(parts).toString("base64url");

test("what was closed for a subject opens for that subject", () => {
  fc.assert(
    fc.property(fc.string({ unit: "binary" }), fc.string(), (text, subject) => {
      expect(ours.open(ours.close(text, subject), subject)).toBe(text);
    }),
    { numRuns: 50 },
  );
});

test("closed twice it is never the same, and nothing of text or subject is in it", () => {
  const [one, two] = [ours.close(TEXT, "canary-subject"), ours.close(TEXT, "canary-subject")];
  expect(one).not.toBe(two);
  expect(bytes(one).toString("latin1")).not.toMatch(/canary/);
});

describe("does not open", () => {
  const sealed = bytes(ours.close(TEXT, "subject"));

  test("for another subject", () => {
    expect(ours.open(sealed.toString("base64url"), "subject2")).toBeUndefined();
    expect(ours.open(sealed.toString("base64url"), "")).toBeUndefined();
  });

  test("with another secret, also where its key id is written in", () => {
    const theirs = seal(Buffer.alloc(32, 8), randomBytes);
    expect(theirs.open(sealed.toString("base64url"), "subject")).toBeUndefined();
    const head = bytes(theirs.close(TEXT, "subject")).subarray(0, 5);
    expect(theirs.open(written(head, sealed.subarray(5)), "subject")).toBeUndefined();
  });

  test("with any single bit turned", () => {
    for (let bit = 0; bit < sealed.length * 8; bit++) {
      const turned = Buffer.from(sealed);
      turned[bit >> 3] = (turned[bit >> 3] as number) ^ (1 << (bit & 7));
      expect(ours.open(written(turned), "subject"), `bit ${bit}`).toBeUndefined();
    }
  });

  test("cut anywhere, at either end, or with more behind it", () => {
    for (let length = 0; length < sealed.length; length++) {
      expect(ours.open(written(sealed.subarray(0, length)), "subject")).toBeUndefined();
      expect(ours.open(written(sealed.subarray(length + 1)), "subject")).toBeUndefined();
    }
    expect(ours.open(written(sealed, Buffer.of(0)), "subject")).toBeUndefined();
  });

  test.each(["", "=", "not base64 at all!", "AQ", "\u0000"])("%j", (text) => {
    expect(ours.open(text, "subject")).toBeUndefined();
  });
});

describe("a name", () => {
  test("is of one subject and one secret, and is neither", () => {
    const theirs = seal(Buffer.alloc(32, 8), randomBytes);
    const names = [ours.name("a"), ours.name("b"), theirs.name("a")];
    expect(new Set(names).size).toBe(3);
    expect(ours.name("a")).toBe(names[0]);
    for (const name of names) expect(name).toMatch(/^[\w-]{43}$/);
  });
});

test("it is AES-256-GCM with a key of its own by HKDF, and the name an HMAC with another, as Web Crypto makes them", async () => {
  const { subtle } = webcrypto;
  const secret = await subtle.importKey("raw", SECRET, "HKDF", false, ["deriveBits"]);
  const derived = async (use: string, length: number) => {
    const info = Buffer.from(`acr-token-broker credentials 1 ${use}`);
    return subtle.deriveBits({ name: "HKDF", hash: "SHA-256", salt: new Uint8Array(), info }, secret, length);
  };
  const key = await subtle.importKey("raw", await derived("sealing", 256), "AES-GCM", false, ["decrypt"]);
  const sealed = bytes(ours.close(TEXT, "subject"));
  expect(sealed.subarray(0, 5)).toEqual(Buffer.concat([Buffer.of(1), Buffer.from(await derived("key id", 32))]));
  const additionalData = Buffer.concat([sealed.subarray(0, 5), Buffer.from("subject")]);
  const opened = await subtle.decrypt(
    { name: "AES-GCM", iv: sealed.subarray(5, 17), additionalData, tagLength: 128 },
    key,
    sealed.subarray(17),
  );
  expect(Buffer.from(opened).toString()).toBe(TEXT);
  const hmac = { name: "HMAC", hash: "SHA-256" };
  const naming = await subtle.importKey("raw", await derived("naming", 256), hmac, false, ["sign"]);
  const name = Buffer.from(await subtle.sign("HMAC", naming, Buffer.from("subject")));
  expect(ours.name("subject")).toBe(name.toString("base64url"));
});

describe("a secret", () => {
  test.skipIf(!haveTools(["openssl"]))("is what openssl rand -base64 32 prints", () => {
    const printed = execFileSync("openssl", ["rand", "-base64", "32"], { encoding: "utf8" });
    expect(readSecret(printed.trim())).toEqual(Buffer.from(printed, "base64"));
    expect(readSecret(printed)).toBeUndefined();
  });

  const good = SECRET.toString("base64");
  test.each<[string, string]>([
    ["empty", ""],
    ["of 31 bytes", Buffer.alloc(31, 7).toString("base64")],
    ["of 33 bytes", Buffer.alloc(33, 7).toString("base64")],
    ["without its padding", good.slice(0, -1)],
    ["with bits left over that are not 0", good.replace(/.=$/, "d=")],
    ["with a space before it", ` ${good}`],
    ["in base64url", Buffer.alloc(32, 255).toString("base64url")],
    ["in hex", SECRET.toString("hex")],
  ])("%s is none", (_what, text) => {
    expect(readSecret(text)).toBeUndefined();
  });
});
