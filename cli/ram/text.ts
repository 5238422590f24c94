/** The policies for a person: each document under the name of its file, with what it is for. */

import { type Documents, ROLE_SESSION_SECONDS, type RoleDocuments } from "./documents.ts";

export function documentsText({ functionRole, roles }: Documents, file: string): string {
  return [functionRole, ...roles].flatMap((role) => roleText(role, file)).join("\n");
}

function roleText({ arn, stem, needs, trust, policy }: RoleDocuments, file: string): string[] {
  if (needs === undefined) {
    return [
      block(`${stem}-trust.json`, `${arn}: only Function Compute takes it`, trust),
      block(`${stem}-policy.json`, `${arn}: it takes the roles of the grants, and no other`, policy),
    ];
  }
  const id = needs.externalId === undefined ? "" : `, with the external id ${needs.externalId}`;
  const grants = needs.grants.map(({ name, line }) => `${name} (${file}:${line})`).join(", ");
  const session = `a MaxSessionDuration of ${ROLE_SESSION_SECONDS} is enough for ${needs.longestTtlSeconds} s`;
  return [
    block(`${stem}-trust.json`, `${arn}: only the function's role takes it${id}; ${session}`, trust),
    block(`${stem}-policy.json`, `${arn}: what ${grants} give${needs.grants.length === 1 ? "s" : ""}`, policy),
  ];
}

function block(name: string, comment: string, document: object): string {
  return `# ${name}\n# ${comment}\n${JSON.stringify(document, null, 2)}\n`;
}
