/**
 * What `login` writes into a docker config, and `logout` takes out again: exactly that. Of each login a digest is kept in a file
 * beside it, since docker drops fields of config.json that it does not know.
 */

import { createHash } from "node:crypto";
import { rmSync } from "node:fs";
import { dockerAuth, type Login } from "../../shared/credential-formats.ts";
import { type Terminal, UsageError } from "../command.ts";
import { readPlain } from "../own-files.ts";
import { type Auth, besideOf, type ConfigFiles, type DockerConfig, editDockerConfig, helperOf } from "./config-file.ts";

/** Some hundred bytes each. */
const MOST_BYTES = 1024 * 1024;

type Logins = Readonly<Record<string, { readonly sha256: string; readonly expires_at: string }>>;

/** `isDocker`: it is docker's own file. @throws UsageError */
export async function writeLogin(file: string, terminal: Terminal, login: Login, isDocker: boolean): Promise<void> {
  const auth = dockerAuth(login);
  await editDockerConfig(file, terminal, (config, files) => {
    refuseHelpers(file, helpersIn(config, isDocker), login.endpoints);
    const entry = { sha256: digest(auth), expires_at: login.expiresAt.toISOString() };
    const written = Object.fromEntries(login.endpoints.map((host) => [host, entry]));
    remember(files, { ...remembered(files.beside), ...written });
    return {
      ...config,
      auths: { ...config.auths, ...Object.fromEntries(login.endpoints.map((host) => [host, auth])) },
    };
  });
}

export interface Gone {
  readonly removed: readonly string[];
  /** Written over by somebody since. */
  readonly left: readonly string[];
}

/** Of all hosts, or of `hosts`. @throws UsageError */
export async function removeLogins(file: string, terminal: Terminal, hosts?: readonly string[]): Promise<Gone> {
  let gone: Gone = { removed: [], left: [] };
  await editDockerConfig(file, terminal, (config, files) => {
    const logins = remembered(files.beside);
    const ours = Object.keys(logins).filter((host) => hosts === undefined || hosts.includes(host));
    const { auths = {} } = config;
    const there = ours.filter((host) => Object.hasOwn(auths, host));
    const removed = there.filter((host) => digest(auths[host] as Auth) === logins[host]?.sha256);
    gone = { removed, left: there.filter((host) => !removed.includes(host)) };
    if (ours.length > 0) remember(files, without(logins, ours));
    return removed.length === 0 ? undefined : { ...config, auths: without(auths, removed) };
  });
  return gone;
}

/** Hosts whose login of ours has ended and is still there. */
export function endedLogins(file: string, now: Date): string[] {
  const logins = Object.entries(remembered(besideOf(file)));
  return logins.filter(([, { expires_at }]) => Date.parse(expires_at) <= now.getTime()).map(([host]) => host);
}

/** Podman knows no credsStore. */
export function helpersIn({ credHelpers = {}, credsStore = "" }: DockerConfig, isDocker: boolean): DockerConfig {
  return isDocker ? { credHelpers, credsStore } : { credHelpers };
}

/** Docker would never look at what is written. @throws UsageError */
export function refuseHelpers(file: string, config: DockerConfig, hosts: readonly string[]): void {
  for (const host of hosts) {
    const helper = helperOf(config, host);
    if (helper === undefined) continue;
    if (helper === "acr-broker") {
      throw new UsageError(`${file}: docker asks docker-credential-acr-broker for ${host} already; no login is needed`);
    }
    const field = Object.hasOwn(config.credHelpers ?? {}, host) ? `credHelpers of ${host}` : "credsStore";
    throw new UsageError(
      `${file} has ${JSON.stringify(helper)} as ${field}: docker would ask docker-credential-${helper}, and not look at a login in this file. Run the command with acr-broker exec, which leaves this file alone; or put the credential where docker looks: acr-broker token --format password | docker login --username cr_temp_user --password-stdin ${host}`,
    );
  }
}

function digest({ auth = "" }: Auth): string {
  return createHash("sha256").update(auth).digest("hex");
}

function without<T>(object: Readonly<Record<string, T>>, names: readonly string[]): Record<string, T> {
  return Object.fromEntries(Object.entries(object).filter(([name]) => !names.includes(name)));
}

/** Nothing, where it cannot be read: then nothing is known to be ours. */
function remembered(beside: string): Logins {
  try {
    const { logins } = JSON.parse(readPlain(beside, MOST_BYTES) ?? "") as { logins: Logins };
    const isWhole = Object.values(logins).every(({ sha256, expires_at }) => isText(sha256) && isText(expires_at));
    return isWhole ? logins : {};
  } catch {
    return {};
  }
}

const isText = (value: unknown) => typeof value === "string";

function remember({ beside, replace }: ConfigFiles, logins: Logins): void {
  if (Object.keys(logins).length === 0) rmSync(beside, { force: true });
  else replace(beside, `${JSON.stringify({ logins })}\n`);
}
