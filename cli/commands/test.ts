/** `acr-broker test`: policy tests, kept beside the policy, as a check of every pull request. */

import { readdirSync } from "node:fs";
import { dirname, join } from "node:path";
import type { BrokerConfig } from "../../shared/config/config.ts";
import { operatorView } from "../../shared/policy/explanation-view.ts";
import { colours } from "../colours.ts";
import { command, EXIT, type Terminal, UsageError } from "../command.ts";
import { grantsText } from "../explanation-text.ts";
import { plural } from "../plural.ts";
import { readPolicy } from "../policy-cache.ts";
import { CONFIG_OPTION, JSON_OPTION, policyFile } from "../policy-file.ts";
import { loadPolicyTests } from "../policy-test/load.ts";
import { type CaseResult, runCase } from "../policy-test/run.ts";

const SUFFIX = ".test.yaml";

export const test = command({
  usage: "[FILE...]",
  description: `
Runs policy tests: files of cases, each with claims, what they ask for, and whether that should be allowed.
Without FILE, every *${SUFFIX} beside the policy. A case that fails is one line, FILE:LINE:COLUMN: name:
what was expected and what came, with the explanation below it.

Exit codes: 0 all cases pass; 1 a case fails; 2 no answer (wrong usage, no tests, or a file that cannot be
used).`,
  options: { config: CONFIG_OPTION, json: JSON_OPTION },
  mostPositionals: Number.POSITIVE_INFINITY,
  examples: ["acr-broker test", "acr-broker test broker.test.yaml --config broker.yaml"],
  async run({ options, positionals }, terminal) {
    const file = policyFile(options.config, terminal);
    const config = await readPolicy(file, terminal);
    const files = positionals.length > 0 ? positionals : testsBeside(file);
    const results = loadPolicyTests(files, config).map((loaded) => runCase(loaded, config));
    const untested = neverAllowing(results, config);
    terminal.out(
      options.json === true
        ? `${JSON.stringify(report(results, untested, config))}\n`
        : results.map((result) => failureText(result, file, terminal)).join("") +
            summary(results, files.length, untested, terminal),
    );
    return results.every(({ failures }) => failures.length === 0) ? EXIT.ok : EXIT.no;
  },
});

function testsBeside(policy: string): string[] {
  const folder = dirname(policy);
  const files = readdirSync(folder).filter((name) => name.endsWith(SUFFIX));
  // A check that finds nothing to check must not look like one that passed.
  if (files.length === 0) throw new UsageError(`there is no *${SUFFIX} beside ${policy}; name the files of tests`);
  return files.sort().map((name) => join(folder, name));
}

/** Grants that no case has seen allow anything: a slip in them would go unnoticed. */
function neverAllowing(results: readonly CaseResult[], config: BrokerConfig): string[] {
  const seen = new Set(
    results.flatMap(({ explanation: { decision } }) =>
      decision.outcome === "allow" ? decision.grants.map(({ name }) => name) : [],
    ),
  );
  return config.grants.filter(({ name }) => !seen.has(name)).map(({ name }) => name);
}

function failureText({ case: loaded, explanation, failures }: CaseResult, file: string, { colour }: Terminal): string {
  const { bold, red } = colours(colour.out);
  const lines = failures.map(({ field, expected, got }) => {
    const { line, column } = loaded.position(field);
    const what = field === "expect" ? "" : `${field} `;
    return `${bold(`${loaded.file}:${line}:${column}:`)} ${loaded.written.name}: ${red("fails")}: expected ${what}${expected}, got ${got}\n`;
  });
  if (lines.length === 0) return "";
  const why = grantsText(explanation, file, colour.out).filter((line) => line !== "");
  return `${lines.join("")}${why.map((line) => `    ${line}\n`).join("")}\n`;
}

function summary(
  results: readonly CaseResult[],
  files: number,
  untested: readonly string[],
  { colour }: Terminal,
): string {
  const { green, red } = colours(colour.out);
  const failed = results.filter(({ failures }) => failures.length > 0).length;
  const verdict = failed === 0 ? green("all pass") : red(`${failed} of them fail`);
  const grants =
    untested.length === 0
      ? ""
      : `no case has these grants allow anything: ${untested.slice(0, 10).join(", ")}${untested.length > 10 ? `, and ${untested.length - 10} more` : ""}\n`;
  return `${grants}${plural(results.length, "case")} in ${plural(files, "file")}: ${verdict}\n`;
}

function report(results: readonly CaseResult[], untested: readonly string[], config: BrokerConfig): object {
  const failed = results.filter(({ failures }) => failures.length > 0).length;
  return {
    policy_digest: config.digest,
    passed: results.length - failed,
    failed,
    never_allowing: untested,
    cases: results.map(({ case: loaded, explanation, failures }) => ({
      file: loaded.file,
      ...loaded.position("name"),
      name: loaded.written.name,
      passed: failures.length === 0,
      failures: failures.map((failure) => ({ ...failure, ...loaded.position(failure.field) })),
      explanation: operatorView(explanation),
    })),
  };
}
