import { readFileSync } from "node:fs";
import { expect, test } from "vitest";

const { packages } = JSON.parse(readFileSync(new URL("../../package-lock.json", import.meta.url), "utf8")) as {
  packages: Record<string, { resolved?: string; integrity?: string; hasInstallScript?: boolean }>;
};
const installed = Object.entries(packages).filter(([folder]) => folder !== "");

test("every package of the lockfile is the registry's, and held to a SHA-512", () => {
  const wrong = installed.filter(
    ([, { resolved, integrity }]) =>
      !(resolved ?? "https://registry.npmjs.org/").startsWith("https://registry.npmjs.org/") ||
      !/^sha512-[\w+/]{86}==$/.test(integrity ?? ""),
  );
  expect(wrong).toEqual([]);
});

test("the lockfile is in no need of another registry's addresses: .npmrc leaves them out", () => {
  expect(readFileSync(new URL("../../.npmrc", import.meta.url), "utf8")).toContain(
    "omit-lockfile-registry-resolved=true",
  );
  expect(installed.flatMap(([folder, { resolved }]) => (resolved === undefined ? [] : [folder]))).toEqual([]);
});

// Neither is run, by .npmrc: esbuild's puts another program in place of one that works, the vendor's installs a compiler for Nodes of old.
test("no other package wants to run a script when it is installed than the two that do without", () => {
  expect(installed.flatMap(([folder, { hasInstallScript }]) => (hasInstallScript ? [folder] : []))).toEqual([
    "node_modules/@alicloud/openapi-core",
    "node_modules/esbuild",
  ]);
});
