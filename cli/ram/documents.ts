/** The policies that say exactly what is needed, as RAM takes them: canonical, so that equal needs give equal text. */

import type { Needs, Right, RoleNeeds } from "./needs.ts";

export const ASSUME = "sts:AssumeRole";
export const EXTERNAL_ID = "sts:ExternalId";
/** Function Compute, as a trust policy names it. */
export const FUNCTION_COMPUTE = "fc.aliyuncs.com";

/** RAM CreateRole, MaxSessionDuration: the least, and as long as the broker ever asks for. */
export const ROLE_SESSION_SECONDS = 3600;

export interface Document {
  readonly Version: "1";
  readonly Statement: readonly object[];
}

export interface RoleDocuments {
  /** Lower case, as RAM keeps it. */
  readonly arn: string;
  readonly account: string;
  readonly name: string;
  /** What its files are called: `acr-web` of `acr-web-trust.json`. */
  readonly stem: string;
  readonly trust: Document;
  readonly policy: Document;
  /** Absent of the function's own role. */
  readonly needs?: RoleNeeds;
}

export interface Documents {
  readonly functionRole: RoleDocuments;
  readonly roles: readonly RoleDocuments[];
}

export function documentsOf({ roles }: Needs, functionRole: string): Documents {
  const arn = functionRole.toLowerCase();
  const [account = "", name = ""] = arn.replace("acs:ram::", "").split(":role/");
  const isTaken = (stem: string) => stem === "function" || roles.filter((role) => role.name === stem).length > 1;
  return {
    functionRole: {
      arn,
      account,
      name,
      stem: "function",
      trust: document([{ Effect: "Allow", Action: ASSUME, Principal: { Service: [FUNCTION_COMPUTE] } }]),
      policy: document([
        statement(
          [ASSUME],
          roles.map((role) => role.arn),
        ),
      ]),
    },
    roles: roles.map((needs) => ({
      arn: needs.arn,
      account: needs.account,
      name: needs.name,
      stem: isTaken(needs.name) ? `${needs.account}-${needs.name}` : needs.name,
      trust: trustOf(arn, needs.externalId),
      policy: document(statementsOf(needs.rights)),
      needs,
    })),
  };
}

function trustOf(functionRole: string, externalId: string | undefined): Document {
  const condition = externalId === undefined ? {} : { Condition: { StringEquals: { [EXTERNAL_ID]: externalId } } };
  return document([{ Effect: "Allow", Action: ASSUME, Principal: { RAM: [functionRole] }, ...condition }]);
}

/** One statement for actions on the same resources. */
function statementsOf(rights: readonly Right[]): object[] {
  const resources = groupedBy(rights, ({ action }) => action);
  const actions = groupedBy([...resources], ([, own]) => own.map(({ resource }) => resource).join(" "));
  return [...actions].map(([all, same]) =>
    statement(
      same.map(([action]) => action),
      all.split(" "),
    ),
  );
}

function groupedBy<T>(items: readonly T[], key: (item: T) => string): Map<string, T[]> {
  const groups = new Map<string, T[]>();
  for (const item of items) groups.set(key(item), [...(groups.get(key(item)) ?? []), item]);
  return groups;
}

function statement(actions: readonly string[], resources: readonly string[]) {
  const [only] = resources;
  return {
    Effect: "Allow",
    Action: actions.length === 1 ? actions[0] : actions,
    Resource: only === "*" ? only : resources,
  };
}

function document(statements: readonly object[]): Document {
  return { Version: "1", Statement: statements };
}
