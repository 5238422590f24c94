/**
 * What policies give beyond what is needed, and what they lack of it, statement by statement. What cannot be judged without a
 * request at hand (a Condition) is said as a note, and counts as neither.
 */

import { ASSUME, ROLE_SESSION_SECONDS, type RoleDocuments } from "./documents.ts";
import { concerns, type Finding, inStatement, isConditional, lacking, same } from "./finding.ts";
import type { Given, Statement } from "./given.ts";
import type { Needs, Right } from "./needs.ts";
import { trustFindings } from "./trust.ts";
import { canMeet, takesIn } from "./wildcard.ts";

export interface RoleFinding extends Finding {
  readonly role: string;
}

export function compare(given: readonly Given[], needs: Needs): RoleFinding[] {
  const functionRole = (given[0] as Given).role;
  return given.flatMap(({ role, trust, permissions, session, unused }) =>
    [
      ...unused.map((file): Finding => ({ kind: "note", file, message: UNUSED })),
      ...(trust === undefined ? [] : trustFindings(role, trust, functionRole, needs)),
      ...(permissions === undefined ? [] : permissionFindings(role, permissions, needs)),
      ...(session === undefined ? [] : sessionFindings(role, session)),
    ].map((finding) => ({ role: role.arn, ...finding })),
  );
}

const UNUSED = "is a version of its policy that is not in force (IsDefaultVersion is false); RAM goes by another";

/** As long as is needed may a stolen key of the function be used for a session, and no longer. */
function sessionFindings({ needs }: RoleDocuments, { file, seconds }: NonNullable<Given["session"]>): Finding[] {
  if (needs === undefined || seconds <= ROLE_SESSION_SECONDS) return [];
  const message = `MaxSessionDuration is ${seconds}, and the broker asks for ${needs.longestTtlSeconds} s at most; set ${ROLE_SESSION_SECONDS}, RAM's least`;
  return [{ kind: "too_wide", file, message }];
}

function permissionFindings(role: RoleDocuments, statements: readonly Statement[], needs: Needs): Finding[] {
  const rights =
    role.needs?.rights ?? needs.roles.map(({ arn, grants }) => ({ action: ASSUME, resource: arn, grants }));
  return [
    ...statements
      .filter(({ effect }) => effect === "Allow")
      .flatMap((statement) =>
        statement.except
          ? [exception(statement, rights)]
          : [...actionFindings(role, statement, rights), ...resourceFindings(statement, rights)],
      ),
    ...rights.flatMap((right) => rightFindings(statements, right)),
  ];
}

function exception(statement: Statement, rights: readonly Right[]): Finding {
  const message = `NotAction gives every action but ${statement.actions.join(", ")}; write Action, with ${actionsOf(rights)}`;
  return inStatement("too_wide", statement, message);
}

function actionFindings(role: RoleDocuments, statement: Statement, rights: readonly Right[]): Finding[] {
  return statement.actions.flatMap((action) => {
    if (isPattern(action)) {
      return [
        inStatement("too_wide", statement, `${action} is more than is needed; write out what is: ${actionsOf(rights)}`),
      ];
    }
    if (rights.some((right) => same(right.action, action))) return [];
    return role.needs === undefined && isLogging(action, statement)
      ? [inStatement("note", statement, `${action} is for the function's log, and of no grant`)]
      : [inStatement("too_wide", statement, `${action} is needed by no grant; take it out`)];
  });
}

function resourceFindings(statement: Statement, rights: readonly Right[]): Finding[] {
  return statement.resources.flatMap((resource): Finding[] => {
    const beyond = statement.actions.filter((action) => {
      const meant = meantBy(action, rights);
      return meant.length > 0 && !meant.some((right) => covers(right.resource, resource));
    });
    if (beyond.length === 0) return [];
    const corrected = withInstance(resource, rights);
    if (corrected !== undefined) {
      const message = `${resource} has a namespace where the instance id belongs: RAM takes it, and it matches nothing; write ${corrected}`;
      return [inStatement("mistake", statement, message)];
    }
    const needed = [...new Set(beyond.flatMap((action) => meantBy(action, rights)).map((right) => right.resource))];
    const what = `${beyond.join(", ")} on ${resource}`;
    const message = needed.some((one) => meets(one, resource))
      ? `${what} is more than is needed; write ${needed.join(", ")}`
      : `${what} is needed by no grant; take it out`;
    return [inStatement("too_wide", statement, message)];
  });
}

/** The rights that an action is there for. Of a pattern of actions not those on `*`: no reason to give the others there. */
function meantBy(action: string, rights: readonly Right[]): readonly Right[] {
  return rights.filter(
    (right) =>
      same(right.action, action) ||
      (right.resource !== "*" && isPattern(action) && takesIn(action.toLowerCase(), right.action.toLowerCase())),
  );
}

/** `repository/web/*`, with the instance that was left out. */
function withInstance(resource: string, rights: readonly Right[]): string | undefined {
  const [, before, rest] = /^(acs:cr:[^:]*:[^:]*:repository)\/(?!cri-|\*)(.+)$/.exec(resource) ?? [];
  const instances = rights.flatMap((right) => /repository\/(cri-[a-z0-9]+)\//.exec(right.resource)?.[1] ?? []);
  return before === undefined ? undefined : `${before}/${instances[0] ?? "cri-…"}/${rest}`;
}

/** What docs/deploy.md gives the function where its log stays empty. */
function isLogging(action: string, { resources }: Statement): boolean {
  const isStore = (one: string) => /^acs:log:[^*?:]+:\d+:project\/[^*?/]+\/logstore\/[^*?/]+$/.test(one);
  return same(action, "log:PostLogStoreLogs") && resources.every(isStore);
}

function rightFindings(statements: readonly Statement[], { action, resource, grants }: Right): Finding[] {
  const what = `${action} on ${resource}`;
  const concerned = statements.filter((one) => concerns(one, action));
  const giving = concerned.filter(
    (one) => one.effect === "Allow" && one.resources.some((wide) => covers(wide, resource)),
  );
  const denials = concerned
    .filter((one) => one.effect === "Deny" && one.resources.some((denied) => meets(denied, resource)))
    .map((one) =>
      isConditional(one)
        ? inStatement("note", one, `denies ${what} under a Condition, which is not judged`)
        : lacking(grants, `${what}, which ${one.file}, statement ${one.number}, denies`),
    );
  if (giving.length === 0) {
    const parts = concerned
      .filter((one) => one.effect === "Allow")
      .flatMap((one) => one.resources.filter((part) => meets(part, resource)));
    const partly = parts.length === 0 ? "" : `, of which there is only ${parts.join(", ")}`;
    return [...denials, lacking(grants, what + partly)];
  }
  const doubtful = giving.every(isConditional) ? giving : [];
  return [
    ...denials,
    ...doubtful.map((one) => inStatement("note", one, `gives ${what} only under a Condition, which is not judged`)),
  ];
}

function actionsOf(rights: readonly Right[]): string {
  return [...new Set(rights.map(({ action }) => action))].join(", ");
}

function isPattern(action: string): boolean {
  return /[*?]/.test(action);
}

function covers(wide: string, narrow: string): boolean {
  return takesIn(cased(wide), cased(narrow));
}

function meets(a: string, b: string): boolean {
  return canMeet(cased(a), cased(b));
}

/** Roles' and users' names are kept in lower case. */
function cased(resource: string): string {
  return resource.startsWith("acs:ram:") ? resource.toLowerCase() : resource;
}
