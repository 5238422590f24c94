/** broker.yaml, read once at the start: checked in full, resolved, frozen. It loads as a whole or not at all. */

import { readFileSync } from "node:fs";
import { basename, dirname, resolve } from "node:path";
import { judgementOf, PROVIDERS } from "../identity/providers.ts";
import type { Condition } from "../policy/condition.ts";
import type { Denial, Grant } from "../policy/grant.ts";
import type { Limit, TimeLimit } from "../policy/limit.ts";
import { parseScope, quote, type Scope } from "../policy/scope.ts";
import { isScopeTemplate, parseScopeTemplate, type ScopeTemplate } from "../policy/scope-template.ts";
import { readCertificates } from "./ca-file.ts";
import { crossProblems, type Problem, pathText, type Sound, shapeProblems, soundParts } from "./check.ts";
import { claimRules } from "./claim-findings.ts";
import type { Source } from "./compiled.ts";
import {
  type AlibabaEndpoints,
  type AuditSettings,
  type BlockSettings,
  type BrokerConfig,
  type BudgetSettings,
  ConfigError,
  type ConfigProblem,
  type Issuer,
  type LimitSettings,
  type OidcIssuer,
  type OidcProvider,
  type PrivateCa,
  type RedisSettings,
  type TracingSettings,
} from "./config.ts";
import { deadRules } from "./dead-findings.ts";
import { compare, digest } from "./digest.ts";
import { readYaml } from "./document.ts";
import { issuerProblems } from "./issuer-problems.ts";
import { limitRules } from "./limit-findings.ts";
import { unsafeProblems } from "./lint.ts";
import type { Found } from "./lint-findings.ts";
import type { ConfigFile } from "./schema.ts";
import { slipProblems } from "./slips.ts";
import { parseHours } from "./values.ts";

/** Of a key set or a file of certificates. */
const LONGEST_PINNED_BYTES = 64 * 1024;
const MOST_KEYS = 50;

type KeySet = { readonly keys: readonly unknown[] };

/** What stands in the files that an issuer may name, and in which form. */
const PINNED_FILES = {
  jwks_file: { what: "keys", form: "a JWK Set" },
  ca_file: { what: "certificates", form: "PEM, as openssl x509 -inform der makes it" },
};

/** What was read from beside the policy. */
interface Pinned {
  /** By issuer, both. */
  readonly keySets: Map<string, KeySet>;
  readonly cas: Map<string, Pick<PrivateCa, "certificates">>;
  /** By section. */
  readonly otherCas: Map<string, PrivateCa>;
}

/**
 * Reads and checks the file. `onRead` is told of each file that the configuration is made of, by its name relative to the
 * policy's folder. Throws ConfigError, also where it cannot be read.
 */
export function loadConfig(path: string, onRead?: (source: Source) => void): BrokerConfig {
  const readFile = (name: string) => {
    const bytes = readFileSync(resolve(dirname(path), name));
    onRead?.({ name, bytes });
    // Bytes that are no UTF-8 would otherwise be replaced without a word.
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  };
  let text: string;
  try {
    text = readFile(basename(path));
  } catch (error) {
    const message = `cannot be read (${reason(error)}); name another file with BROKER_CONFIG, or --config of acr-broker`;
    throw new ConfigError([{ file: path, line: 1, column: 1, message }]);
  }
  return parseConfig(text, { file: path, readFile });
}

/**
 * Checks the text of a configuration and resolves it. `file` is its name in messages; `readFile` reads a pinned key set or a CA,
 * relative to the configuration's folder. Throws ConfigError with everything that is wrong; nothing else, and does nothing else.
 */
export function parseConfig(
  text: string,
  { file, readFile }: { file: string; readFile: (path: string) => string },
): BrokerConfig {
  const document = readYaml(text);
  const found: ConfigProblem[] = document.problems.map((problem) => ({ file, ...problem }));
  const report = (problems: readonly Problem[]) => {
    for (const { path, part, message } of problems) {
      const position = document.position(path, part);
      // Where YAML itself was wrong, what stands there now is only a consequence.
      if (document.problems.some(({ line, column }) => line === position.line && column === position.column)) continue;
      const whole = path.length === 0 ? message : `${pathText(path)}: ${message}`;
      found.push({ file, ...position, message: whole });
    }
  };
  const pinned: Pinned = { keySets: new Map(), cas: new Map(), otherCas: new Map() };
  if (document.data !== undefined) {
    const shape = shapeProblems(document);
    const sound = soundParts(document.data, shape);
    report(shape);
    report(crossProblems(sound));
    report(issuerProblems(sound));
    report(unsafeProblems(sound));
    report(slipProblems(sound));
    report(readPinned(sound, "jwks_file", readFile, readKeySet, pinned.keySets));
    report(readPinned(sound, "ca_file", readFile, readCertificates, pinned.cas));
    for (const section of ["redis", "audit"] as const) {
      const path = sound[section]?.ca_file;
      if (path === undefined) continue;
      const ca = readBeside(path, "ca_file", readFile, readCertificates);
      if (typeof ca !== "string") pinned.otherCas.set(section, { path, ...ca });
      else report([{ path: [section, "ca_file"], part: "value", message: ca }]);
    }
  }
  if (found.length > 0) throw new ConfigError(found.sort((a, b) => a.line - b.line || a.column - b.column));

  const resolved = resolveConfig(
    document.data as ConfigFile,
    pinned,
    document.linesOfKeys(["grants"]),
    document.linesOfKeys(["denials"]),
  );
  const config = deepFreeze({ ...resolved, digest: digest(resolved) });
  const dead = deadDenials(config).map(({ path, part, message }) => ({
    file,
    ...document.position(path, part),
    message,
  }));
  if (dead.length > 0) throw new ConfigError(dead);
  return config;
}

/** What cannot match is in a grant of no use, and in a denial a hole that nobody sees: there it stops the start. */
function deadDenials(config: BrokerConfig): Found[] {
  const rules = [claimRules["claim-unknown"], deadRules["grant-never-matches"], limitRules["times-never"]];
  const denialsAlone = { ...config, grants: [] };
  return rules.flatMap((rule) => rule?.(denialsAlone, new Date(0)) ?? []);
}

function resolveConfig(
  content: ConfigFile,
  pinned: Pinned,
  lines: ReadonlyMap<string, number>,
  denialLines: ReadonlyMap<string, number>,
): Omit<BrokerConfig, "digest"> {
  return {
    audience: content.audience,
    registries: mapEntries(content.registries, (name, registry) => ({
      name,
      instanceId: registry.instance_id,
      region: registry.region,
      accountId: registry.account_id,
      endpoints: registry.endpoints,
    })),
    issuers: mapEntries(content.issuers, (name, issuer): Issuer => {
      const audience = issuer.audience ?? content.audience;
      if (issuer.provider === "alibaba") return { name, provider: "alibaba", accounts: issuer.accounts, audience };
      const preset = PROVIDERS[issuer.provider];
      const { issuer: iss, issuer_template: template, ca_file: path = "" } = issuer;
      const ca = pinned.cas.get(name);
      return {
        name,
        provider: issuer.provider,
        ...(template === undefined ? { issuer: iss ?? "" } : { template, accepted: namedIss(content.grants, name) }),
        audience,
        algorithms: issuer.algorithms ?? preset.algorithms,
        keys: keysOf(issuer, pinned.keySets.get(name)),
        ...(ca === undefined ? {} : { ca: { path, ...ca } }),
        maxTokenLifetimeSeconds: issuer.max_token_lifetime ?? preset.maxTokenLifetimeSeconds,
        replay: issuer.replay ?? PROVIDERS[issuer.provider].replay,
      };
    }),
    apiKeys: mapEntries(content.api_keys, (name, key) => ({
      name,
      sha256: key.sha256,
      expires: new Date(key.expires),
      cidrs: key.cidrs ?? [],
      ...(key.created === undefined ? {} : { created: new Date(key.created) }),
      ...(key.last4 === undefined ? {} : { last4: key.last4 }),
    })),
    // By the lines: an object's own order would put names of digits first.
    grants: [...lines].flatMap(([name, line]) => {
      const grant = content.grants[name];
      return grant === undefined
        ? []
        : [resolveGrant(name, grant, line, content.issuers?.[grant.issuer ?? ""]?.provider)];
    }),
    denials: [...denialLines].flatMap(([name, line]) => {
      const denial = content.denials?.[name];
      return denial === undefined ? [] : [resolveDenial(name, denial, line)];
    }),
    ...(content.ceiling === undefined ? {} : { ceiling: content.ceiling.map(checkedScope) }),
    alibaba: {
      ...(content.alibaba?.sts_endpoint === undefined ? {} : { stsEndpoint: content.alibaba.sts_endpoint }),
      ...(content.alibaba?.cr_endpoint === undefined ? {} : { crEndpoint: content.alibaba.cr_endpoint }),
    } satisfies AlibabaEndpoints,
    ...(content.client_address === undefined ? {} : { clientAddress: content.client_address }),
    ...(content.shadow === undefined ? {} : { shadow: content.shadow }),
    ...(content.redis === undefined ? {} : { redis: redisSettings(content.redis, pinned.otherCas.get("redis")) }),
    ...(content.budget === undefined ? {} : { budget: budgetSettings(content.budget) }),
    ...(content.limits === undefined ? {} : { limits: limitSettings(content.limits) }),
    ...(content.blocks === undefined ? {} : { blocks: blockSettings(content.blocks) }),
    ...(content.audit === undefined ? {} : { audit: auditSettings(content.audit, pinned.otherCas.get("audit")) }),
    ...(content.metrics === undefined
      ? {}
      : { metrics: { endpoint: content.metrics.endpoint ?? true, names: content.metrics.names ?? false } }),
    ...(content.tracing === undefined ? {} : { tracing: tracingSettings(content.tracing) }),
  };
}

function redisSettings(redis: NonNullable<ConfigFile["redis"]>, ca: PrivateCa | undefined): RedisSettings {
  return {
    host: redis.host,
    port: redis.port ?? 6379,
    tls: redis.tls === false ? false : ca === undefined ? {} : { ca },
    ...(redis.username === undefined ? {} : { username: redis.username }),
    ...(redis.password_env === undefined ? {} : { passwordVariable: redis.password_env }),
    keyPrefix: redis.key_prefix ?? "acr-token-broker",
    whenUnavailable: redis.when_unavailable ?? "memory",
    ...(redis.credentials === undefined ? {} : { credentialKeyVariables: redis.credentials.key_env }),
  };
}

function budgetSettings({ assume_role_per_second, instances }: NonNullable<ConfigFile["budget"]>): BudgetSettings {
  return {
    ...(assume_role_per_second === undefined ? {} : { assumeRolePerSecond: assume_role_per_second }),
    ...(instances === undefined ? {} : { instances }),
  };
}

function tracingSettings(tracing: NonNullable<ConfigFile["tracing"]>): TracingSettings {
  const { endpoint, headers_env = {}, ratio = 0.1, parent_ratio = ratio } = tracing;
  return { endpoint, headerVariables: headers_env, ratio, parentRatio: parent_ratio };
}

function limitSettings(limits: NonNullable<ConfigFile["limits"]>): LimitSettings {
  const { caller_per_minute, grant_per_minute, failures_per_minute } = limits;
  return {
    ...(caller_per_minute === undefined ? {} : { callerPerMinute: caller_per_minute }),
    ...(grant_per_minute === undefined ? {} : { grantPerMinute: grant_per_minute }),
    ...(failures_per_minute === undefined ? {} : { failuresPerMinute: failures_per_minute }),
  };
}

function blockSettings({ file, when_unreadable, contact }: NonNullable<ConfigFile["blocks"]>): BlockSettings {
  return {
    ...(file === undefined ? {} : { file }),
    whenUnreadable: when_unreadable ?? "keep",
    ...(contact === undefined ? {} : { contact }),
  };
}

function auditSettings(audit: NonNullable<ConfigFile["audit"]>, ca: PrivateCa | undefined): AuditSettings {
  const { file, url = "", authorization_env: variable, when_unavailable: whenUnavailable = "refuse" } = audit;
  if (file !== undefined) return { to: { file }, whenUnavailable };
  const authorization = variable === undefined ? {} : { authorizationVariable: variable };
  return { to: { url, ...authorization, ...(ca === undefined ? {} : { ca }) }, whenUnavailable };
}

function resolveGrant(
  name: string,
  grant: ConfigFile["grants"][string],
  line: number,
  provider: OidcProvider | "alibaba" | undefined,
): Grant {
  return {
    name,
    holder: grant.api_key === undefined ? { issuer: grant.issuer ?? "" } : { apiKeys: keyNames(grant.api_key) },
    when: provider === undefined ? [] : conditions(grant.when ?? {}, provider),
    ...limits(grant.cidrs, grant.times),
    registry: grant.registry,
    allow: grant.allow.filter((text) => !isScopeTemplate(text)).map(checkedScope),
    ...(grant.allow.some(isScopeTemplate)
      ? { allowFor: grant.allow.filter(isScopeTemplate).map(checkedTemplate) }
      : {}),
    roleArn: grant.role_arn,
    ...(grant.external_id === undefined ? {} : { externalId: grant.external_id }),
    maxTtlSeconds: grant.max_ttl,
    createRepository: grant.create_repository ?? false,
    line,
  };
}

/** Without what an issuer's preset adds to grants: less conditions would be to deny less. */
function resolveDenial(name: string, denial: NonNullable<ConfigFile["denials"]>[string], line: number): Denial {
  return {
    name,
    ...(denial.issuer === undefined ? {} : { issuer: denial.issuer }),
    when: Object.entries(denial.when ?? {}).map(([claim, condition]) => resolveCondition(claim, condition)),
    ...(denial.times === undefined ? {} : { limits: [timeLimit(denial.times)] }),
    registry: denial.registry,
    deny: denial.deny.map(checkedScope),
    line,
  };
}

function limits(cidrs: readonly string[] | undefined, times: WrittenTimes | undefined): Pick<Grant, "limits"> {
  const all: Limit[] = [
    ...(cidrs === undefined ? [] : [{ kind: "network" as const, cidrs }]),
    ...(times === undefined ? [] : [timeLimit(times)]),
  ];
  return all.length === 0 ? {} : { limits: all };
}

type WrittenTimes = NonNullable<ConfigFile["grants"][string]["times"]>;

function timeLimit({ not_before, not_after, days, hours, zone }: WrittenTimes): TimeLimit {
  const parsed = hours === undefined ? undefined : parseHours(hours);
  return {
    kind: "time",
    ...(not_before === undefined ? {} : { notBefore: new Date(not_before) }),
    ...(not_after === undefined ? {} : { notAfter: new Date(not_after) }),
    ...(days === undefined ? {} : { days }),
    ...(parsed === undefined ? {} : { hours: parsed }),
    ...(zone === undefined ? {} : { zone }),
  };
}

function checkedTemplate(text: string): ScopeTemplate {
  const parsed = parseScopeTemplate(text);
  if ("problem" in parsed) throw new Error("an unchecked scope");
  return parsed.template;
}

function keyNames(written: string | { any_of: string[] }): string[] {
  return typeof written === "string" ? [written] : written.any_of;
}

function keysOf(
  issuer: { jwks_file?: string | undefined; jwks_uri?: string | undefined },
  jwks: KeySet | undefined,
): OidcIssuer["keys"] {
  if (issuer.jwks_file !== undefined && jwks !== undefined) return { from: "file", path: issuer.jwks_file, jwks };
  return issuer.jwks_uri === undefined ? { from: "discovery" } : { from: "url", url: issuer.jwks_uri };
}

/** Each `iss` that grants of the issuer name. */
function namedIss(grants: ConfigFile["grants"], issuer: string): string[] {
  const named = Object.values(grants).flatMap((grant) => {
    const iss = grant.issuer === issuer ? grant.when?.["iss"] : undefined;
    return typeof iss === "string" ? [iss] : (iss?.any_of ?? []);
  });
  return [...new Set(named)].sort(compare);
}

/** The conditions that are written, and those that the issuer's preset adds where nothing is said of the claim. */
function conditions(when: Record<string, WrittenCondition>, provider: OidcProvider | "alibaba"): Condition[] {
  const { callerChosen, implied = [] } = judgementOf(provider);
  return [
    ...Object.entries(when).map(([claim, condition]) => ({
      ...resolveCondition(claim, condition),
      ...(callerChosen.includes(claim) ? { callerChosen: true } : {}),
    })),
    ...implied.filter(({ claim }) => !Object.hasOwn(when, claim)),
  ];
}

type WrittenCondition = NonNullable<ConfigFile["grants"][string]["when"]>[string];

function resolveCondition(claim: string, condition: WrittenCondition): Condition {
  if (typeof condition === "string") return { claim, kind: "exact", value: condition };
  if (condition.any_of !== undefined) return { claim, kind: "any_of", values: condition.any_of };
  if (condition.contains !== undefined) return { claim, kind: "contains", value: condition.contains };
  return { claim, kind: "glob", pattern: condition.glob ?? "" };
}

function checkedScope(text: string): Scope {
  const parsed = parseScope(text);
  if ("problem" in parsed) throw new TypeError(parsed.problem);
  return parsed.scope;
}

/** Fills `found` with what stands in the file that `field` of an issuer names, and says what is wrong with the others. */
function readPinned<Content>(
  config: Sound<ConfigFile>,
  field: keyof typeof PINNED_FILES,
  readFile: (path: string) => string,
  read: (text: string) => Content | string,
  found: Map<string, Content>,
): Problem[] {
  return Object.entries(config.issuers ?? {}).flatMap(([name, issuer]): Problem[] => {
    const file = issuer && field in issuer ? (issuer as Readonly<Record<typeof field, unknown>>)[field] : undefined;
    if (typeof file !== "string") return [];
    const content = readBeside(file, field, readFile, read);
    if (typeof content === "string") return [{ path: ["issuers", name, field], part: "value", message: content }];
    found.set(name, content);
    return [];
  });
}

/** What `read` makes of a file, or what is wrong with it. */
function readBeside<Content>(
  path: string,
  field: keyof typeof PINNED_FILES,
  readFile: (path: string) => string,
  read: (text: string) => Content | string,
): Content | string {
  const { what, form } = PINNED_FILES[field];
  const complaint = (why: string) => `${quote(path)} ${why}`;
  try {
    const text = readFile(path);
    if (Buffer.byteLength(text) > LONGEST_PINNED_BYTES) {
      return complaint(`is over ${LONGEST_PINNED_BYTES / 1024} KiB; keep only ${what} in it`);
    }
    const content = read(text);
    return typeof content === "string" ? complaint(content) : content;
  } catch (error) {
    const why = reason(error);
    return complaint(
      why === "ERR_ENCODING_INVALID_ENCODED_DATA" ? `is no text; write ${form}` : `cannot be read (${why})`,
    );
  }
}

/** A JWK Set (RFC 7517, section 5) of public keys, or what is wrong with it; never a piece of the file. */
function readKeySet(text: string): KeySet | string {
  let content: unknown;
  try {
    content = JSON.parse(text);
  } catch {
    return "is not JSON; write a JWK Set";
  }
  const keys: unknown = (content as { keys?: unknown } | null)?.keys;
  if (!Array.isArray(keys) || keys.length === 0 || keys.length > MOST_KEYS) {
    return `is not a JWK Set; write {"keys": [...]} with 1 to ${MOST_KEYS} public keys`;
  }
  if (!keys.every((key) => typeof key === "object" && typeof key?.kty === "string")) {
    return "has an entry that is no JWK; each is an object with a kty";
  }
  if (keys.some((key) => key.kty === "oct" || "d" in key))
    return "holds a private or shared key; keep only public keys in it";
  return { keys };
}

function reason(error: unknown): string {
  return (error as NodeJS.ErrnoException).code ?? "not readable";
}

function mapEntries<In, Out>(
  map: Record<string, In> | undefined,
  entry: (name: string, value: In) => Out,
): Map<string, Out> {
  return new Map(Object.entries(map ?? {}).map(([name, value]) => [name, entry(name, value)]));
}

function deepFreeze<T>(value: T): T {
  if (typeof value !== "object" || value === null) return value;
  if (value instanceof Map) for (const part of value.values()) deepFreeze(part);
  // A hundred thousand objects of a large policy: without a list of keys or values for each.
  else for (const key in value) deepFreeze(value[key]);
  return Object.freeze(value);
}
