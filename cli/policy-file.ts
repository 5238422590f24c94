/** The policy that a command reads: `--config FILE`, else `$BROKER_CONFIG`, else `./broker.yaml`. */

import { type Option, type Terminal, UsageError } from "./command.ts";
import { holdsSecret } from "./secrets.ts";

/** For the options of every command that reads the policy. */
export const CONFIG_OPTION = {
  type: "string",
  value: "FILE",
  help: "the policy; default $BROKER_CONFIG, then ./broker.yaml",
} as const satisfies Option;

export const JSON_OPTION = { type: "boolean", help: "one JSON object on standard output" } as const satisfies Option;

/** @throws UsageError */
export function policyFile(given: string | undefined, { environment }: Terminal): string {
  const file = given ?? (environment["BROKER_CONFIG"] || "broker.yaml");
  // A file's name is repeated in output, also on standard output.
  if (holdsSecret(file)) throw new UsageError("that is a token or key where the policy's file should be");
  return file;
}
