/**
 * Policies as somebody has them in files: plain documents, or what `aliyun ram GetRole`, `GetPolicy` and `GetPolicyVersion`
 * print. Which role a file is about stands in it (GetRole), else in its name: `acr-web-policy.json`.
 */

import { readFileSync } from "node:fs";
import { basename } from "node:path";
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
    return statementOf(statement, file, index + 1);
  });
  const seconds = role?.["MaxSessionDuration"];
  const policyName = record(content["Policy"])?.["PolicyName"];
  return {
    file,
    role:
      role === undefined
        ? byName(file, typeof policyName === "string" ? policyName : "", roles)
        : byArn(file, String(role["Arn"]), roles),
    isTrust: role !== undefined || statements.some(({ principals }) => principals.length > 0),
    statements,
    ...(typeof seconds === "number" ? { seconds } : {}),
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
    content = JSON.parse(text);
  } catch {
    // Below: what it says repeats the text.
  }
  const object = record(content);
  if (object === undefined) throw new UsageError(`${file}: is no JSON object; ${FORM}`);
  return object;
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
    `${file}: is about ${arn}, which no grant names and which is not the function's; known are ${known}`,
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
