/** What is wrong with a policy, written for people, for scripts, and for code review (SARIF). */

import { isAbsolute, relative } from "node:path";
import type { Finding } from "../shared/config/lint-findings.ts";
import { colours } from "./colours.ts";
import type { Terminal } from "./command.ts";

/** One line each, `FILE:LINE:COLUMN: severity: message [rule]`. */
export function findingsText(findings: readonly Finding[], { colour }: Terminal): string {
  const { bold, red, yellow, dim } = colours(colour.out);
  const paint = { error: red, warning: yellow, note: dim };
  return findings
    .map(({ file, line, column, severity, message, rule }) => {
      const tail = rule === "config" ? "" : dim(` [${rule}]`);
      return `${bold(`${file}:${line}:${column}:`)} ${paint[severity](`${severity}:`)} ${message}${tail}\n`;
    })
    .join("");
}

/** https://docs.oasis-open.org/sarif/sarif/v2.1.0/sarif-v2.1.0.html, as code review services take it. */
export function findingsSarif(findings: readonly Finding[], version: string): object {
  const rules = [...new Set(findings.map(({ rule }) => rule))].sort();
  return {
    $schema: "https://json.schemastore.org/sarif-2.1.0.json",
    version: "2.1.0",
    runs: [
      {
        tool: { driver: { name: "acr-broker", version, rules: rules.map((id) => ({ id })) } },
        columnKind: "utf16CodeUnits",
        results: findings.map(({ rule, severity, message, file, line, column }) => ({
          ruleId: rule,
          ruleIndex: rules.indexOf(rule),
          level: severity,
          message: { text: message },
          locations: [
            {
              physicalLocation: {
                artifactLocation: { uri: fileUri(file) },
                region: { startLine: line, startColumn: column },
              },
            },
          ],
        })),
      },
    ],
  };
}

/** Relative to where the command runs, which in CI is the repository's root: only so can a review show it at its line. */
function fileUri(file: string): string {
  const path = isAbsolute(file) ? relative("", file) : file.replace(/^\.\//, "");
  return path.split(/[\\/]/).map(encodeURIComponent).join("/");
}
