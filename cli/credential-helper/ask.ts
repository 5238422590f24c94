/** The helper's way to the broker: which registry the host is, what to ask for it, and one question for however many ask at once. */

import { createHash } from "node:crypto";
import { join } from "node:path";
import { AcrBroker, type AcrBrokerOptions } from "../../shared/client/acr-broker.ts";
import type { AcrBrokerError } from "../../shared/client/errors.ts";
import type { CredentialsRequest } from "../../shared/client/request.ts";
import { brokerOptions } from "../broker.ts";
import { isBrokerError } from "../broker-error.ts";
import { UsageError } from "../command.ts";
import { withLock } from "../docker/lock.ts";
import { readOwn, writeOwn } from "../own-files.ts";
import { type BrokerFacts, brokerFacts, registriesAt } from "../registries.ts";
import { helperFile } from "./asked-with.ts";
import { type Kept, keep, lockOf, makeKeptFolder, readKept } from "./kept.ts";
import type { HelperOutside, Place } from "./serve.ts";
import { type HelperRequest, type HelperSettings, parseSettings } from "./settings.ts";

/** Docker waits for as long as the helper runs. */
const DEADLINE_SECONDS = 20;
/** As long as the broker says that its document may be kept (docs/api.md). */
const FACTS_MS = 300_000;
/** Where the broker cannot be asked, which hosts are not ours is known from before: hub pulls must not hang on it. */
const OLD_FACTS_MS = 24 * 3_600_000;
const MOST_FACTS_BYTES = 256 * 1024;

/** Undefined: the host is none of the broker's. Never throws but for a defect. */
export async function ask(
  place: Place,
  outside: HelperOutside,
): Promise<Pick<Kept, "username" | "secret"> | { readonly problem: string } | undefined> {
  try {
    return await askBroker(place, outside);
  } catch (error) {
    if (error instanceof UsageError) return { problem: error.message };
    if (error instanceof Error && isBrokerError(error)) return { problem: reason(error) };
    throw error;
  }
}

async function askBroker(place: Place, outside: HelperOutside) {
  const { host, digest } = place;
  const settings = settingsOf(place.settings, outside);
  const options = optionsOf(settings, outside);
  const folder = place.folder && makeKeptFolder(place.folder, outside) ? place.folder : undefined;
  const facts = await factsOf(options, folder, outside);
  const names = registriesAt(host, facts);
  if (names.length === 0) return undefined;
  const request = { ...requestOf(registryOf(host, names, outside), settings, outside) };
  if (folder === undefined || digest === undefined) return fetched(place, options, request, outside);
  return withLock(lockOf(folder, digest), outside.outside, async () => {
    // Whoever had the lock before has asked the same.
    const kept = readKept(folder, digest, host, outside);
    if (kept !== undefined) return kept;
    const credential = await fetched(place, options, request, outside);
    if (credential.usableUntil > credential.keptAt) keep(folder, digest, credential, outside);
    return credential;
  });
}

/** With ACR_BROKER_URL of another broker, what is set for this one is not looked at. */
function settingsOf(text: string | undefined, outside: HelperOutside): HelperSettings {
  const settings = parseSettings(text, helperFile(outside) ?? "helper.json");
  const url = outside.environment["ACR_BROKER_URL"];
  return url && settings.url !== undefined && url !== settings.url ? {} : settings;
}

function optionsOf(settings: HelperSettings, { environment, outside }: HelperOutside): AcrBrokerOptions {
  const { audience, function_compute: signs } = settings;
  const url = environment["ACR_BROKER_URL"] || settings.url;
  if (!url) throw new UsageError("which broker? set ACR_BROKER_URL, or run acr-broker configure-docker");
  const given = {
    url,
    deadline: String(DEADLINE_SECONDS),
    ...(audience === undefined ? {} : { audience }),
    ...(signs === undefined ? {} : { "function-compute": signs }),
  };
  return brokerOptions(given, { environment, outside });
}

/** Which registry's credential is wanted, where several have the host. */
function registryOf(host: string, names: readonly string[], { environment }: HelperOutside): string {
  const named = environment["ACR_BROKER_REGISTRY"];
  if (named && names.includes(named)) return named;
  const [only, ...others] = names;
  if (only !== undefined && others.length === 0) return only;
  throw new UsageError(`${host} is in ${names.join(" and ")}; say which in ACR_BROKER_REGISTRY`);
}

/** The environment's, unless it speaks of another registry, else what is set. */
function requestOf(
  registry: string,
  { registries = {} }: HelperSettings,
  { environment }: HelperOutside,
): CredentialsRequest {
  const { ACR_BROKER_REGISTRY: named, ACR_BROKER_SCOPE: scope, ACR_BROKER_GRANT: grant } = environment;
  const set: HelperRequest | undefined = Object.hasOwn(registries, registry) ? registries[registry] : undefined;
  const ttl = set?.ttl === undefined ? {} : { ttl: set.ttl };
  if (!named || named === registry) {
    if (scope && grant) throw new UsageError("ACR_BROKER_SCOPE and ACR_BROKER_GRANT are both set; set one of them");
    if (scope) return { registry, scope, ...ttl };
    if (grant) return { registry, grant, ...ttl };
  }
  if (set?.scope !== undefined) return { registry, scope: set.scope, ...ttl };
  if (set?.grant !== undefined) return { registry, grant: set.grant, ...ttl };
  throw new UsageError(
    `nothing says what to ask of registry ${registry}, and that never means everything: set ACR_BROKER_SCOPE or ACR_BROKER_GRANT, or run acr-broker configure-docker --registry ${registry} --scope repository:<namespace>/<repository>:pull`,
  );
}

async function fetched(
  { host }: Place,
  options: AcrBrokerOptions,
  request: CredentialsRequest,
  { now }: HelperOutside,
): Promise<Kept> {
  const keptAt = now().getTime();
  const credentials = await new AcrBroker(options).credentials(request);
  const { username, password, expiresInSeconds, expiresAt, refreshAfter } = credentials;
  // Both times are the broker's: only what lies between them counts here, where the clock may be wrong.
  const usableMs = expiresInSeconds * 1000 - (expiresAt.getTime() - refreshAfter.getTime());
  return { host, username, secret: password, keptAt, usableUntil: keptAt + usableMs };
}

async function factsOf(
  options: AcrBrokerOptions,
  folder: string | undefined,
  outside: HelperOutside,
): Promise<Pick<BrokerFacts, "registries">> {
  const digest = createHash("sha256").update(String(options.url)).digest("hex");
  // No name of a credential, and not counted among them.
  const path = folder && join(folder, `broker-${digest}.json`);
  const known = path && knownFacts(readOwn(path, outside, MOST_FACTS_BYTES), outside);
  if (known && known.ageMs < FACTS_MS) return known;
  try {
    const { registries } = await brokerFacts(options, outside.outside);
    if (path) keepFacts(path, registries, outside);
    return { registries };
  } catch (error) {
    if (known && error instanceof Error && error.name === "ConnectionError") return known;
    throw error;
  }
}

function keepFacts(path: string, registries: BrokerFacts["registries"], outside: HelperOutside): void {
  try {
    writeOwn(path, JSON.stringify({ fetchedAt: outside.now().getTime(), registries }), outside);
  } catch {
    // A full disk: the next one asks again.
  }
}

function knownFacts(text: string | undefined, { now }: HelperOutside) {
  try {
    const { fetchedAt, registries } = JSON.parse(text ?? "") as { fetchedAt: number } & BrokerFacts;
    const ageMs = now().getTime() - fetchedAt;
    const isWhole = Object.values(registries).every((hosts) => Array.isArray(hosts));
    return isWhole && ageMs >= 0 && ageMs < OLD_FACTS_MS ? { registries, ageMs } : undefined;
  } catch {
    return undefined;
  }
}

/** The SDK's words name its own options. */
const HERE: Readonly<Record<string, string>> = {
  untrusted_audience: "; here: acr-broker configure-docker --audience AUDIENCE",
};

/** `access_denied: <detail> (request_id …)`. */
function reason({ code, message, requestId }: AcrBrokerError): string {
  return `${code}: ${message}${requestId === undefined ? "" : ` (request_id ${requestId})`}${HERE[code] ?? ""}`;
}
