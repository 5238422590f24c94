import fc from "fast-check";
import { expect, test } from "vitest";
import { roleSessionName } from "../../shared/alibaba/session-name.ts";

test("a name that STS takes stays as it is", () => {
  expect(roleSessionName("ci.builder@example-1_2")).toBe("ci.builder@example-1_2");
});

test("others keep what can be read of them, and end in a digest of the whole", () => {
  expect(roleSessionName("github:repo:acme/app:ref:refs/heads/main")).toMatch(
    /^github-repo-acme-app-ref-refs-heads-main-[0-9a-f]{12}$/,
  );
});

test("whatever the caller is called, STS takes it: 2 to 64 of [A-Za-z0-9.@_-]", () => {
  fc.assert(
    fc.property(fc.string({ unit: "binary", maxLength: 200 }), (caller) => {
      expect(roleSessionName(caller)).toMatch(/^[A-Za-z0-9.@_-]{2,64}$/);
    }),
  );
});

test("callers that differ only in what is replaced or cut off have different names", () => {
  const long = "x".repeat(80);
  expect(new Set(["a/b", "a:b", "a-b", "a//b", `${long}1`, `${long}2`].map(roleSessionName)).size).toBe(6);
});
