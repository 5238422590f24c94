/** `acr-broker check`: what is wrong with a policy; of one that is right, what the broker will call it. */

import { existsSync, readFileSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import packageJson from "../../package.json" with { type: "json" };
import { type BrokerConfig, ConfigError } from "../../shared/config/config.ts";
import { readYaml, type YamlDocument } from "../../shared/config/document.ts";
import { type Finding, lintFindings } from "../../shared/config/lint-findings.ts";
import { quote } from "../../shared/policy/scope.ts";
import { colours } from "../colours.ts";
import { command, EXIT, type Terminal, UsageError } from "../command.ts";
import { findingsSarif, findingsText } from "../findings.ts";
import { formatOf } from "../format.ts";
import { plural } from "../plural.ts";
import { readPolicy } from "../policy-cache.ts";
import { CONFIG_OPTION, policyFile } from "../policy-file.ts";

const FORMATS = ["text", "json", "sarif"] as const;
type Format = (typeof FORMATS)[number];

export const check = command({
  usage: "[FILE] [--format text|json|sarif] [--strict]",
  description: `
Reads the policy as the broker would at its start. Every problem is one line on standard output,
FILE:LINE:COLUMN: severity: what is wrong; what to write. Without problems: the policy's digest (the one
that /version of a running broker shows) and what it holds.

Exit codes: 0 the broker would start on it; 1 it would not, or there is an error among the findings (with
--strict: a warning); 2 wrong usage.`,
  options: {
    config: CONFIG_OPTION,
    format: {
      type: "string",
      value: "FORMAT",
      choices: FORMATS,
      help: `${FORMATS.join(", ")} (SARIF 2.1.0); default text`,
    },
    json: { type: "boolean", help: "the same as --format json" },
    strict: { type: "boolean", help: "warnings, too, make the exit code 1" },
  },
  mostPositionals: 1,
  examples: ["acr-broker check", "acr-broker check broker.yaml --format sarif > broker.sarif"],
  async run({ options, positionals: [named] }, terminal) {
    if (named !== undefined && options.config !== undefined) {
      throw new UsageError("check takes FILE or --config FILE, not both");
    }
    const file = policyFile(named ?? options.config, terminal);
    const report = await inspect(file, terminal);
    terminal.out(written(report, formatOf(options, FORMATS) ?? "text", terminal));
    const fails = (finding: Finding) =>
      finding.severity === "error" || (options.strict === true && finding.severity === "warning");
    return report.findings.some(fails) ? EXIT.no : EXIT.ok;
  },
});

interface Report {
  readonly file: string;
  /** Absent where the file is no policy. */
  readonly config?: BrokerConfig;
  readonly findings: readonly Finding[];
}

async function inspect(file: string, terminal: Terminal): Promise<Report> {
  try {
    const config = await readPolicy(file, terminal, "checked");
    // Read a second time only where there is something to point at.
    let document: YamlDocument | undefined;
    const position: YamlDocument["position"] = (path, part) => {
      document ??= readYaml(readFileSync(file, "utf8"));
      return document.position(path, part);
    };
    const findings = lintFindings({ config, file, position, now: terminal.now() });
    return { file, config, findings: [...findings, ...(await shadowFindings(file, config, position, terminal))] };
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    return { file, findings: error.problems.map((problem) => ({ rule: "config", severity: "error", ...problem })) };
  }
}

/** The broker would start without a shadow that does not load; the build would not pack it. */
async function shadowFindings(
  file: string,
  { shadow }: BrokerConfig,
  position: YamlDocument["position"],
  terminal: Terminal,
): Promise<Finding[]> {
  if (shadow === undefined) return [];
  const other = join(dirname(file), shadow);
  const found = (message: string): Finding => ({
    rule: "shadow",
    severity: "error",
    file,
    ...position(["shadow"], "value"),
    message: `shadow: ${quote(shadow)} ${message}`,
  });
  if (resolve(other) === resolve(file)) return [found("is this policy itself; name another, or take shadow out")];
  if (!existsSync(other)) return [found("is not there; a path is relative to this file")];
  try {
    await readPolicy(other, terminal, "checked");
    return [];
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    const [first] = error.problems;
    const where = first === undefined ? "" : `, first ${other}:${first.line}:${first.column}: ${first.message}`;
    return [found(`does not load: ${plural(error.problems.length, "problem")}${where}`)];
  }
}

function written(report: Report, format: Format, terminal: Terminal): string {
  const { config, file, findings } = report;
  switch (format) {
    case "sarif":
      return `${JSON.stringify(findingsSarif(findings, packageJson.version), null, 2)}\n`;
    case "json":
      return `${JSON.stringify({
        file,
        loads: config !== undefined,
        ...(config === undefined ? {} : { policy_digest: config.digest, counts: counts(config) }),
        findings,
      })}\n`;
    case "text":
      return findingsText(findings, terminal) + (config === undefined ? broken(report) : sound(file, config, terminal));
  }
}

function broken({ file, findings }: Report): string {
  return `${file}: ${plural(findings.length, "problem")}; the broker would not start\n`;
}

function sound(file: string, config: BrokerConfig, { colour }: Terminal): string {
  const { registries, issuers, grants, denials, apiKeys } = config;
  const all = [
    plural(registries.size, "registry", "registries"),
    plural(issuers.size, "issuer"),
    plural(grants.length, "grant"),
    plural(denials.length, "denial"),
    plural(apiKeys.size, "API key"),
  ].join(", ");
  return `${file}: ${colours(colour.out).green("loads")}: ${all}\npolicy digest ${config.digest}\n`;
}

function counts({ registries, issuers, grants, denials, apiKeys }: BrokerConfig) {
  return {
    registries: registries.size,
    issuers: issuers.size,
    grants: grants.length,
    denials: denials.length,
    api_keys: apiKeys.size,
  };
}
