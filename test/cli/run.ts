/** Runs the built command line as a process, as its users do. */

import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { text } from "node:stream/consumers";
import { fileURLToPath } from "node:url";

export const ACR_BROKER = fileURLToPath(new URL("../../build/acr-broker.cjs", import.meta.url));
export const CREDENTIAL_HELPER = fileURLToPath(
  new URL("../../build/docker-credential-acr-broker.cjs", import.meta.url),
);
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

/** The same beside this process, which may be serving what it asks for. */
export async function acrBrokerBeside(args: readonly string[], surroundings: Surroundings = {}): Promise<Ran> {
  return beside(ACR_BROKER, args, surroundings);
}

export async function credentialHelper(args: readonly string[], surroundings: Surroundings = {}): Promise<Ran> {
  return beside(CREDENTIAL_HELPER, args, surroundings);
}

async function beside(
  program: string,
  args: readonly string[],
  { cwd = ROOT, environment = {}, input = "" }: Surroundings,
): Promise<Ran> {
  const child = spawn(process.execPath, [program, ...args], { cwd, env: environment });
  child.stdin.on("error", () => {}); // one that ends without reading it: the exit code tells
  child.stdin.end(input);
  const closed = once(child, "close");
  const [out, told, [code]] = await Promise.all([text(child.stdout), text(child.stderr), closed]);
  return { code: code as number | null, out, told };
}
