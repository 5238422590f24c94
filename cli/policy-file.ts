/** The policy that a command reads: `--config FILE`, else `$BROKER_CONFIG`, else `./broker.yaml`. */

import type { Option, Terminal } from "./command.ts";

/** For the options of every command that reads the policy. */
export const CONFIG_OPTION = {
  type: "string",
  value: "FILE",
  help: "the policy; default $BROKER_CONFIG, then ./broker.yaml",
} as const satisfies Option;

export const JSON_OPTION = { type: "boolean", help: "one JSON object on standard output" } as const satisfies Option;

export function policyFile(given: string | undefined, { environment }: Terminal): string {
  return given ?? (environment["BROKER_CONFIG"] || "broker.yaml");
}
