/** Whatever the file holds, loading it ends in a configuration that can be reviewed or in a ConfigError with a place; never in anything else. */

import { readFileSync } from "node:fs";
import fc from "fast-check";
import { expect } from "vitest";
import { parse, stringify } from "yaml";
import { ConfigError } from "../../shared/config/config.ts";
import { readYaml } from "../../shared/config/document.ts";
import { lintFindings } from "../../shared/config/lint-findings.ts";
import { parseConfig } from "../../shared/config/load.ts";
import { fuzzed } from "./fuzzed.ts";

const EXAMPLE = readFileSync(new URL("../../broker.yaml", import.meta.url), "utf8");

function loadsOrExplains(text: string): void {
  try {
    const config = parseConfig(text, { file: "broker.yaml", readFile: () => "{}" });
    expect(config.grants.length).toBeGreaterThan(0);
    lintFindings({ config, file: "broker.yaml", position: readYaml(text).position, now: new Date(0) });
    for (const { holder, when } of config.grants) expect("apiKeys" in holder || when.length > 0).toBe(true);
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    expect(error.problems.length).toBeGreaterThan(0);
    const lines = text.split("\n").length;
    for (const { line, column, message } of error.problems) {
      expect(line).toBeGreaterThanOrEqual(1);
      expect(line).toBeLessThanOrEqual(lines);
      expect(column).toBeGreaterThanOrEqual(1);
      expect(message).not.toMatch(/undefined|\[object|Invalid input|^\s*$/);
    }
  }
}

const piece = fc.oneof(
  fc.string({ maxLength: 5 }),
  fc.constantFrom("*", "&a ", "\t", "\n", ": ", "- ", "[", "{", "}", '"', "#", "!!x "),
);

const key = fc.constantFrom(
  ...["prod", "github", "web-main", "issuer", "when", "toString", "any_of", "glob", "jwks_file"],
);
const other = fc.oneof(fc.jsonValue({ maxDepth: 3 }), fc.dictionary(key, fc.jsonValue({ maxDepth: 2 })));

export const config = [
  fuzzed(
    "a configuration with some of its characters changed",
    1000,
    fc.tuple(fc.nat(EXAMPLE.length), fc.nat(30), piece),
    ([at, length, inserted]) => loadsOrExplains(EXAMPLE.slice(0, at) + inserted + EXAMPLE.slice(at + length)),
  ),
  fuzzed(
    "a configuration in which some value is something else entirely",
    1000,
    fc.tuple(fc.nat(), other),
    ([choice, value]) => {
      const content = parse(EXAMPLE);
      const places = placesIn(content);
      const [holder, name] = places[choice % places.length] as [Record<string, unknown>, string];
      holder[name] = value;
      loadsOrExplains(stringify(content));
    },
  ),
];

function placesIn(value: unknown): [Record<string, unknown>, string][] {
  if (typeof value !== "object" || value === null) return [];
  const holder = value as Record<string, unknown>;
  return Object.keys(holder).flatMap((name) => [[holder, name] as [typeof holder, string], ...placesIn(holder[name])]);
}
