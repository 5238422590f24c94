/** `acr-broker configure-docker`: has docker, or podman, ask the credential helper for the registry's hosts. docs/clients/docker.md */

import type { AcrBrokerOptions } from "../../shared/client/acr-broker.ts";
import { BROKER_OPTIONS, brokerOptions, REQUEST_OPTIONS, refuseSecrets, seconds } from "../broker.ts";
import { command, EXIT, type Terminal, UsageError, type Values } from "../command.ts";
import {
  editSettings,
  type HelperRequest,
  type HelperSettings,
  readSettings,
  settingsFile,
} from "../credential-helper/settings.ts";
import { AUTH_FILE_OPTIONS, authFileOf } from "../docker/auth-file.ts";
import { addHelper, HELPER_PROGRAM, helperInPath, hostsOfHelper, removeHelper } from "../docker/helper-entries.ts";
import { brokerFacts } from "../registries.ts";

const { deadline: _, ...REACHED } = BROKER_OPTIONS;
const { scope, grant, ttl } = REQUEST_OPTIONS;

const OPTIONS = {
  ...REACHED,
  scope: {
    ...scope,
    help: "what to ask of the registry; may be given again. Left out: what ACR_BROKER_SCOPE says then",
  },
  grant: { ...grant, help: "instead: all that the grant gives" },
  ttl,
  registry: { type: "string", value: "NAME", help: "only this registry's hosts; left out, all of the broker's" },
  host: { type: "string", multiple: true, value: "HOST", help: "of these hosts only this; may be given again" },
  check: { type: "boolean", help: "change nothing; say whether all is set up" },
  remove: { type: "boolean", help: "take out again what it wrote" },
  ...AUTH_FILE_OPTIONS,
} as const;

export const configureDocker = command({
  usage: "[--scope SCOPE... | --grant NAME] [--registry NAME] [--host HOST]... [--check | --remove]",
  description: `
Writes into docker's config.json, for each of the registry's hosts, that docker is to ask
${HELPER_PROGRAM} for its login (credHelpers), and into acr-token-broker/helper.json in your
configuration folder which broker that asks, and for what. No secret is in either. Whatever else is in
config.json stays, and another helper's entry is not written over. ${HELPER_PROGRAM} must
be in the PATH of whoever runs docker; it says whether it is.

Exit codes: 0 set up, or removed; 1 something is missing; 2 nothing written: wrong usage, the broker not reached,
a file that is no docker config.`,
  options: OPTIONS,
  mostPositionals: 0,
  examples: [
    "acr-broker configure-docker --url https://acr-broker.example.com --scope repository:web/app:pull",
    "acr-broker configure-docker --check",
    "acr-broker configure-docker --remove",
  ],
  async run({ options }, terminal) {
    const { file } = authFileOf(options, terminal);
    if (options.check === true && options.remove === true) throw new UsageError("give --check or --remove, not both");
    if (options.remove === true) return remove(file, options, terminal);
    const settings = readSettings(terminal);
    const broker = brokerOf(options, settings, terminal);
    const { hosts, registries } = await chosen(options, broker, terminal);
    if (options.check === true) return check(file, hosts, registries, settings, terminal);
    const request = requestOf(options, registries);
    await addHelper(file, terminal, hosts);
    await editSettings(terminal, (before) => changed(before, broker, options, request));
    terminal.tell(`docker asks ${HELPER_PROGRAM} for ${hosts.join(", ")}: ${file}\n`);
    terminal.tell(`that asks ${broker.url}: ${settingsFile(terminal)}\n`);
    silentOf(registries, { ...settings.registries, ...request }, terminal);
    return tellWhetherFound(terminal) ? EXIT.ok : EXIT.no;
  },
});

type Given = Values<typeof OPTIONS>;

/** What is set already counts where nothing is given. */
function brokerOf(options: Given, settings: HelperSettings, terminal: Terminal): AcrBrokerOptions {
  const url = options.url ?? (terminal.environment["ACR_BROKER_URL"] || settings.url);
  if (url !== undefined && settings.url !== undefined && url !== settings.url) {
    throw new UsageError(
      `${settingsFile(terminal)} is for the broker ${settings.url}; acr-broker configure-docker --remove takes it away`,
    );
  }
  const audience = options.audience ?? settings.audience;
  const signs = options["function-compute"] ?? settings.function_compute;
  return brokerOptions(
    {
      ...(url === undefined ? {} : { url }),
      ...(audience === undefined ? {} : { audience }),
      ...(signs === undefined ? {} : { "function-compute": signs }),
    },
    terminal,
  );
}

async function chosen({ registry, host: wanted }: Given, broker: AcrBrokerOptions, { outside }: Terminal) {
  const facts = await brokerFacts(broker, outside);
  const known = Object.keys(facts.registries);
  if (registry !== undefined && !known.includes(registry)) {
    throw new UsageError(`there is no registry ${JSON.stringify(registry)}; there is ${known.join(", ")}`);
  }
  const registries = registry === undefined ? known : [registry];
  const all = [...new Set(registries.flatMap((name) => facts.registries[name] ?? []))];
  const strange = wanted?.find((host) => !all.includes(host));
  if (strange !== undefined) {
    throw new UsageError(`--host ${JSON.stringify(strange)} is none of the registry's hosts: ${all.join(", ")}`);
  }
  const hosts = wanted ?? all;
  const isMeant = (name: string) => facts.registries[name]?.some((host) => hosts.includes(host)) === true;
  return { hosts, registries: registries.filter(isMeant) };
}

function requestOf(options: Given, registries: readonly string[]): Record<string, HelperRequest> {
  const { scope: scopes, grant: named } = options;
  if (scopes !== undefined && named !== undefined) throw new UsageError("give --scope or --grant, not both");
  const ttlSeconds = seconds("ttl", options.ttl);
  refuseSecrets({ scope: scopes?.join(" "), grant: named });
  if (scopes === undefined && named === undefined) {
    if (ttlSeconds !== undefined) throw new UsageError("--ttl of what? give --scope or --grant with it");
    return {};
  }
  const [only, ...others] = registries;
  if (only === undefined || others.length > 0) {
    throw new UsageError(
      `--scope and --grant are one registry's: say which with --registry ${registries.join(" or ")}`,
    );
  }
  const life = ttlSeconds === undefined ? {} : { ttl: ttlSeconds };
  return { [only]: scopes === undefined ? { grant: named as string, ...life } : { scope: scopes, ...life } };
}

function changed(
  before: HelperSettings,
  { url, audience }: AcrBrokerOptions,
  options: Given,
  request: Record<string, HelperRequest>,
): HelperSettings {
  const signs = options["function-compute"] ?? before.function_compute;
  return {
    url: String(url),
    ...(audience === undefined ? {} : { audience }),
    ...(signs === undefined ? {} : { function_compute: signs }),
    registries: { ...before.registries, ...request },
  };
}

async function remove(file: string, { registry, host }: Given, terminal: Terminal): Promise<number> {
  if (registry !== undefined)
    throw new UsageError("--remove asks nobody which hosts a registry has: name them with --host");
  const removed = await removeHelper(file, terminal, host);
  if (host === undefined) await editSettings(terminal, () => undefined);
  terminal.tell(`${removed.length === 0 ? "nothing to remove" : `removed ${removed.join(", ")}`} in ${file}\n`);
  return EXIT.ok;
}

function check(
  file: string,
  hosts: readonly string[],
  registries: readonly string[],
  { registries: set = {} }: HelperSettings,
  terminal: Terminal,
): number {
  const { tell } = terminal;
  const there = hostsOfHelper(file);
  const missing = hosts.filter((host) => !there.includes(host));
  for (const host of hosts) {
    tell(missing.includes(host) ? `${file} does not have docker ask for ${host}\n` : `docker asks for ${host}\n`);
  }
  const silent = silentOf(registries, set, terminal);
  const isFound = tellWhetherFound(terminal);
  return missing.length === 0 && silent.length === 0 && isFound ? EXIT.ok : EXIT.no;
}

/** Registries of which nothing says what to ask for; and says so. */
function silentOf(
  registries: readonly string[],
  set: Readonly<Record<string, HelperRequest>>,
  { environment, tell }: Terminal,
): readonly string[] {
  if (environment["ACR_BROKER_SCOPE"] || environment["ACR_BROKER_GRANT"]) return [];
  const silent = registries.filter((name) => !Object.hasOwn(set, name));
  for (const name of silent) {
    tell(
      `nothing says what to ask of registry ${name}: set ACR_BROKER_SCOPE, or give --registry ${name} --scope SCOPE\n`,
    );
  }
  return silent;
}

function tellWhetherFound(terminal: Terminal): boolean {
  const path = helperInPath(terminal);
  terminal.tell(
    path === undefined
      ? `${HELPER_PROGRAM} is not in PATH, so docker will not find it: link it into a folder of PATH under exactly that name; it is build/${HELPER_PROGRAM}.cjs of this package\n`
      : `${HELPER_PROGRAM} is in PATH: ${path}\n`,
  );
  return path !== undefined;
}
