/** Runs the built command line as a process, as its users do. */

import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";

export const ACR_BROKER = fileURLToPath(new URL("../../build/acr-broker.cjs", import.meta.url));
export const ROOT = fileURLToPath(new URL("../../", import.meta.url));

export interface Ran {
  readonly code: number | null;
  readonly out: string;
  readonly told: string;
}

export interface Surroundings {
  readonly cwd?: string;
  readonly environment?: Readonly<Record<string, string>>;
  /** Standard input. */
  readonly input?: string;
}

export function acrBroker(
  args: readonly string[],
  { cwd = ROOT, environment = {}, input = "" }: Surroundings = {},
): Ran {
  const { status, stdout, stderr } = spawnSync(process.execPath, [ACR_BROKER, ...args], {
    cwd,
    env: environment,
    input,
    encoding: "utf8",
  });
  return { code: status, out: stdout, told: stderr };
}
