/** `acr-broker ram`: the RAM roles and policies that a policy needs, and whether those that are there say exactly that. */

import type { BrokerConfig } from "../../shared/config/config.ts";
import { homeAccount } from "../../shared/config/role-findings.ts";
import { colours } from "../colours.ts";
import { command, EXIT, type Terminal, UsageError } from "../command.ts";
import { formatOf } from "../format.ts";
import { plural } from "../plural.ts";
import { readPolicy } from "../policy-cache.ts";
import { CONFIG_OPTION, policyFile } from "../policy-file.ts";
import { compare, type RoleFinding } from "../ram/compare.ts";
import { type Documents, documentsOf, ROLE_SESSION_SECONDS } from "../ram/documents.ts";
import { writeFiles } from "../ram/files.ts";
import { type Given, givenBy } from "../ram/given.ts";
import { type Needs, needsOf } from "../ram/needs.ts";
import { terraformOf } from "../ram/terraform.ts";
import { documentsText } from "../ram/text.ts";

const FORMATS = ["text", "json", "terraform"] as const;
type Format = (typeof FORMATS)[number];

export const ram = command({
  usage: "[--format text|json|terraform | --out FOLDER] | --check FILE...",
  description: `
Prints the RAM roles that this policy needs, each with its trust policy and its permissions: the function's role,
which may take exactly the roles of the grants, and those roles, which may do what their grants give together.
Where RAM can only say more than a grant gives, a warning on standard error says so.

With --check it compares policies in files with that, and says what is too wide and what is missing. A file is a
policy document, or what "aliyun ram GetRole", "GetPolicy" or "GetPolicyVersion" prints. Its name begins with its
role's (acr-web-policy.json, function-trust.json); GetRole's says itself which role it is about.

Exit codes: 0 printed, or the files give what is needed and no more; 1 too wide, or missing; 2 no answer (wrong
usage, or a file that cannot be used).`,
  options: {
    config: CONFIG_OPTION,
    format: { type: "string", value: "FORMAT", choices: FORMATS, help: `${FORMATS.join(", ")}; default text` },
    json: { type: "boolean", help: "the same as --format json" },
    "function-role": {
      type: "string",
      value: "ARN",
      help: "the function's role; default acr-token-broker, in the account of the first registry",
    },
    out: { type: "string", value: "FOLDER", help: "write each document into a file there, over what has its name" },
    check: { type: "boolean", help: "compare the FILEs with what is needed" },
  },
  mostPositionals: Number.POSITIVE_INFINITY,
  examples: [
    "acr-broker ram",
    "acr-broker ram --out policies && acr-broker ram --check policies/*.json",
    "acr-broker ram --format terraform > ram.tf",
    "acr-broker ram --check function-trust.json function-policy.json acr-web-trust.json acr-web-policy.json",
  ],
  async run({ options, positionals: files }, terminal) {
    const format = formatOf(options, FORMATS) ?? "text";
    if (options.check !== true && files.length > 0) throw new UsageError("ram takes files with --check only");
    if (options.check === true && files.length === 0) throw new UsageError("--check needs files: which policies?");
    if (options.check === true && format === "terraform") {
      throw new UsageError("--check has no format terraform; take text or json");
    }
    if (options.out !== undefined && (options.check === true || format !== "text")) {
      throw new UsageError("--out writes the documents as they are; leave out --format, --json and --check");
    }
    const file = policyFile(options.config, terminal);
    const config = await readPolicy(file, terminal);
    const functionRole = functionRoleOf(options["function-role"], config);
    const needs = needsOf(config, functionRole);
    const answer: Answer = { file, config, needs, documents: documentsOf(needs, functionRole) };
    if (options.check === true) return checked(answer, files, format, terminal);
    for (const { grant, message } of needs.warnings) {
      terminal.tell(`${file}:${grant.line}: warning: grants.${grant.name}: ${message}\n`);
    }
    if (options.out !== undefined) {
      for (const path of writeFiles(options.out, answer.documents)) terminal.tell(`wrote ${path}\n`);
      return EXIT.ok;
    }
    terminal.out(printed(answer, format));
    return EXIT.ok;
  },
});

function functionRoleOf(given: string | undefined, config: BrokerConfig): string {
  const arn = given ?? `acs:ram::${homeAccount(config)}:role/acr-token-broker`;
  if (/^acs:ram::\d{16}:role\/[A-Za-z0-9._-]{1,64}$/.test(arn)) return arn;
  throw new UsageError("--function-role is no role's ARN; write acs:ram::<16 digits>:role/<name>");
}

interface Answer {
  readonly file: string;
  readonly config: BrokerConfig;
  readonly needs: Needs;
  readonly documents: Documents;
}

function printed({ file, config, needs, documents }: Answer, format: Format): string {
  if (format === "terraform") return terraformOf(documents);
  if (format === "text") return documentsText(documents, file);
  const { functionRole, roles } = documents;
  const answer = {
    file,
    policy_digest: config.digest,
    function_role: {
      arn: functionRole.arn,
      file_stem: functionRole.stem,
      trust: functionRole.trust,
      policy: functionRole.policy,
    },
    roles: roles.map(({ arn, stem, needs: own, trust, policy }) => ({
      arn,
      file_stem: stem,
      grants: own?.grants.map(({ name, line }) => ({ name, line })),
      external_id: own?.externalId,
      longest_ttl: own?.longestTtlSeconds,
      max_session_duration: ROLE_SESSION_SECONDS,
      trust,
      policy,
    })),
    warnings: needs.warnings.map(({ grant, message }) => ({ grant: grant.name, line: grant.line, message })),
  };
  return `${JSON.stringify(answer, null, 2)}\n`;
}

function checked({ file, config, needs, documents }: Answer, files: readonly string[], format: Format, to: Terminal) {
  const given = givenBy(files, documents);
  const findings = compare(given, needs);
  const unseen = given.flatMap(notGiven);
  const matches = findings.every(({ kind }) => kind === "note");
  if (format === "json") {
    const { arn } = documents.functionRole;
    const answer = { file, policy_digest: config.digest, function_role: arn, matches, findings, not_given: unseen };
    to.out(`${JSON.stringify(answer)}\n`);
  } else {
    to.out(findings.map((finding) => findingText(finding, file, to)).join(""));
    to.out(unseen.map(({ role, what }) => `${role}: its ${what} is in no file, and was not looked at\n`).join(""));
    to.out(summary(findings, file));
  }
  return matches ? EXIT.ok : EXIT.no;
}

function notGiven({
  role,
  trust,
  permissions,
}: Given): { role: string; what: "trust policy" | "permissions policy" }[] {
  return [
    ...(trust === undefined ? [{ role: role.arn, what: "trust policy" as const }] : []),
    ...(permissions === undefined ? [{ role: role.arn, what: "permissions policy" as const }] : []),
  ];
}

const WORDS = { too_wide: "too wide", missing: "missing", mistake: "mistake", note: "note" } as const;

function findingText(finding: RoleFinding, file: string, { colour }: Terminal): string {
  const { bold, red, yellow, dim } = colours(colour.out);
  const paint = { too_wide: red, missing: yellow, mistake: red, note: dim }[finding.kind];
  const { grants = [], statement, role } = finding;
  const by = grants.map(({ name, line }) => `${name} (${file}:${line})`).join(", ");
  const place = finding.file ?? `${file}:${grants[0]?.line ?? 1}`;
  const where = statement === undefined ? place : `${place}: statement ${statement}`;
  const message = by === "" ? finding.message : `${role} lacks ${finding.message}; for ${by}`;
  return `${bold(`${where}:`)} ${paint(`${WORDS[finding.kind]}:`)} ${message}\n`;
}

function summary(findings: readonly RoleFinding[], file: string): string {
  if (findings.every(({ kind }) => kind === "note")) return `the files give what ${file} needs, and no more\n`;
  const count = (kind: RoleFinding["kind"]) => findings.filter((one) => one.kind === kind).length;
  return `the files against ${file}: ${count("too_wide")} too wide, ${count("missing")} missing, ${plural(count("mistake"), "mistake")}\n`;
}
