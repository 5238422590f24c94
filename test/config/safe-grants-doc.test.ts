import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { parse, stringify } from "yaml";
import { readYaml } from "../../shared/config/document.ts";
import { lintFindings } from "../../shared/config/lint-findings.ts";
import { parseConfig } from "../../shared/config/load.ts";
import { holds } from "../../shared/policy/condition.ts";
import { blocksOf } from "../markdown.ts";

const page = readFileSync(new URL("../../docs/safe-grants.md", import.meta.url), "utf8");
const blocks = blocksOf(page);
const examples = blocks.filter(({ language }) => language === "yaml");

/** The block's fields in a grant; `issuers` in the file. */
function load(yaml: string) {
  const { issuers, ...fields } = parse(yaml) as Record<string, unknown>;
  const text = stringify({
    version: 1,
    audience: "https://acr-broker.example.com",
    registries: {
      prod: {
        instance_id: "cri-abc123",
        region: "cn-hangzhou",
        account_id: "1234567890123456",
        endpoints: ["acme.example.com"],
      },
    },
    issuers: issuers ?? {
      github: { provider: "github", issuer: "https://token.actions.githubusercontent.com" },
      gitlab: { provider: "gitlab", issuer: "https://gitlab.com" },
      buildkite: { provider: "buildkite", issuer: "https://agent.buildkite.com" },
      kubernetes: { provider: "kubernetes", issuer: "https://k8s.example.com" },
    },
    grants: {
      example: {
        issuer: "github",
        when: { repository_id: "123456" },
        registry: "prod",
        allow: ["repository:web/app:pull,push"],
        role_arn: "acs:ram::1234567890123456:role/acr-web",
        max_ttl: 900,
        ...fields,
      },
    },
  });
  const config = parseConfig(text, { file: "broker.yaml", readFile: () => "" });
  const { position } = readYaml(text);
  const warnings = lintFindings({ config, file: "broker.yaml", position, now: new Date(0) }).filter(
    ({ severity }) => severity === "warning",
  );
  return { grant: config.grants[0], warnings };
}

describe("docs/safe-grants.md", () => {
  test("has examples of each kind", () => {
    expect(new Set(examples.map(({ name }) => name))).toEqual(new Set(["refused", "safe", "warned"]));
  });

  test.each(examples)("$name: $text", ({ name, text }) => {
    if (name === "refused") {
      const where = Object.keys(parse(text)).map((field) =>
        field === "issuers" ? "issuers" : `grants.example.${field}`,
      );
      expect(() => load(text)).toThrow(where.at(-1));
    } else {
      const { warnings } = load(text);
      if (name === "safe") expect(warnings).toEqual([]);
      else expect(warnings).not.toEqual([]);
    }
  });

  /** Each with the safe example that it stands behind. */
  const tokens = blocks.flatMap((block, index) =>
    block.language === "json"
      ? [
          {
            ...block,
            example: blocks.slice(0, index).findLast(({ language, name }) => language === "yaml" && name === "safe"),
          },
        ]
      : [],
  );

  test.each(tokens)("$name: $text", ({ name, text, example }) => {
    const when = load(example?.text ?? "").grant?.when ?? [];
    const claims = JSON.parse(text) as Record<string, unknown>;
    expect(when.every((condition) => holds(condition, claims))).toBe(name === "taken");
  });
});
