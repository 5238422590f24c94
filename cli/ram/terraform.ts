/**
 * The same in HCL, for the provider `alicloud`: roles, policies, and what attaches the one to the other.
 * https://registry.terraform.io/providers/aliyun/alicloud/latest/docs/resources/ram_role
 */

import { type Document, type Documents, ROLE_SESSION_SECONDS, type RoleDocuments } from "./documents.ts";

/** The first that knows `assume_role_policy_document`, which `document` became. */
const PROVIDER = ">= 1.252.0";

export function terraformOf({ functionRole, roles }: Documents): string {
  const foreign = roles.map(({ account }) => account).filter((account) => account !== functionRole.account);
  const own = policyName(functionRole.name);
  const labels = unique(
    roles.map(({ name }) => label(name)),
    "function",
  );
  const policies = unique(
    roles.map(({ name }) => policyName(name)),
    own,
  );
  return [
    head([...new Set(foreign)]),
    ...resources(functionRole, { label: "function", policy: own }),
    ...roles.flatMap((role, index) =>
      resources(role, {
        label: labels[index] as string,
        policy: policies[index] as string,
        // RAM refuses a trust policy that names a role which is not there.
        after: "alicloud_ram_role.function",
        ...(role.account === functionRole.account ? {} : { provider: provider(role.account) }),
      }),
    ),
  ].join("\n");
}

/** A role of another account is made with that account's keys: whoever uses this brings a provider for each. */
function head(foreign: readonly string[]): string {
  const facts: [string, string][] = [
    ["source", '"aliyun/alicloud"'],
    ["version", `"${PROVIDER}"`],
  ];
  if (foreign.length > 0) facts.push(["configuration_aliases", `[${foreign.map(provider).join(", ")}]`]);
  return `terraform {
  required_providers {
    alicloud = {
${assignments(facts, "      ")}    }
  }
}
`;
}

interface Place {
  readonly label: string;
  readonly policy: string;
  readonly after?: string;
  readonly provider?: string;
}

function resources({ name, trust, policy: permissions }: RoleDocuments, place: Place): string[] {
  const { label: own, policy, after } = place;
  const by = place.provider === undefined ? "" : `  provider = ${place.provider}\n\n`;
  const block = (type: string, facts: readonly [string, string][], rest = "") =>
    `resource "${type}" "${own}" {\n${by}${assignments(facts, "  ")}${rest}}\n`;
  return [
    block(
      "alicloud_ram_role",
      [
        ["role_name", `"${name}"`],
        ["max_session_duration", String(ROLE_SESSION_SECONDS)],
        ["assume_role_policy_document", heredoc(trust)],
      ],
      after === undefined ? "" : `\n  depends_on = [${after}]\n`,
    ),
    block("alicloud_ram_policy", [
      ["policy_name", `"${policy}"`],
      ["policy_document", heredoc(permissions)],
    ]),
    block("alicloud_ram_role_policy_attachment", [
      ["role_name", `alicloud_ram_role.${own}.role_name`],
      ["policy_name", `alicloud_ram_policy.${own}.policy_name`],
      ["policy_type", '"Custom"'],
    ]),
  ];
}

/** One below the other, as `terraform fmt` has them. */
function assignments(facts: readonly (readonly [string, string])[], indent: string): string {
  const width = Math.max(...facts.map(([name]) => name.length));
  return facts.map(([name, value]) => `${indent}${name.padEnd(width)} = ${value}\n`).join("");
}

/** No value has a `\${`, a `%{` or the end of a line in it: each was checked on its way in. */
function heredoc(document: Document): string {
  const lines = JSON.stringify(document, null, 2).split("\n");
  return `<<-EOT\n${lines.map((line) => `    ${line}\n`).join("")}  EOT`;
}

function provider(account: string): string {
  return `alicloud.account_${account}`;
}

/** An identifier of HCL's. */
function label(name: string): string {
  const text = name.replaceAll(/[^a-z0-9_]/g, "_");
  return /^[a-z_]/.test(text) ? text : `role_${text}`;
}

/** RAM CreatePolicy, PolicyName: letters, digits and hyphens. */
function policyName(name: string): string {
  return name.replaceAll(/[^A-Za-z0-9-]/g, "-");
}

/** A number behind a name that is taken. */
function unique(names: readonly string[], taken: string): string[] {
  const known = new Set([taken]);
  return names.map((name) => {
    let free = name;
    for (let count = 2; known.has(free); count++) free = `${name}-${count}`;
    known.add(free);
    return free;
  });
}
