/** `npm run build` on policies of its own: what goes into the package, and what stops it. */

import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readdirSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterEach, beforeEach, expect, test } from "vitest";
import { makeCa } from "./certificates.ts";

const ROOT = fileURLToPath(new URL("../", import.meta.url));
const KEYS = '{"keys":[{"kty":"RSA","kid":"1","n":"x","e":"AQAB"}]}';
const CA = makeCa().cert;
const FILES = { "keys/cluster.json": KEYS, "trust/ca.pem": CA };
const POLICY = `\
version: 1
audience: https://acr-broker.example.com
registries:
  prod: { instance_id: cri-abc123, region: cn-hangzhou, account_id: "1234567890123456", endpoints: [a.example.com] }
issuers:
  cluster: { provider: kubernetes, issuer: https://k8s.internal, jwks_file: ./keys/cluster.json }
  forge: { provider: gitlab, issuer: https://gitlab.internal, ca_file: ./trust/ca.pem }
grants:
  web: { issuer: cluster, when: { sub: "system:serviceaccount:ci:builder" }, registry: prod, allow: ["repository:web/*:push"], role_arn: acs:ram::1234567890123456:role/acr-web, max_ttl: 900 }
`;

/** The sources by links, and a policy and its files for real: the build writes where it is run. */
let folder: string;
beforeEach(() => {
  folder = join(mkdtempSync(join(tmpdir(), "build-")), "project");
  mkdirSync(folder);
  for (const name of [
    "build.ts",
    "cli",
    "functions",
    "node_modules",
    "package.json",
    "shared",
    "tsconfig.client.json",
    "tsconfig.json",
  ]) {
    symlinkSync(join(ROOT, name), join(folder, name));
  }
});
afterEach(() => rmSync(dirname(folder), { recursive: true }));

function build(files: Readonly<Record<string, string>>) {
  for (const [name, text] of Object.entries(files)) {
    mkdirSync(join(folder, dirname(name)), { recursive: true });
    writeFileSync(join(folder, name), text);
  }
  const tsx = join(ROOT, "node_modules/tsx/dist/cli.mjs");
  const { status, stderr } = spawnSync(process.execPath, [tsx, "build.ts"], { cwd: folder, encoding: "utf8" });
  return { status, told: stderr };
}

const packaged = () =>
  readdirSync(join(folder, "dist"), { recursive: true, withFileTypes: true }).flatMap((entry) =>
    entry.isFile() ? [join(entry.parentPath, entry.name).slice(join(folder, "dist/").length)] : [],
  );

test("the package has the policy, its key sets, its shadow policy, and that one's key sets", () => {
  const { status, told } = build({
    "broker.yaml": `${POLICY}shadow: next/broker.yaml\n`,
    ...FILES,
    "next/broker.yaml": `${POLICY}shadow: unread.yaml\n`,
    "next/keys/cluster.json": KEYS,
    "next/trust/ca.pem": CA,
  });
  expect({ status, told }).toEqual({ status: 0, told: "" });
  expect(packaged()).toEqual(
    expect.arrayContaining([
      "broker.yaml",
      "keys/cluster.json",
      "next/broker.yaml",
      "next/keys/cluster.json",
      "next/trust/ca.pem",
      "server.cjs",
      "trust/ca.pem",
    ]),
  );
});

test.each([
  ["a policy that does not load", { "broker.yaml": "version: 2\n" }, /^broker\.yaml:1:/],
  [
    "a shadow policy that does not load",
    { "broker.yaml": `${POLICY}shadow: next.yaml\n`, ...FILES, "next.yaml": "version: 2\n" },
    /^next\.yaml:1:.*\nnot built: next\.yaml has to be mended first/s,
  ],
  [
    "a key set from elsewhere",
    { "broker.yaml": POLICY.replace("./keys", "../keys"), ...FILES, "../keys/cluster.json": KEYS },
    /\.\.\/keys\/cluster\.json: must lie beside or below the policy/,
  ],
  [
    "a CA from elsewhere",
    { "broker.yaml": POLICY.replace("./trust", "../trust"), ...FILES, "../trust/ca.pem": CA },
    /\.\.\/trust\/ca\.pem: must lie beside or below the policy/,
  ],
])("%s stops it, and dist/ is as it was", (_, files, says) => {
  writeFileSync(join(mkdirSync(join(folder, "dist"), { recursive: true }) as string, "old"), "");
  const { status, told } = build(files as Record<string, string>);
  expect(status).toBe(1);
  expect(told).toMatch(says);
  expect(packaged()).toEqual(["old"]);
});
