/** What `acr-broker check` says of API keys in a policy that loads. */

import { describe, expect, test } from "vitest";
import { readYaml } from "../../shared/config/document.ts";
import { lintFindings } from "../../shared/config/lint-findings.ts";
import { parseConfig } from "../../shared/config/load.ts";

const NOW = new Date("2027-03-31T00:00:00Z");
const POLICY = `\
version: 1
audience: https://acr-broker.example.com
registries:
  prod: { instance_id: cri-abc123, region: cn-hangzhou, account_id: "1234567890123456", endpoints: [acme-registry.cn-hangzhou.cr.aliyuncs.com] }
grants:
  nightly-pull: { api_key: nightly, registry: prod, allow: ["repository:base/*:pull"], role_arn: acs:ram::1234567890123456:role/acr-web, max_ttl: 900 }
api_keys:
  nightly:
    sha256: 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08
    expires: 2027-06-30T00:00:00Z
    created: 2027-01-01T00:00:00Z
`;
const WEEKLY =
  "sha256: 0f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08, expires: 2027-06-30T00:00:00Z";

function findings(text: string, now = NOW): string[] {
  const config = parseConfig(text, { file: "broker.yaml", readFile: () => "" });
  return lintFindings({ config, file: "broker.yaml", position: readYaml(text).position, now }).map(
    ({ file, line, column, severity, message, rule }) => `${file}:${line}:${column}: ${severity}: ${message} [${rule}]`,
  );
}

describe("said of a key", () => {
  test("nothing, where there is nothing to say", () => {
    expect(findings(POLICY)).toEqual([]);
  });

  test("that is over 90 days old: since when, and how to replace it", () => {
    expect(findings(POLICY, new Date("2027-04-01T23:59:59Z"))).toEqual([]);
    expect(findings(POLICY, new Date("2027-04-02T00:00:00Z"))).toEqual([
      "broker.yaml:11:14: warning: api_keys.nightly.created: was 91 days ago; make a new key (acr-broker key new), let the grants take both with api_key: { any_of: [nightly, …] }, and take this one out when its holder has the new one [api-key-old]",
    ]);
  });

  test("that has expired: that and no more", () => {
    expect(findings(POLICY, new Date("2027-06-30T00:00:00Z"))).toEqual([
      "broker.yaml:10:14: warning: api_keys.nightly.expires: has passed, and the key opens nothing; take it out, or make a new one (acr-broker key new) [api-key-expired]",
    ]);
  });

  test("of unknown age: that nobody will be told", () => {
    expect(findings(POLICY.replace(/ {4}created.*\n/, ""))).toEqual([
      expect.stringMatching(/^broker\.yaml:8:3: note: api_keys\.nightly: has no created, .* \[api-key-old\]$/),
    ]);
  });

  test("that no grant takes: that it opens nothing", () => {
    const unused = `${POLICY}  weekly: { ${WEEKLY}, created: 2027-03-30T00:00:00Z }\n`;
    expect(findings(unused)).toEqual([
      expect.stringMatching(
        /^broker\.yaml:12:3: warning: api_keys\.weekly: is in no grant's api_key.*\[api-key-unused\]$/,
      ),
    ]);
    expect(findings(unused.replace("api_key: nightly", "api_key: { any_of: [nightly, weekly] }"))).toEqual([]);
  });

  test("with networks: that Function Compute tells no addresses, unless a gateway does", () => {
    const near = `${POLICY}    cidrs: [10.0.0.0/8]\n`;
    expect(findings(near)).toEqual([
      expect.stringMatching(
        /^broker\.yaml:12:12: note: api_keys\.nightly\.cidrs: in Function .*\[api-key-without-address\]$/,
      ),
    ]);
    expect(findings(`${near}client_address: { header: X-Real-IP }\n`)).toEqual([]);
  });

  test("in the order of the file", () => {
    const many = `${POLICY}  weekly: { ${WEEKLY} }\n`;
    expect(findings(many, new Date("2028-01-01T00:00:00Z")).map((line) => line.replace(/: \w+: .*\[/, " "))).toEqual([
      "broker.yaml:10:14 api-key-expired]",
      "broker.yaml:12:3 api-key-unused]",
      expect.stringMatching(/^broker\.yaml:12:\d+ api-key-expired\]$/),
    ]);
  });
});
