import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { parseConfig } from "../../shared/config/load.ts";

const page = readFileSync(new URL("../../docs/safe-grants.md", import.meta.url), "utf8");
const blocks = [...page.matchAll(/```yaml (\w+)\n([\s\S]*?)```/g)].map(([, verdict, yaml]) => ({
  verdict,
  yaml: yaml?.trim() ?? "",
}));

function load(when: string) {
  const text = `version: 1
audience: https://acr-broker.example.com
registries:
  prod: { instance_id: cri-abc123, region: cn-hangzhou, account_id: "1234567890123456", endpoints: [acme.example.com] }
issuers:
  github: { provider: github, issuer: "https://token.actions.githubusercontent.com" }
grants:
  example:
    issuer: github
    ${when}
    registry: prod
    allow: ["repository:web/*:pull,push"]
    role_arn: acs:ram::1234567890123456:role/acr-web
    max_ttl: 900
`;
  return parseConfig(text, { file: "broker.yaml", readFile: () => "" });
}

describe("docs/safe-grants.md", () => {
  test("has examples of each kind", () => {
    expect(new Set(blocks.map(({ verdict }) => verdict))).toEqual(new Set(["refused", "safe", "warned"]));
  });

  test.each(blocks)("$verdict: $yaml", ({ verdict, yaml }) => {
    if (verdict === "refused") expect(() => load(yaml)).toThrow("grants.example.when");
    else expect(load(yaml).grants).toHaveLength(1);
  });
});
