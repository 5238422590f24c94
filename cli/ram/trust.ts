/** Who may take a role, beside whom it is for, and whether that one may. */

import { ASSUME, EXTERNAL_ID, FUNCTION_COMPUTE, type RoleDocuments } from "./documents.ts";
import { concerns, type Finding, inStatement, isConditional, lacking, same } from "./finding.ts";
import type { Principal, Statement } from "./given.ts";
import type { Needs } from "./needs.ts";
import { takesIn } from "./wildcard.ts";

export function trustFindings(
  { name, needs }: RoleDocuments,
  statements: readonly Statement[],
  functionRole: RoleDocuments,
  { roles }: Needs,
): Finding[] {
  const taker: Principal =
    needs === undefined ? { kind: "Service", name: FUNCTION_COMPUTE } : { kind: "RAM", name: functionRole.arn };
  const grants = needs?.grants ?? roles.flatMap((role) => role.grants);
  const externalId = needs?.externalId;
  const relevant = statements.filter(
    (one) => concerns(one, ASSUME) && one.principals.some((principal) => isOrHolds(principal, taker, functionRole)),
  );
  const letting = relevant.filter((one) => one.effect === "Allow" && admits(one, externalId));
  const denials = relevant
    .filter(({ effect }) => effect === "Deny")
    .map((one) =>
      isConditional(one)
        ? inStatement("note", one, `denies ${taker.name} under a Condition, which is not judged`)
        : lacking(grants, `that ${taker.name} may take it, which ${one.file}, statement ${one.number}, denies`),
    );
  const refusing = relevant.filter((one) => one.effect === "Allow" && !letting.includes(one));
  const why = refusing.map(
    ({ file, number }) =>
      `; ${file}, statement ${number}, demands ${externalId === undefined ? "an external id and the grants have none: write external_id" : "another external id than the grants have"}`,
  );
  return [
    ...statements.filter(({ effect }) => effect === "Allow").flatMap((one) => widthFindings(one, taker)),
    ...letting.flatMap((one) => conditionFindings(one, externalId)),
    // Where nothing lets it in they are why, below; where something does, they let it in once more.
    ...(letting.length > 0 ? refusing : []).map((one) => inStatement("too_wide", one, otherId(one))),
    ...denials,
    ...(letting.length > 0 ? [] : [lacking(grants, `that ${taker.name} may take ${name}${why.join("")}`)]),
  ];
}

function widthFindings(statement: Statement, taker: Principal): Finding[] {
  const actions = statement.except ? ["NotAction"] : statement.actions.filter((action) => !same(action, ASSUME));
  const others = statement.principals.filter((one) => !isSame(one, taker));
  return [
    ...actions.map((action) => inStatement("too_wide", statement, `${action} is more than is needed; write ${ASSUME}`)),
    ...others.map((one) => inStatement("too_wide", statement, tooMany(one, taker))),
  ];
}

function conditionFindings(statement: Statement, externalId: string | undefined): Finding[] {
  const ids = demandedIds(statement);
  const others = (ids ?? []).filter((id) => id !== externalId);
  const findings: Finding[] = [];
  if (externalId !== undefined && ids === undefined) {
    const condition = JSON.stringify({ StringEquals: { [EXTERNAL_ID]: externalId } });
    findings.push(inStatement("too_wide", statement, `demands no external id; add "Condition": ${condition}`));
  } else if (others.length > 0) {
    const message = `also takes the external id ${others.join(", ")}; write ${externalId} alone`;
    findings.push(inStatement("too_wide", statement, message));
  }
  if (hasOtherConditions(statement)) {
    findings.push(inStatement("note", statement, "lets in only under a Condition, which is not judged"));
  }
  return findings;
}

function isSame(a: Principal, b: Principal): boolean {
  return a.kind === b.kind && same(a.name, b.name);
}

/** RAM looks for the caller, then for the account that it is of. */
function isOrHolds(one: Principal, taker: Principal, { account }: RoleDocuments): boolean {
  return (
    isSame(one, taker) ||
    (taker.kind === "RAM" && one.kind === "RAM" && ["*", account, `acs:ram::${account}:root`].includes(one.name))
  );
}

/** Whether one who sends this external id, or none, is let in, other conditions apart. */
function admits(statement: Statement, externalId: string | undefined): boolean {
  const ids = demandedIds(statement);
  return ids === undefined || (externalId !== undefined && ids.some((id) => takesIn(id, externalId)));
}

function otherId(statement: Statement): string {
  return `lets it in with the external id ${demandedIds(statement)?.join(", ")}, which no grant has; take the statement out`;
}

/** Of which one must be sent; undefined where none is demanded. */
function demandedIds({ condition }: Statement): readonly string[] | undefined {
  const ids = OF_IDS.flatMap((operator) => condition[operator]?.[EXTERNAL_ID] ?? []);
  return ids.length === 0 ? undefined : ids;
}

const OF_IDS: readonly string[] = ["StringEquals", "StringLike"];

function hasOtherConditions({ condition }: Statement): boolean {
  return Object.entries(condition).some(
    ([operator, keys]) => !OF_IDS.includes(operator) || Object.keys(keys).some((key) => key !== EXTERNAL_ID),
  );
}

function tooMany({ kind, name }: Principal, taker: Principal): string {
  const write = `write { "${taker.kind}": ["${taker.name}"] }`;
  const account = /^(?:acs:ram::)?(\d+)(?::root)?$/.exec(name)?.[1];
  return account === undefined
    ? `${kind} ${name} may take the role too; ${write}`
    : `${name} is every user and role of account ${account} that has ${ASSUME}, and they get the whole role, without a session policy; ${write}`;
}
