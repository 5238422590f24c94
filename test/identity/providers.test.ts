/** docs/callers/ says of each provider what its preset knows, and its grant is one to copy. */

import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import type { OidcProvider } from "../../shared/config/config.ts";
import { readYaml } from "../../shared/config/document.ts";
import { lintFindings } from "../../shared/config/lint-findings.ts";
import { parseConfig } from "../../shared/config/load.ts";
import { hasOpenClaims, judgementOf, PROVIDERS } from "../../shared/identity/providers.ts";
import { examplePolicy, PROVIDER_NAMES, pageOf } from "../callers.ts";

const NO_KEYS = '{"keys":[{"kty":"OKP","crv":"Ed25519","kid":"1","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}';

/** The claims that a list of the page names. */
function listed(page: string, list: string): string[] {
  const [, line = ""] = new RegExp(`^- ${list}: (.*)$`, "m").exec(page) ?? [];
  return [...line.matchAll(/`([^`]+)`/g)].map(([, claim]) => claim as string);
}

describe.each(PROVIDER_NAMES)("%s", (provider) => {
  const preset = PROVIDERS[provider];
  const page = pageOf(provider);

  test("the page is the provider's", () => {
    expect(page).toMatch(new RegExp(`^# .*\`${provider}\`\n`));
  });

  test("the page's two lists are the preset's, and so are its defaults", () => {
    expect(listed(page, "Its own word")).toEqual(preset.trusted);
    expect(listed(page, "A caller's choice")).toEqual(preset.callerChosen);
    expect(page).toContain(
      `- Unless said otherwise: ${preset.algorithms.join(", ")}, tokens of at most ${preset.maxTokenLifetimeSeconds} s, \`replay: ${preset.replay}\`\n`,
    );
  });

  test("the index has the page, with the preset's replay", () => {
    const index = readFileSync(new URL("../../docs/callers/README.md", import.meta.url), "utf8");
    expect(index).toContain(`| \`${provider}\` | \`${preset.replay}\` | [${provider}.md](${provider}.md) |`);
  });

  test("the page's grant loads, and acr-broker check has nothing to say of it", () => {
    const text = examplePolicy(provider);
    const config = parseConfig(text, { file: "broker.yaml", readFile: () => NO_KEYS });
    const { position } = readYaml(text);
    const now = new Date("2026-06-01T12:00:00Z");
    expect(lintFindings({ config, file: "broker.yaml", position, now })).toEqual([]);
    expect(config.grants).toHaveLength(1);
  });

  test("a grant on what a caller chooses alone does not load, and says what to name", () => {
    for (const claim of preset.callerChosen) expect(() => loadLoose(provider, claim), claim).toThrow(preset.advice);
  });
});

function loadLoose(provider: OidcProvider, claim: string) {
  const text = examplePolicy(provider, { issuer: "https://issuer.example.com", when: { [claim]: "x" } });
  return parseConfig(text, { file: "broker.yaml", readFile: () => "" });
}

test("the claims of a signed identity are judged as RAM's, and those of each provider as its own", () => {
  expect(judgementOf("alibaba").trusted).toEqual(["account_id", "arn", "principal_id", "role_name", "user_name"]);
  for (const name of Object.keys(PROVIDERS) as (keyof typeof PROVIDERS)[])
    expect(judgementOf(name)).toBe(PROVIDERS[name]);
});

test("claims are whatever an operator makes them at two kinds of issuer, and no other", () => {
  const all = ["alibaba", ...Object.keys(PROVIDERS)] as (keyof typeof PROVIDERS)[];
  expect(all.filter(hasOpenClaims).sort()).toEqual(["generic", "jenkins"]);
});
