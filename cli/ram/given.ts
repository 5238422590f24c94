/**
 * Policies as somebody has them in files: plain documents, or what `aliyun ram GetRole`, `GetPolicy` and `GetPolicyVersion`
 * print. Which role a file is about stands in it (GetRole), else in its name: `acr-web-policy.json`.
 */

import { readFileSync } from "node:fs";
import { basename } from "node:path";
import { parseStrictJson } from "../../shared/json.ts";
import { UsageError } from "../command.ts";
import type { Documents, RoleDocuments } from "./documents.ts";

export interface Statement {
  readonly file: string;
  /** Counted from 1. */
  readonly number: number;
  readonly effect: string;
  readonly actions: readonly string[];
  /** NotAction: every action but these. */
  readonly except: boolean;
  readonly resources: readonly string[];
  /** By operator, then by key. */
  readonly condition: Readonly<Record<string, Readonly<Record<string, readonly string[]>>>>;
  readonly principals: readonly Principal[];
}

export interface Principal {
  /** `RAM`, `Service` or `Federated`. */
  readonly kind: string;
  readonly name: string;
}

/** Of one role, from all files that are about it. */
export interface Given {
  readonly role: RoleDocuments;
  /** Absent where no file says it. */
  readonly trust?: readonly Statement[];
  readonly permissions?: readonly Statement[];
  readonly session?: { readonly file: string; readonly seconds: number };
  /** Files with a version of a policy that is not the one in force. */
  readonly unused: readonly string[];
}

const FORM = "write a policy document, or what aliyun ram GetRole or GetPolicy prints";

/** For each role what the files say of it, the function's first. @throws UsageError where a file cannot be used */
export function givenBy(files: readonly string[], { functionRole, roles }: Documents): Given[] {
  const all = [functionRole, ...roles];
  const read = files.map((file) => readOne(file, all));
  return all.map((role): Given => {
    const own = read.filter((one) => one.role === role);
    const statements = (isTrust: boolean) => {
      const some = own.filter((one) => one.isTrust === isTrust);
      return some.length === 0 ? undefined : some.flatMap((one) => one.statements);
    };
    const [trust, permissions] = [statements(true), statements(false)];
    const session = own.find(({ seconds }) => seconds !== undefined);
    return {
      role,
      unused: own.filter(({ isInForce }) => !isInForce).map(({ file }) => file),
      ...(trust === undefined ? {} : { trust }),
      ...(permissions === undefined ? {} : { permissions }),
      ...(session?.seconds === undefined ? {} : { session: { file: session.file, seconds: session.seconds } }),
    };
  });
}

interface Read {
  readonly file: string;
  readonly role: RoleDocuments;
  readonly isTrust: boolean;
  readonly statements: readonly Statement[];
  readonly seconds?: number;
  readonly isInForce: boolean;
}

type Json = Readonly<Record<string, unknown>>;

function readOne(file: string, roles: readonly RoleDocuments[]): Read {
  const content = parsed(textOf(file), file);
  const role = record(content["Role"]);
  const version = record(content["DefaultPolicyVersion"]) ?? record(content["PolicyVersion"]);
  const inner = role?.["AssumeRolePolicyDocument"] ?? version?.["PolicyDocument"];
  const document = typeof inner === "string" ? parsed(inner, file) : (record(inner) ?? content);
  const written = document["Statement"];
  const list: readonly unknown[] = Array.isArray(written) ? written : [written];
  const statements = list.map((one, index) => {
    const statement = record(one);
    if (statement === undefined) throw new UsageError(`${file}: has no list of statements; ${FORM}`);
    const wrong = wrongIn(statement);
    if (wrong !== undefined) throw new UsageError(`${file}: statement ${index + 1}: ${wrong}; RAM would not take it`);
    return statementOf(statement, file, index + 1);
  });
  const [one, ...others] = new Set(statements.map(({ principals }) => principals.length > 0));
  if (others.length > 0)
    throw new UsageError(
      `${file}: some of its statements have a Principal, as trust policies have, and some have none`,
    );
  const isTrust = role !== undefined || one === true;
  const seconds = role?.["MaxSessionDuration"];
  if (seconds !== undefined && typeof seconds !== "number") {
    throw new UsageError(`${file}: its MaxSessionDuration is no number; ${FORM}`);
  }
  const policyName = record(content["Policy"])?.["PolicyName"];
  return {
    file,
    role:
      role === undefined
        ? byName(file, typeof policyName === "string" ? policyName : "", roles)
        : byArn(file, String(role["Arn"]), roles),
    isTrust,
    statements,
    isInForce: version?.["IsDefaultVersion"] !== false,
    ...(seconds === undefined ? {} : { seconds }),
  };
}

function textOf(file: string): string {
  try {
    return readFileSync(file, "utf8");
  } catch (error) {
    throw new UsageError(`${file}: cannot be read (${(error as NodeJS.ErrnoException).code ?? "not readable"})`);
  }
}

function parsed(text: string, file: string): Json {
  let content: unknown;
  try {
    // A key that stands twice RAM might read the other way.
    content = parseStrictJson(text);
  } catch (error) {
    throw new UsageError(`${file}: ${(error as SyntaxError).message}; ${FORM}`);
  }
  const object = record(content);
  if (object === undefined) throw new UsageError(`${file}: is no JSON object; ${FORM}`);
  return object;
}

const ELEMENTS = ["Effect", "Action", "NotAction", "Resource", "NotResource", "Principal", "Condition"];

const KINDS = ["RAM", "Service", "Federated"];

/** What is not as RAM has it is not judged: passed over, it would count as nothing, and RAM might see more in it. */
function wrongIn(statement: Json): string | undefined {
  const strange = Object.keys(statement).find((key) => !ELEMENTS.includes(key));
  if (strange !== undefined) return `${JSON.stringify(strange)} is no element; there is ${ELEMENTS.join(", ")}`;
  const { Effect, Condition = {}, Principal } = statement;
  if (Effect !== "Allow" && Effect !== "Deny") return "Effect is neither Allow nor Deny";
  if ("Action" in statement === "NotAction" in statement) return "it has Action or NotAction, one of them";
  if ("Resource" in statement && "NotResource" in statement) return "it has Resource or NotResource, one of them";
  for (const element of ["Action", "NotAction", "Resource", "NotResource"]) {
    if (element in statement && !areTexts(statement[element])) return `${element} is no text and no list of texts`;
  }
  const named =
    "Principal" in statement ? Object.entries(record(Principal) ?? { RAM: Principal }) : [["RAM", "nobody"]];
  if (named.length === 0 || !named.every(([kind, names]) => KINDS.includes(kind as string) && areTexts(names)))
    return `Principal is no object of texts or lists of texts, by ${KINDS.join(", ")}`;
  const keys = Object.values(record(Condition) ?? { Condition }).map(record);
  return keys.every((one) => one !== undefined && Object.keys(one).length > 0 && Object.values(one).every(areValues))
    ? undefined
    : "Condition is no object of objects of texts";
}

/** None of them with what moves a terminal's cursor or reverses its text: what is found is quoted. */
function areTexts(value: unknown): boolean {
  const all: readonly unknown[] = Array.isArray(value) ? value : [value];
  const isText = (one: unknown) => typeof one === "string" && /^[^\p{Cc}\p{Cf}\p{Zl}\p{Zp}]+$/u.test(one);
  return all.length > 0 && all.every(isText);
}

/** Of a Condition also `true` and numbers. */
function areValues(value: unknown): boolean {
  const all: readonly unknown[] = Array.isArray(value) ? value : [value];
  return areTexts(all.map((one) => (typeof one === "boolean" || typeof one === "number" ? String(one) : one)));
}

function statementOf(statement: Json, file: string, number: number): Statement {
  const condition = Object.entries(record(statement["Condition"]) ?? {}).map(([operator, keys]) => [
    operator,
    Object.fromEntries(Object.entries(record(keys) ?? {}).map(([key, value]) => [key, texts(value)])),
  ]);
  const principal = statement["Principal"];
  return {
    file,
    number,
    effect: String(statement["Effect"]),
    actions: texts(statement["Action"] ?? statement["NotAction"]),
    except: !("Action" in statement) && "NotAction" in statement,
    // NotResource leaves open what there is beside.
    resources: "Resource" in statement ? texts(statement["Resource"]) : ["*"],
    condition: Object.fromEntries(condition),
    principals: Object.entries(record(principal) ?? { RAM: principal }).flatMap(([kind, names]) =>
      texts(names).map((name) => ({ kind, name })),
    ),
  };
}

function byArn(file: string, arn: string, roles: readonly RoleDocuments[]): RoleDocuments {
  const found = roles.find((role) => role.arn === arn.toLowerCase());
  if (found !== undefined) return found;
  const known = roles.map((role) => role.arn).join(", ");
  throw new UsageError(
    `${file}: is about ${JSON.stringify(arn)}, which no grant names and which is not the function's; known are ${known}`,
  );
}

/** By the longest stem that the file's name begins with, else the policy's. */
function byName(file: string, policyName: string, roles: readonly RoleDocuments[]): RoleDocuments {
  const stems = roles.flatMap((role) => [
    { role, stem: role.stem },
    // Its files may have its own name as well.
    ...(role.needs === undefined ? [{ role, stem: role.name }] : []),
  ]);
  for (const name of [basename(file), policyName].map((text) => text.toLowerCase())) {
    const [longest] = stems
      .filter(({ stem }) => name.startsWith(stem) && !/^[a-z0-9]/.test(name.slice(stem.length)))
      .sort((a, b) => b.stem.length - a.stem.length);
    if (longest !== undefined) return longest.role;
  }
  const names = roles.map(({ stem }) => `${stem}-policy.json`).join(", ");
  throw new UsageError(`${file}: which role is it about? begin its name with the role's: ${names}`);
}

function record(value: unknown): Json | undefined {
  return typeof value === "object" && value !== null && !Array.isArray(value) ? (value as Json) : undefined;
}

function texts(value: unknown): string[] {
  return (Array.isArray(value) ? value : [value]).filter((one) => one !== undefined).map(String);
}
