import { expect, test } from "vitest";
import { principalName } from "../../shared/identity/principal.ts";

test.each([
  [{ source: { issuer: "github" }, subject: "repo:acme/app" }, "github:repo:acme/app"],
  [{ source: { issuer: "clusters" }, member: "eu-1", subject: "job" }, "clusters/eu-1:job"],
  [{ source: { apiKey: "nightly" }, subject: "nightly" }, "api_key.nightly"],
])("%j is called %s", (principal, name) => {
  expect(principalName({ ...principal, claims: {} })).toBe(name);
});
