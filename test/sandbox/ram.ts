/**
 * RAM policies: their grammar, and whether they allow a request. Knows nothing of who calls or of HTTP.
 * Vendor documents: "Policy structure and syntax", "Policy elements", "Policy evaluation process" (RAM user guide).
 */

export type Effect = "Allow" | "Deny";
/** The right asked for: an action on one resource, with the values of the condition keys that are known. */
export interface Request {
  readonly action: string;
  readonly resource: string;
  readonly context?: Readonly<Record<string, string>>;
}
export interface Statement {
  readonly effect: Effect;
  readonly actions: readonly string[];
  /** NotAction: the statement is about every action but these. */
  readonly except: boolean;
  readonly resources: readonly string[];
  readonly conditions: readonly Condition[];
}
export interface Policy {
  readonly statements: readonly Statement[];
}
/** Who may assume a role: an AssumeRolePolicyDocument. */
export interface TrustPolicy {
  readonly statements: readonly {
    readonly effect: Effect;
    readonly ram: readonly string[];
    readonly services: readonly string[];
    readonly conditions: readonly Condition[];
  }[];
}
export interface Condition {
  readonly operator: Operator;
  readonly key: string;
  readonly values: readonly string[];
}
export type Outcome = "allow" | "deny" | "none";

/** The document breaks the grammar; STS answers `InvalidParameter.PolicyGrammar`. The text is for people who write tests. */
export class PolicyGrammarError extends Error {}

const OPERATORS = ["StringEquals", "StringNotEquals", "StringLike"] as const;
type Operator = (typeof OPERATORS)[number];

// `*`, `service:*`, `service:Action*`: the service is never a wildcard of its own.
const ACTION = /^(\*|[a-z0-9-]+:[A-Za-z0-9*?]+)$/;
// acs:service:region:account:relative-id, each part possibly a wildcard or empty.
const RESOURCE = /^(\*|acs:[^:]*:[^:]*:[^:]*:.+)$/s;

/** Parses a permission or session policy. Throws PolicyGrammarError. */
export function parsePolicy(text: string): Policy {
  return {
    statements: documentStatements(text).map((statement) => {
      onlyKeys(statement, ["Effect", "Action", "NotAction", "Resource", "Condition"]);
      if ("Action" in statement === "NotAction" in statement) fail("exactly one of Action and NotAction");
      const except = "NotAction" in statement;
      return {
        effect: effectOf(statement),
        actions: strings(statement, except ? "NotAction" : "Action", ACTION),
        except,
        resources: strings(statement, "Resource", RESOURCE),
        conditions: conditionsOf(statement),
      };
    }),
  };
}

/** Parses an AssumeRolePolicyDocument. Throws PolicyGrammarError. */
export function parseTrustPolicy(text: string): TrustPolicy {
  return {
    statements: documentStatements(text).map((statement) => {
      onlyKeys(statement, ["Effect", "Action", "Principal", "Condition"]);
      strings(statement, "Action", /^sts:AssumeRole$/);
      const principal = record(statement["Principal"], "Principal");
      onlyKeys(principal, ["RAM", "Service"]);
      if (Object.keys(principal).length === 0) fail("Principal names nobody");
      return {
        effect: effectOf(statement),
        ram: "RAM" in principal ? strings(principal, "RAM", /^acs:ram::\d+:(root|(user|role)\/.+)$/) : [],
        services: "Service" in principal ? strings(principal, "Service", /^[a-z0-9.-]+\.aliyuncs\.com$/) : [],
        conditions: conditionsOf(statement),
      };
    }),
  };
}

/** What policies attached to one identity say together: an explicit deny beats any allow; silence is "none". */
export function evaluate(policies: readonly Policy[], request: Request): Outcome {
  let outcome: Outcome = "none";
  for (const statement of policies.flatMap((policy) => policy.statements)) {
    if (!covers(statement, request)) continue;
    if (statement.effect === "Deny") return "deny";
    outcome = "allow";
  }
  return outcome;
}

/**
 * Rights of a role session: the role's policies intersected with the session policy, if there is one.
 * AssumeRole reference, parameter `Policy`: without it the session has all the rights of the role.
 */
export function sessionAllows(rolePolicies: readonly Policy[], session: Policy | undefined, request: Request): boolean {
  if (evaluate(rolePolicies, request) !== "allow") return false;
  return session === undefined || evaluate([session], request) === "allow";
}

/** Whether the trust policy lets this caller in: principals are tried as given, then the account's root. */
export function trusts(
  trust: TrustPolicy,
  caller: { readonly principalArn?: string; readonly accountId?: string; readonly service?: string },
  context: Readonly<Record<string, string>>,
): boolean {
  const arns = [caller.principalArn, caller.accountId && `acs:ram::${caller.accountId}:root`].map(lower);
  const named = trust.statements.filter(
    (statement) =>
      (statement.ram.some((principal) => arns.includes(lower(principal))) ||
        (caller.service !== undefined && statement.services.includes(caller.service))) &&
      statement.conditions.every((condition) => holds(condition, context)),
  );
  return named.length > 0 && named.every((statement) => statement.effect === "Allow");
}

/**
 * RAM's wildcards: `*` is any run of characters, `/` and `:` included; `?` is exactly one.
 * Walks both texts and returns to the last `*` on a mismatch, so that a pattern full of stars costs no more than n*m.
 */
export function wildcardMatches(pattern: string, value: string): boolean {
  let p = 0;
  let v = 0;
  let star = -1;
  let taken = 0; // how far into the value the last star has eaten
  while (v < value.length) {
    if (pattern[p] === "*") {
      star = p++;
      taken = v;
    } else if (pattern[p] === "?" || pattern[p] === value[v]) {
      p++;
      v++;
    } else if (star >= 0) {
      p = star + 1;
      v = ++taken;
    } else return false;
  }
  while (pattern[p] === "*") p++;
  return p === pattern.length;
}

function covers(statement: Statement, request: Request): boolean {
  const named = statement.actions.some((pattern) => wildcardMatches(pattern, request.action));
  return (
    named !== statement.except &&
    statement.resources.some((pattern) => resourceMatches(pattern, request.resource)) &&
    statement.conditions.every((condition) => holds(condition, request.context ?? {}))
  );
}

function resourceMatches(pattern: string, resource: string): boolean {
  // Role and user ARNs compare without regard to case: RAM lower-cases them.
  return resource.startsWith("acs:ram:")
    ? wildcardMatches(pattern.toLowerCase(), resource.toLowerCase())
    : wildcardMatches(pattern, resource);
}

function holds(condition: Condition, context: Readonly<Record<string, string>>): boolean {
  const actual = Object.hasOwn(context, condition.key) ? context[condition.key] : undefined;
  if (actual === undefined) return condition.operator === "StringNotEquals";
  switch (condition.operator) {
    case "StringEquals":
      return condition.values.includes(actual);
    case "StringNotEquals":
      return !condition.values.includes(actual);
    case "StringLike":
      return condition.values.some((pattern) => wildcardMatches(pattern, actual));
  }
}

type Json = Readonly<Record<string, unknown>>;

function documentStatements(text: string): readonly Json[] {
  const document = record(parseJson(text), "the policy");
  onlyKeys(document, ["Version", "Statement"]);
  if (document["Version"] !== "1") fail('Version must be "1"');
  const statements = document["Statement"];
  if (!Array.isArray(statements) || statements.length === 0) fail("Statement must be a list with something in it");
  return (statements as unknown[]).map((statement) => record(statement, "a statement"));
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return fail("not JSON");
  }
}

function effectOf(statement: Json): Effect {
  const effect = statement["Effect"];
  return effect === "Allow" || effect === "Deny" ? effect : fail("Effect must be Allow or Deny");
}

function conditionsOf(statement: Json): readonly Condition[] {
  if (!("Condition" in statement)) return [];
  return Object.entries(record(statement["Condition"], "Condition")).flatMap(([name, keys]) => {
    const operator = OPERATORS.find((known) => known === name) ?? fail(`unknown condition operator ${name}`);
    const entries = record(keys, name);
    return Object.keys(entries).map((key) => ({ operator, key, values: strings(entries, key, /./s) }));
  });
}

function strings(from: Json, key: string, form: RegExp): readonly string[] {
  const value = from[key];
  const list: readonly unknown[] = Array.isArray(value) ? value : [value];
  if (list.length === 0) fail(`${key} is an empty list`);
  return list.map((item) => (typeof item === "string" && form.test(item) ? item : fail(`${key} is wrongly formed`)));
}

function record(value: unknown, what: string): Json {
  const isObject = typeof value === "object" && value !== null && !Array.isArray(value);
  return isObject ? (value as Json) : fail(`${what} must be an object`);
}

function onlyKeys(object: Json, known: readonly string[]): void {
  for (const key of Object.keys(object)) if (!known.includes(key)) fail(`unknown element ${key}`);
}

function lower(text: string | undefined): string | undefined {
  return text?.toLowerCase();
}

function fail(reason: string): never {
  throw new PolicyGrammarError(reason);
}
