/** The script that runs Wycheproof's vectors, on vectors made here: it must be able to fail, and to say that it proved nothing. */

import { spawnSync } from "node:child_process";
import { generateKeyPairSync, type KeyObject, sign } from "node:crypto";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { wycheproof } from "./wycheproof.ts";

const folders: string[] = [];
afterAll(() => {
  for (const folder of folders) rmSync(folder, { recursive: true });
});

async function run(path: string | undefined): Promise<{ code: number; lines: string[] }> {
  const lines: string[] = [];
  return { code: await wycheproof(path, (line) => lines.push(line)), lines };
}

const { publicKey, privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
const KEY = { ...publicKey.export({ format: "jwk" }), kid: "k1", alg: "ES256", use: "sig" };

function jws(header: object, key: KeyObject = privateKey): string {
  const input = [JSON.stringify(header), "foo"].map((part) => Buffer.from(part).toString("base64url")).join(".");
  return `${input}.${sign("sha256", Buffer.from(input), { key, dsaEncoding: "ieee-p1363" }).toString("base64url")}`;
}

const right = jws({ alg: "ES256", kid: "k1" });
const ACCEPTED = { comment: "right", result: "valid", jws: right };
const HMAC = { comment: "symmetric", result: "valid", jws: jws({ alg: "HS256", kid: "k1" }) };
const JWE = { comment: "encrypted", result: "valid", jwe: `${right}.x.y` };
const REJECTED = { comment: "payload changed", result: "invalid", jws: right.replace(".Zm9v.", ".WG9v.") };
const SERIALIZED = { comment: "an object", result: "invalid", jws: { payload: "Zm9v", signatures: [] } };
const MISLABELLED = { comment: "right, and said not to be", result: "invalid", jws: right };
const ACCEPTABLE = { comment: "no kid", result: "acceptable", jws: jws({ alg: "ES256" }) };

/** A folder with one file of these vectors, as a checkout has it. */
function checkout(vectors: readonly object[], numberOfTests = vectors.length, key: object = KEY): string {
  const folder = mkdtempSync(join(tmpdir(), "wycheproof-"));
  folders.push(folder);
  const tests = vectors.map((vector, index) => ({ tcId: index + 1, ...vector }));
  mkdirSync(join(folder, "testvectors_v1"));
  writeFileSync(
    join(folder, "testvectors_v1", "json_web_signature_test.json"),
    JSON.stringify({ numberOfTests, testGroups: [{ public: key, private: { d: "not used" }, tests }] }),
  );
  return folder;
}

test("all well: counts, and why valid signatures are refused", async () => {
  const folder = checkout([ACCEPTED, HMAC, JWE, REJECTED, SERIALIZED, ACCEPTABLE]);
  const { code, lines } = await run(folder);
  expect(lines.slice(1)).toEqual([
    "  must be rejected: 2, of which 2 were",
    "  valid: 3, of which 1 were accepted",
    "    refused: 1, symmetric: HS256 is not offered (2)",
    "    refused: 1, encryption is not offered (3)",
    "  acceptable: 6 no kid: accepted",
    "6 vectors run, 0 accepted that must be rejected",
  ]);
  expect(code).toBe(0);
  expect(await run(join(folder, "testvectors_v1"))).toMatchObject({ code: 0 });
});

test("one vector accepted that must be rejected fails the run, and is named", async () => {
  const { code, lines } = await run(checkout([ACCEPTED, REJECTED, MISLABELLED]));
  expect(lines).toContain("  ACCEPTED, AND MUST NOT BE: 3 right, and said not to be");
  expect(lines).toContain("3 vectors run, 1 accepted that must be rejected");
  expect(code).toBe(1);
});

test("a set of keys is a key set, and a key that is left out of it is said to be for something else", async () => {
  const folder = checkout([ACCEPTED, REJECTED], 2, { keys: [{ ...KEY, alg: "ES384" }] });
  const { code, lines } = await run(folder);
  expect(lines).toContain("    refused: 1, no usable key: it is for EC sig ES384 (1)");
  expect(lines.at(-1)).toContain("not one valid signature was accepted");
  expect(code).toBe(2);
});

test.each<[string, () => string | undefined, string]>([
  ["no path", () => undefined, "give the path of a checkout"],
  ["no such folder", () => "/nowhere", "there is no json_web_*_test.json"],
  ["a file for a folder", () => import.meta.filename, "there is no json_web_*_test.json"],
  ["a folder without vectors", () => tmpdir(), "there is no json_web_*_test.json"],
  ["no vectors", () => checkout([]), "no vector had to be rejected"],
  ["none to reject", () => checkout([ACCEPTED]), "no vector had to be rejected"],
  ["fewer than the file says", () => checkout([ACCEPTED, REJECTED], 3), "says that it has 3 vectors, and has 2"],
  ["no text", () => checkout([{ comment: "", result: "valid" }]), "vector 1 has neither jws nor jwe"],
  ["another result", () => checkout([{ ...ACCEPTED, result: "unknown" }]), "none that this script knows"],
])("%s proves nothing, and is not taken for success", async (_, path, message) => {
  const { code, lines } = await run(path());
  expect(lines.at(-1)).toMatch(/^nothing is proved: /);
  expect(lines.at(-1)).toContain(message);
  expect(code).toBe(2);
});

test("the command ends with that code", () => {
  const path = checkout([ACCEPTED, MISLABELLED]);
  const { status, stdout } = spawnSync("npm", ["run", "--silent", "wycheproof", "--", path], { encoding: "utf8" });
  expect(stdout).toContain("2 vectors run, 1 accepted that must be rejected");
  expect(status).toBe(1);
});
