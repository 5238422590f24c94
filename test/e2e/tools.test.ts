import { expect, test, vi } from "vitest";
import { haveTools, missingTools } from "./tools.ts";

test("a tool that is nowhere on the path is missing", () => {
  expect(missingTools(["skopeo", "openssl"], "/nowhere:")).toEqual(["skopeo", "openssl"]);
});

test("missing tools are skipped with a line that names them and how to install them", () => {
  const write = vi.spyOn(process.stderr, "write").mockReturnValue(true);
  expect(haveTools(["skopeo"], { PATH: "/nowhere" })).toBe(false);
  expect(write.mock.calls.join()).toMatch(/SKIPPED e2e: skopeo not installed.*apt-get install .*skopeo/);
  write.mockRestore();
});

test("with CI=true a missing tool is a failure", () => {
  expect(() => haveTools(["skopeo"], { PATH: "/nowhere", CI: "true" })).toThrow(/skopeo not installed/);
});
