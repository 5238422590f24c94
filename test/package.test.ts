import { readFileSync } from "node:fs";
import { expect, test } from "vitest";

const { scripts } = JSON.parse(readFileSync(new URL("../package.json", import.meta.url), "utf8")) as {
  scripts: Record<string, string>;
};

test("no script relies on another's being run before or after it: .npmrc has npm run none", () => {
  expect(readFileSync(new URL("../.npmrc", import.meta.url), "utf8")).toContain("ignore-scripts=true");
  const hooks = Object.keys(scripts).filter((name) => /^(?:pre|post)/.test(name));
  expect(hooks).toEqual([]);
});

test.each(["demo", "dev", "test"])("npm run %s builds first", (name) => {
  expect(scripts[name]).toMatch(/^npm run --silent build && /);
});
