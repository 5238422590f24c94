/** Limits of grants on the command line: explained, tested and compared as conditions are. */

import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { acrBroker } from "./run.ts";

const POLICY = `\
version: 1
audience: https://acr-broker.example.com
registries:
  prod: { instance_id: cri-abc123, region: cn-hangzhou, account_id: "1234567890123456", endpoints: [a.example.com] }
issuers:
  gitlab: { provider: gitlab, issuer: https://gitlab.example.com }
grants:
  release:
    issuer: gitlab
    when: { project_id: "42" }
    cidrs: [10.0.0.0/8]
    times: { days: [mon, tue, wed, thu], hours: 09:00-17:00, zone: Asia/Shanghai }
    registry: prod
    allow: ["repository:web/*:push"]
    role_arn: acs:ram::1234567890123456:role/acr-web
    max_ttl: 900
`;
const CLAIMS = {
  iss: "https://gitlab.example.com",
  sub: "project_path:acme/web:ref_type:branch:ref:main",
  project_id: "42",
};

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "limits-"));
  writeFileSync(join(folder, "broker.yaml"), POLICY);
});
afterAll(() => rmSync(folder, { recursive: true }));

const explain = (...more: string[]) =>
  acrBroker(["explain", "--claims", "-", "--scope", "repository:web/app:push", ...more], {
    cwd: folder,
    input: JSON.stringify(CLAIMS),
  });
const THURSDAY = ["--time", "2027-06-03T02:00:00Z"];

test("explain takes address and time, and shows which limit is not kept", () => {
  expect(explain("--address", "10.1.2.3", ...THURSDAY)).toMatchObject({ code: 0, told: "" });
  const elsewhere = explain("--address", "192.0.2.1", ...THURSDAY);
  expect(elsewhere.code).toBe(1);
  expect(elsewhere.out).toMatch(/fails {2}the caller's address +is "192\.0\.2\.1", and must be in 10\.0\.0\.0\/8\n/);
  expect(elsewhere.out).toMatch(/holds {2}the time +is "2027-06-03T02:00:00\.000Z"\n/);
  const unknown = JSON.parse(explain("--json", ...THURSDAY).out);
  expect(unknown).toMatchObject({
    outcome: "deny",
    reason: "condition",
    nearest: { grant: "release", limit: "network", actual: null, expected: "in 10.0.0.0/8" },
    grants: [
      {
        matches: false,
        limits: [
          { limit: "network", keeps: false },
          { limit: "time", keeps: true },
        ],
      },
    ],
  });
});

test.each([
  [["--address", "10.0.0.0/8"], "--address is not an IP address"],
  [["--time", "yesterday"], "--time is not a date and time with its zone"],
])("%j is refused with what to write", (args, says) => {
  expect(explain(...args)).toMatchObject({ code: 2, out: "", told: expect.stringContaining(says) });
});

test("a policy test says from where and when, and what it does not say is not known", () => {
  const one = (name: string, more: string) =>
    `- { name: ${name}, claims: ${JSON.stringify(CLAIMS)}, scope: "repository:web/app:push", ${more} }\n`;
  writeFileSync(
    join(folder, "broker.test.yaml"),
    one("in time", "address: 10.1.2.3, time: 2027-06-03T02:00:00Z, expect: allow") +
      one("on Friday", "address: 10.1.2.3, time: 2027-06-04T02:00:00Z, expect: deny, reason: condition, limit: time") +
      one("from elsewhere", "address: 192.0.2.1, time: 2027-06-03T02:00:00Z, expect: deny, limit: network") +
      one("whenever", "address: 10.1.2.3, expect: deny, limit: time"),
  );
  expect(acrBroker(["test"], { cwd: folder })).toMatchObject({ code: 0, out: "4 cases in 1 file: all pass\n" });
  writeFileSync(join(folder, "broker.test.yaml"), one("wrong", "address: 10.1.2.3, expect: deny, limit: network"));
  expect(acrBroker(["test"], { cwd: folder }).out).toContain("expected limit network, got time");
  writeFileSync(join(folder, "broker.test.yaml"), one("no address", "address: 10.01.2.3, expect: deny"));
  expect(acrBroker(["test"], { cwd: folder }).told).toContain("is not an IP address as it is usually written");
});

test("diff says which way a limit goes, and of two that cannot be compared that it cannot tell", () => {
  const diff = (replaced: string, by: string) => {
    writeFileSync(join(folder, "new.yaml"), POLICY.replace(replaced, by));
    return acrBroker(["diff", "broker.yaml", "new.yaml"], { cwd: folder }).out;
  };
  expect(diff("    cidrs: [10.0.0.0/8]\n", "")).toContain("+     cidrs: in 10.0.0.0/8 → anywhere");
  expect(diff("10.0.0.0/8", "10.2.0.0/16")).toContain("-     cidrs: in 10.0.0.0/8 → in 10.2.0.0/16");
  expect(diff("10.0.0.0/8", "10.0.0.0/8, 192.168.0.0/16")).toMatch(/^\+ {5}cidrs/m);
  expect(diff("10.0.0.0/8", "11.0.0.0/8")).toMatch(/^! {5}cidrs/m);
  expect(diff("09:00-17:00", "09:00-18:00")).toMatch(/^\+ {5}times: on mon.* between 09:00 and 17:00 .* → .*18:00/m);
  expect(diff("09:00-17:00", "10:00-16:00")).toMatch(/^- {5}times/m);
  expect(diff("09:00-17:00", "22:00-06:00")).toMatch(/^! {5}times/m);
  expect(diff("[mon, tue, wed, thu]", "[mon, tue, wed, thu, fri]")).toMatch(/^\+ {5}times/m);
  expect(diff("Asia/Shanghai", "Europe/Berlin")).toMatch(/^! {5}times/m);
  expect(diff("zone: Asia/Shanghai }", "zone: Asia/Shanghai, not_after: 2027-06-30T00:00:00Z }")).toMatch(
    /^- {5}times/m,
  );
  expect(diff("    times: { days: [mon, tue, wed, thu], hours: 09:00-17:00, zone: Asia/Shanghai }\n", "")).toContain(
    "→ always",
  );
  expect(diff("    max_ttl", "    create_repository: true\n    max_ttl")).not.toContain("limits");
});

test("a key that has expired, or may not be used from there, is no allow, whatever its grant gives", () => {
  writeFileSync(
    join(folder, "keys.yaml"),
    `${POLICY.slice(0, POLICY.indexOf("grants:"))}grants:
  nightly: { api_key: nightly, registry: prod, allow: ["repository:web/*:pull"], role_arn: acs:ram::1234567890123456:role/acr-web, max_ttl: 900 }
api_keys:
  nightly: { sha256: ${"5f".repeat(32)}, expires: 2027-06-30T00:00:00Z, cidrs: [10.0.0.0/8] }
`,
  );
  const ask = (...more: string[]) =>
    acrBroker(
      ["explain", "--api-key", "nightly", "--scope", "repository:web/app:pull", "--config", "keys.yaml", ...more],
      { cwd: folder },
    );
  expect(ask("--address", "10.0.0.7", ...THURSDAY).code).toBe(0);
  expect(ask("--address", "8.8.8.8", ...THURSDAY)).toMatchObject({
    code: 1,
    out: expect.stringContaining(
      "the broker would answer invalid_api_key: the API key was not accepted: nightly may not be used from 8.8.8.8",
    ),
  });
  expect(ask("--address", "10.0.0.7", "--time", "2027-07-01T00:00:00Z").out).toContain("nightly expired at 2027-06-30");
  writeFileSync(
    join(folder, "broker.test.yaml"),
    '- { name: from elsewhere, api_key: nightly, address: 8.8.8.8, scope: "repository:web/app:pull", expect: deny }\n',
  );
  expect(acrBroker(["test", "--config", "keys.yaml"], { cwd: folder })).toMatchObject({ code: 0 });
});
