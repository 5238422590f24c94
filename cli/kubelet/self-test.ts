/** `acr-broker kubelet --self-test`: goes the kubelet's way for one image, and says of each step what it found. */

import { readFileSync } from "node:fs";
import type { AcrBrokerOptions } from "../../shared/client/acr-broker.ts";
import { brokerErrorLine, isBrokerError } from "../broker-error.ts";
import { type Terminal, UsageError } from "../command.ts";
import { brokerFacts } from "../registries.ts";
import { providerResponse } from "./api.ts";
import { provide } from "./provide.ts";
import { providerProblems } from "./provider-config.ts";

export interface SelfTest {
  readonly image: string;
  /** The kubelet's configuration of its plugins. */
  readonly configFile?: string | undefined;
  readonly registry?: string | undefined;
  readonly options: AcrBrokerOptions;
}

/** Whether all is well. Shows no secret. */
export async function selfTest(test: SelfTest, { out, outside }: Pick<Terminal, "out" | "outside">): Promise<boolean> {
  const { image, configFile, registry, options } = test;
  let failed = false;
  let next = "broker";
  const say = (step: string, problem: string | undefined, fine: string) => {
    failed ||= problem !== undefined;
    out(`${problem === undefined ? "ok    " : "failed"}  ${step.padEnd(8)}  ${problem ?? fine}\n`);
  };
  try {
    const { audience, registries } = await brokerFacts(options, outside);
    say("broker", undefined, `its audience is ${audience}, its registries are ${Object.keys(registries).join(", ")}`);
    next = "config";
    if (configFile !== undefined) {
      const problems = providerProblems(textOf(configFile), image, options.audience ?? audience);
      for (const problem of problems) say("config", `${configFile}: ${problem}`, "");
      if (problems.length === 0) say("config", undefined, `${configFile} has the kubelet ask this plugin for ${image}`);
    }
    next = "image";
    const provided = await provide({ image, serviceAccountAnnotations: {} }, options, { registries }, registry);
    if (provided === undefined) {
      const hosts = Object.values(registries).flat().join(", ");
      say("image", `its host is none of the broker's: ${hosts}; the kubelet would pull without a login`, "");
    } else {
      const { host, wanted, credentials } = provided;
      say(
        "image",
        undefined,
        `${wanted} of registry ${provided.registry}, granted by ${credentials.grants.join(", ")}`,
      );
      const response = JSON.stringify(providerResponse(host, credentials), hideAuth);
      say("response", undefined, response);
    }
  } catch (error) {
    say(next, problemOf(error), "");
  }
  return !failed;
}

function problemOf(error: unknown): string {
  if (error instanceof UsageError) return error.message;
  if (error instanceof Error && isBrokerError(error)) return brokerErrorLine(error);
  throw error;
}

function textOf(file: string): string {
  try {
    return readFileSync(file, "utf8");
  } catch (error) {
    throw new UsageError(`${file} cannot be read (${(error as NodeJS.ErrnoException).code})`);
  }
}

function hideAuth(key: string, value: unknown): unknown {
  return key === "password" ? "(not shown)" : value;
}
