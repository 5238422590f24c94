/**
 * Everything that is wrong with a configuration's data: its shape, as the schema sees it and in words that say what to write,
 * and what its parts demand of one another. Whether its grants are safe is the business of lint.ts.
 */

import * as z from "zod/mini";
import { judgementOf } from "../identity/providers.ts";
import { nearName } from "../near-name.ts";
import { covers, formatScope, parseScope, quote, type Scope } from "../policy/scope.ts";
import { isScopeTemplate, parseScopeTemplate, variablesOf } from "../policy/scope-template.ts";
import type { Path, YamlDocument } from "./document.ts";
import { ConfigFile } from "./schema.ts";

/** One thing wrong, by its place in the structure. */
export interface Problem {
  readonly path: Path;
  /** Which of the two is wrong, and is pointed at; for what is missing, the key of the map that lacks it. */
  readonly part: "key" | "value";
  readonly message: string;
}

/** The file's content, less what is missing or wrong: enough to check the rest of it in the same run. */
export type Sound<T> = T extends readonly (infer Item)[]
  ? readonly (Sound<Item> | undefined)[]
  : T extends object
    ? { readonly [Key in keyof T]?: Sound<T[Key]> | undefined }
    : T;

type Times = NonNullable<NonNullable<Sound<ConfigFile>["grants"]>[string]>["times"];

/** What the schema alone can see. */
export function shapeProblems(document: YamlDocument, schema: z.ZodMiniType = ConfigFile): Problem[] {
  const result = schema.safeParse(document.data, { error: whatTheSchemaKnows });
  return result.success ? [] : result.error.issues.flatMap((issue) => inWords(issue, [], document));
}

/** Leaves out each value that one of `problems` is about, and each issuer of no known provider: the rest of it was not looked at. */
export function soundParts(data: unknown, problems: readonly Problem[]): Sound<ConfigFile> {
  if (problems.length === 0) return data as Sound<ConfigFile>;
  const sound = structuredClone(data);
  for (const { path: wrong } of problems) {
    const path = wrong[0] === "issuers" && wrong[2] === "provider" ? wrong.slice(0, 2) : wrong;
    if (path.length === 0) return {};
    const holder = valueAt(sound, path.slice(0, -1));
    if (isHolder(holder)) holder[path.at(-1) as string] = undefined;
  }
  return sound as Sound<ConfigFile>;
}

/** What one part demands of another: references that lead somewhere, either-or, and names that select exactly one. */
export function crossProblems(config: Sound<ConfigFile>): Problem[] {
  const problems: Problem[] = [];
  const refuse = (path: Path, part: "key" | "value", message: string) => problems.push({ path, part, message });

  /** Refuses a value that stands at two places where it must select one. */
  const unique = (what: string, values: Iterable<readonly [value: string | undefined, path: Path]>, isShown = true) => {
    const first = new Map<string, Path>();
    for (const [value, path] of values) {
      if (value === undefined) continue;
      const earlier = first.get(value);
      if (earlier === undefined) first.set(value, path);
      // Twice in one list is the schema's complaint.
      else if (earlier[1] !== path[1]) {
        refuse(path, "value", `${isShown ? quote(value) : "the same"} is already ${pathText(earlier)}; ${what}`);
      }
    }
  };
  const registries = Object.entries(config.registries ?? {});
  const issuers = Object.entries(config.issuers ?? {});
  const apiKeys = Object.entries(config.api_keys ?? {});
  unique(
    "one host belongs to one registry",
    registries.flatMap(([name, registry]) =>
      (registry?.endpoints ?? []).map((host, index) => [host, ["registries", name, "endpoints", index]] as const),
    ),
  );
  unique(
    "one instance is one registry, or what is denied in one would be granted in the other; put all hosts into its endpoints",
    registries.map(([name, registry]) => [
      registry?.instance_id === undefined
        ? undefined
        : `${registry.region} ${registry.account_id} ${registry.instance_id}`,
      ["registries", name, "instance_id"],
    ]),
    false,
  );
  unique(
    "one iss must select exactly one issuer",
    issuers.map(([name, issuer]) => [
      issuer && "issuer" in issuer ? issuer.issuer : undefined,
      ["issuers", name, "issuer"],
    ]),
  );
  unique(
    "one account must select exactly one issuer",
    issuers.flatMap(([name, issuer]) =>
      (issuer && "accounts" in issuer ? (issuer.accounts ?? []) : []).map(
        (account, index) => [account, ["issuers", name, "accounts", index]] as const,
      ),
    ),
  );
  unique(
    "one key must select exactly one name, so make a key for each",
    apiKeys.map(([name, key]) => [key?.sha256, ["api_keys", name, "sha256"]]),
    false,
  );

  for (const [name, key] of apiKeys) {
    if (key?.created !== undefined && key.expires !== undefined && Date.parse(key.created) >= Date.parse(key.expires)) {
      refuse(["api_keys", name, "expires"], "value", "is not after created; make the key anew");
    }
  }

  const { redis } = config;
  if (redis?.username !== undefined && !("password_env" in redis)) {
    refuse(
      ["redis", "username"],
      "key",
      "stands without password_env; name the variable that holds the user's password",
    );
  }
  for (const [index, variable] of (redis?.credentials?.key_env ?? []).entries()) {
    if (variable === undefined || variable !== redis?.password_env) continue;
    const path = ["redis", "credentials", "key_env", index];
    refuse(path, "value", "is the password's variable, and Redis would know the key; make a key of its own");
  }
  if (redis?.tls === false && "ca_file" in redis) {
    refuse(["redis", "ca_file"], "key", "stands beside tls: false, where nothing is vouched for; keep one of the two");
  }

  const { audit } = config;
  for (const key of ["authorization_env", "ca_file"] as const) {
    if (audit !== undefined && "file" in audit && key in audit) {
      refuse(["audit", key], "key", "stands beside file, which asks nobody; keep it for a url");
    }
  }
  if (audit?.url?.startsWith("http:") === true && "ca_file" in audit) {
    refuse(["audit", "ca_file"], "key", "stands beside an http url, where nothing is vouched for; keep one of the two");
  }

  /** Refuses a name that the named section does not have. */
  const resolve = (path: Path, section: "issuers" | "api_keys" | "registries", target: string | undefined) => {
    const known = config[section] ?? {};
    if (target === undefined || Object.hasOwn(known, target)) return;
    refuse(path, "value", `${quote(target)} is not in ${section}; ${suggestion(target, Object.keys(known))}`);
  };
  /** A variable must be a claim that the grant's callers have, and in a namespace none that they choose. */
  const variableProblem = (path: Path, grant: { issuer?: string | undefined }, text: string) => {
    const parsed = isScopeTemplate(text) ? parseScopeTemplate(text) : undefined;
    if (parsed === undefined || "problem" in parsed) return;
    const provider = issuerOf(config, grant.issuer)?.provider;
    if (grant.issuer === undefined)
      refuse(path, "value", "has a variable, and the holder of an API key has no claims; write it out");
    const { namespace } = variablesOf(parsed.template);
    if (namespace === undefined || provider === undefined || !judgementOf(provider).callerChosen.includes(namespace))
      return;
    refuse(
      path,
      "value",
      `takes its namespace from ${namespace}, which a caller can choose; take a claim that the issuer vouches for`,
    );
  };
  const ceiling = (config.ceiling ?? []).flatMap((text) => parsedScope(text) ?? []);
  const ceilingProblem = (path: Path, text: string) => {
    const scope = parsedScope(text);
    if (config.ceiling === undefined || scope === undefined) return;
    if (scope.actions.every((action) => ceiling.some((most) => covers(most, scope, action)))) return;
    const near = ceiling.filter(({ namespace }) => namespace === scope.namespace).map(formatScope);
    refuse(
      path,
      "value",
      `${quote(text)} is beyond the ceiling, which has ${near.length === 0 ? `nothing of ${scope.namespace}` : near.join(" ")}; write less, or raise the ceiling for everybody`,
    );
  };
  /** A clock and the days that are read off it go together, and a stretch of time must not end before it begins. */
  const timesProblem = (path: Path, times: Times | undefined) => {
    const { not_before: from, not_after: to, days, hours, zone } = times ?? {};
    if (from !== undefined && to !== undefined && Date.parse(from) >= Date.parse(to)) {
      refuse([...path, "not_after"], "value", "is not after not_before; write a later time");
    }
    const read = days !== undefined ? "days" : hours !== undefined ? "hours" : undefined;
    if (read !== undefined && times !== undefined && !("zone" in times)) {
      refuse(
        [...path, read],
        "key",
        "stands without zone, and a clock shows the time of one place; write zone: Asia/Shanghai, or another",
      );
    }
    if (read === undefined && zone !== undefined && times !== undefined && !("days" in times) && !("hours" in times)) {
      refuse(
        [...path, "zone"],
        "key",
        "stands without days and hours, and the other times have their own; take it out",
      );
    }
  };
  for (const [name, denial] of Object.entries(config.denials ?? {})) {
    timesProblem(["denials", name, "times"], denial?.times);
    resolve(["denials", name, "issuer"], "issuers", denial?.issuer);
    resolve(["denials", name, "registry"], "registries", denial?.registry);
    if (denial?.when !== undefined && denial.issuer === undefined) {
      refuse(
        ["denials", name, "when"],
        "key",
        "stands without issuer, and claims mean something only with one; name the issuer",
      );
    }
  }
  problems.push(...externalIdProblems(config));
  for (const [name, grant] of Object.entries(config.grants ?? {})) {
    if (grant === undefined) continue;
    const path = ["grants", name];
    timesProblem([...path, "times"], grant.times);
    resolve([...path, "issuer"], "issuers", grant.issuer);
    if (typeof grant.api_key === "string") resolve([...path, "api_key"], "api_keys", grant.api_key);
    else {
      for (const [index, key] of (grant.api_key?.any_of ?? []).entries()) {
        resolve([...path, "api_key", "any_of", index], "api_keys", key);
      }
    }
    for (const [index, text] of (grant.allow ?? []).entries()) {
      if (text !== undefined) variableProblem([...path, "allow", index], grant, text);
      if (text !== undefined) ceilingProblem([...path, "allow", index], text);
    }
    resolve([...path, "registry"], "registries", grant.registry);
    if ("issuer" in grant && "api_key" in grant) {
      refuse(
        [...path, "api_key"],
        "key",
        "stands beside issuer; a grant is for one of the two, so write a second grant",
      );
    } else if ("api_key" in grant) {
      if ("when" in grant)
        refuse([...path, "when"], "key", "stands beside api_key, whose holder has no claims; take it out");
    } else if (!("issuer" in grant)) {
      refuse(
        [...path, "issuer"],
        "key",
        "is missing; write the name of a configured issuer, or api_key and the name of a key",
      );
    } else if (!("when" in grant)) {
      refuse(
        [...path, "when"],
        "key",
        "is missing; write which callers it is for: without it, it would be for everyone whom the issuer knows",
      );
    }
  }
  return problems;
}

/** A role's trust policy demands one value of every caller. RAM does not tell upper from lower case in a role's name. */
function externalIdProblems({ grants = {} }: Sound<ConfigFile>): Problem[] {
  const first = new Map<string, { readonly name: string; readonly id: string | undefined }>();
  return Object.entries(grants).flatMap(([name, grant]): Problem[] => {
    const role = grant?.role_arn?.toLowerCase();
    // A wrong one has been complained of.
    if (role === undefined || grant === undefined || ("external_id" in grant && grant.external_id === undefined))
      return [];
    const { external_id: id } = grant;
    const { name: earlier, id: expected } = first.get(role) ?? { name, id };
    if (!first.has(role)) first.set(role, { name, id });
    if (id === expected) return [];
    const same = "for the same role; write the same in all grants of a role";
    const path = ["grants", name];
    return id === undefined
      ? [{ path, part: "key", message: `has no external_id, and grants.${earlier} has one ${same}` }]
      : [
          {
            path: [...path, "external_id"],
            part: "value",
            message: `differs from grants.${earlier}, which has ${expected === undefined ? "none" : "another"} ${same}`,
          },
        ];
  });
}

/** By the name in a grant or denial; undefined where there is none of it. */
export function issuerOf({ issuers = {} }: Sound<ConfigFile>, name: string | undefined) {
  return name !== undefined && Object.hasOwn(issuers, name) ? issuers[name] : undefined;
}

/** `grants.web-main.allow[0]` */
export function pathText(path: Path): string {
  return path
    .map((part) => (typeof part === "number" ? `[${part}]` : `.${part}`))
    .join("")
    .replace(/^\./, "");
}

/** What an issue does not carry but its schema knows: a description, or a map's known keys. Used by `inWords`. */
function whatTheSchemaKnows(issue: z.core.$ZodRawIssue): string {
  const schema = issue.inst as z.core.$ZodType;
  // Not by instanceof: naming z.core in running code puts all of zod, 400 KB with its translations, into the bundle.
  const known = Object.keys((schema._zod.def as { shape?: object }).shape ?? {});
  if (issue.code === "unrecognized_keys") return known.join(" ");
  return z.globalRegistry.get(schema)?.description ?? `{ ${known.join(", ")} }`;
}

function inWords(issue: z.core.$ZodIssue, base: Path, document: YamlDocument): Problem[] {
  const path = [...base, ...(issue.path as (string | number)[])];
  const value = valueAt(document.data, path);
  const description = issue.message;
  // Set where the discriminator fits none; zod's types do not have it.
  const { options = [] } = issue as { options?: readonly unknown[] };
  if (value === undefined) {
    const what = options.length > 0 ? oneOf(options) : description;
    return [{ path, part: "key", message: `is missing; write ${what}` }];
  }
  const wrong = (message: string): Problem[] => [{ path, part: "value", message }];
  switch (issue.code) {
    case "unrecognized_keys": {
      const known = description.split(" ");
      return issue.keys.map((key) => ({
        path: [...path, key],
        part: "key",
        message: `is not known here; ${suggestion(key, known)}`,
      }));
    }
    case "invalid_key":
      return [{ path, part: "key", message: issue.issues[0]?.message ?? "" }];
    case "invalid_value":
      if (typeof value === "string" && issue.values.some((one) => typeof one !== "string" && String(one) === value)) {
        return wrong(`is text; write ${value} without quotes`);
      }
      return wrong(`${shown(value)} is not known here; write ${oneOf(issue.values)} (${description})`);
    case "invalid_union": {
      if (options.length > 0) return wrong(`${shown(value)} is not known here; write ${oneOf(options)}`);
      if (typeof value === "number" && !issue.errors.flat().some(wantsText)) {
        return wrong(`${value} will not do; write ${description}`);
      }
      const meant = issue.errors.find(
        (errors) => !errors.some(({ code, path }) => code === "invalid_type" && path.length === 0),
      );
      if (meant !== undefined) return meant.flatMap((inner) => inWords(inner, path, document));
      return wrong(wrongType(value, typeof value === "object" ? "" : "string", description, document.written(path)));
    }
    case "invalid_type":
      // What stands here by mistake may be the password itself.
      return wrong(
        wrongType(
          value,
          issue.expected,
          description,
          path.at(-1) === "password_env" ? undefined : document.written(path),
        ),
      );
    default:
      return wrong(issue.message);
  }
}

/** `written` is shown; left out: it may be a secret. */
function wantsText(issue: z.core.$ZodIssue): boolean {
  return issue.code === "invalid_type" && issue.expected === "string";
}

function wrongType(value: unknown, expected: string, description: string, written?: string): string {
  if (value === null) return `has no value; write ${description}`;
  if (expected === "string" && typeof value !== "object") {
    // A long one may be a secret in the wrong place.
    const isShown = written !== undefined && written.length <= 40;
    return `is a ${typeof value} to YAML; write ${isShown ? `it in quotes: ${quote(written)}` : description}`;
  }
  if (expected === "number" || expected === "int") {
    if (typeof value === "number") return `is not a whole number; write ${description}`;
    const isQuoted = typeof value === "string" && /^\d+$/.test(value);
    return `is not a number; write ${description}${isQuoted ? ", without quotes" : ""}`;
  }
  if (expected === "boolean") return "is neither true nor false; write one of them, without quotes";
  if (expected === "array") return `is not a list; write ${description}, in [ ]`;
  if (expected === "string") return `is not text; write ${description}`;
  return `is not ${expected === "" ? "of the right kind" : "a map"}; write ${description}`;
}

function shown(value: unknown): string {
  return typeof value === "object" ? "this" : quote(String(value));
}

function oneOf(values: readonly unknown[]): string {
  return values.length === 1 ? String(values[0]) : `one of ${values.join(", ")}`;
}

function suggestion(wrong: string, known: readonly string[]): string {
  const near = nearName(wrong, known);
  if (near !== undefined) return `did you mean ${near}?`;
  return known.length === 0 ? "nothing is configured there" : `known are ${known.slice(0, 20).join(", ")}`;
}

function valueAt(data: unknown, path: Path): unknown {
  let value = data;
  for (const part of path) value = isHolder(value) && Object.hasOwn(value, part) ? value[part as string] : undefined;
  return value;
}

function isHolder(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null;
}

function parsedScope(text: string | undefined): Scope | undefined {
  const parsed = text === undefined ? undefined : parseScope(text);
  return parsed === undefined || "problem" in parsed ? undefined : parsed.scope;
}
