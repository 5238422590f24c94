/** `npm run build` on policies of its own: what goes into the package, and what stops it. */

import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { cpSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
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

/** The sources, and a policy and its files of its own: the build writes where it is run. */
let folder: string;
beforeEach(() => {
  folder = join(mkdtempSync(join(tmpdir(), "build-")), "project");
  for (const name of [
    "build.ts",
    "cli",
    "functions",
    "package-lock.json",
    "package.json",
    "packaging",
    "shared",
    "tsconfig.client.json",
    "tsconfig.json",
  ]) {
    cpSync(join(ROOT, name), join(folder, name), { recursive: true });
  }
  symlinkSync(join(ROOT, "node_modules"), join(folder, "node_modules"));
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

/** What does not hang on the policy. V8's caches are other bytes each time, and server.cjs has their SHA-256. */
function reproduced(dist: string): object {
  const files = readdirSync(dist).filter((name) =>
    /^(?:.*\.cjs|.*LEGAL\.txt|sbom\.cdx\.json|THIRD-PARTY-LICENSES)$/.test(name),
  );
  expect(files).toHaveLength(9);
  return Object.fromEntries(
    files.map((name) => {
      const text = readFileSync(join(dist, name), "latin1");
      const sameEachTime = name === "server.cjs" ? text.replace(/"code-cache\/[^"]+":"[0-9a-f]{64}",?/g, "") : text;
      return [name, createHash("sha256").update(sameEachTime).digest("hex")];
    }),
  );
}

test("the package has the policy, its key sets, its shadow policy, and that one's key sets, and else the bytes of any other build", () => {
  const { status, told } = build({
    "broker.yaml": `${POLICY}shadow: next/broker.yaml\n`,
    ...FILES,
    "next/broker.yaml": `${POLICY}shadow: unread.yaml\n`,
    "next/keys/cluster.json": KEYS,
    "next/trust/ca.pem": CA,
  });
  expect({ status, told }).toEqual({ status: 0, told: "" });
  // In one test with what else comes of a build, since a build takes seconds.
  expect(reproduced(join(folder, "dist"))).toEqual(reproduced(join(ROOT, "dist")));
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
