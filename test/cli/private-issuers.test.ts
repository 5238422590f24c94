/** `acr-broker` on policies with templates and private CAs, as a process. */

import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { makeCa } from "../certificates.ts";
import { acrBroker } from "./run.ts";

const grant = (iss: string) =>
  `{ issuer: orgs, when: { iss: "${iss}", sub: job }, registry: prod, allow: ["repository:web/*:pull"], role_arn: "acs:ram::1234567890123456:role/acr-web", max_ttl: 900 }`;
const POLICY = `version: 1
audience: https://acr-broker.example.com
registries:
  prod: { instance_id: cri-abc123, region: cn-hangzhou, account_id: "1234567890123456", endpoints: [acme.example.com] }
issuers:
  orgs: { provider: generic, issuer_template: "https://oidc.example.com/org/{org}", ca_file: ca.pem }
  plain: { provider: generic, issuer: "https://login.example.com" }
grants:
  a: ${grant("https://oidc.example.com/org/a")}
  b: ${grant("https://oidc.example.com/org/b")}
`;

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "private-issuers-"));
  writeFileSync(join(folder, "old.yaml"), POLICY);
  writeFileSync(join(folder, "ca.pem"), makeCa().cert);
  writeFileSync(join(folder, "other.pem"), makeCa().cert);
});
afterAll(() => rmSync(folder, { recursive: true }));

describe("explain knows the issuer by the claim iss", () => {
  const explain = (claims: unknown) =>
    acrBroker(["explain", "--claims", "-", "--config", "old.yaml", "--scope", "repository:web/app:pull", "--json"], {
      cwd: folder,
      input: JSON.stringify(claims),
    });

  test.each(["a", "b"])("which is one that a grant names: %s", (org) => {
    const { code, out } = explain({ iss: `https://oidc.example.com/org/${org}`, sub: "job" });
    expect(code).toBe(0);
    expect(JSON.parse(out)).toMatchObject({ outcome: "allow", principal: { issuer: "orgs", subject: "job" } });
  });

  test("and says of one that no grant names that the broker would not trust it", () => {
    expect(explain({ iss: "https://oidc.example.com/org/c", sub: "job" })).toMatchObject({
      code: 2,
      told: expect.stringContaining(
        "no grant of orgs names the claims' iss, though it is of that template's form, so the broker would answer untrusted_issuer",
      ),
    });
    expect(explain({ iss: "https://oidc.example.com/org/a/b", sub: "job" }).told).toContain(
      "no configured issuer has the claims' iss",
    );
  });
});

describe("diff sees", () => {
  const PLAIN = 'issuer: "https://login.example.com"';
  test.each([
    [
      "another template",
      PLAIN,
      'issuer_template: "https://login.example.com/{tenant}"',
      "! issuer plain ",
      ["issuer: https://login.example.com → nothing", "issuer_template: nothing → https://login.example.com/{tenant}"],
    ],
    ["a private CA", PLAIN, `${PLAIN}, ca_file: ca.pem`, "! issuer plain ", ["ca_file: the system's CAs → ca.pem"]],
    ["another file of CAs", "ca_file: ca.pem", "ca_file: other.pem", "! issuer orgs ", ["ca_file: ca.pem → other.pem"]],
    ["one issuer less", "/org/b", "/org/c", "! grant b ", ["when.iss: "]],
  ])("%s", (_, replaced, by, head, details) => {
    writeFileSync(join(folder, "new.yaml"), POLICY.replace(replaced, by));
    const { code, out } = acrBroker(["diff", "old.yaml", "new.yaml"], { cwd: folder });
    expect(code).toBe(1);
    expect(out).toContain(head);
    for (const detail of details) expect(out).toContain(`!     ${detail}`);
  });
});

test("check finds nothing to say of a grant for one of many", () => {
  const { code, out } = acrBroker(["check", "old.yaml"], { cwd: folder });
  expect(code).toBe(0);
  expect(out).not.toContain("warning");
});
