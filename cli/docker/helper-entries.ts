/** Which hosts docker asks our credential helper for: `credHelpers` of its configuration; and whether it would find the helper. */

import { accessSync, constants } from "node:fs";
import { delimiter, join } from "node:path";
import { type Terminal, UsageError } from "../command.ts";
import { type DockerConfig, editDockerConfig, readDockerConfig } from "./config-file.ts";

/** What stands in `credHelpers`. */
const HELPER = "acr-broker";
export const HELPER_PROGRAM = `docker-credential-${HELPER}`;

/** Hosts of which docker asks our helper. @throws UsageError */
export function hostsOfHelper(file: string): string[] {
  const { credHelpers = {} } = readDockerConfig(file);
  return Object.keys(credHelpers).filter((host) => credHelpers[host] === HELPER);
}

/** Another helper's entry is left, and nothing is written. @throws UsageError */
export async function addHelper(file: string, terminal: Terminal, hosts: readonly string[]): Promise<void> {
  await editDockerConfig(file, terminal, (config) => {
    const { credHelpers = {} } = config;
    for (const host of hosts) {
      const other = Object.hasOwn(credHelpers, host) ? credHelpers[host] : HELPER;
      if (other === HELPER) continue;
      throw new UsageError(
        `${file} has credHelpers ask docker-credential-${other} for ${host}; take that entry out first, or leave the host out`,
      );
    }
    const entries = Object.fromEntries(hosts.map((host) => [host, HELPER]));
    return hosts.every((host) => credHelpers[host] === HELPER)
      ? undefined
      : { ...config, credHelpers: { ...credHelpers, ...entries } };
  });
}

/** Takes our entries out, of all hosts or of `hosts`; answers which. @throws UsageError */
export async function removeHelper(file: string, terminal: Terminal, hosts?: readonly string[]): Promise<string[]> {
  let removed: string[] = [];
  await editDockerConfig(file, terminal, (config): DockerConfig | undefined => {
    const { credHelpers = {}, ...rest } = config;
    const isGone = (host: string) => credHelpers[host] === HELPER && (hosts === undefined || hosts.includes(host));
    removed = Object.keys(credHelpers).filter(isGone);
    if (removed.length === 0) return undefined;
    const left = Object.fromEntries(Object.entries(credHelpers).filter(([host]) => !removed.includes(host)));
    return Object.keys(left).length === 0 ? rest : { ...config, credHelpers: left };
  });
  return removed;
}

/** Where docker finds the helper; undefined: it does not. */
export function helperInPath({ environment }: Pick<Terminal, "environment">): string | undefined {
  const folders = (environment["PATH"] ?? "").split(delimiter).filter(Boolean);
  return folders.map((folder) => join(folder, HELPER_PROGRAM)).find(isExecutable);
}

function isExecutable(file: string): boolean {
  try {
    accessSync(file, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}
