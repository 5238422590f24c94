/** Whether docker would look where a login is, and whether a registry answers from here. */

import { accessSync, constants } from "node:fs";
import { delimiter, join } from "node:path";
import { AcrBrokerError } from "../../shared/client/errors.ts";
import { exchange, isLoopback } from "../../shared/client/http.ts";
import type { Outside } from "../../shared/client/outside.ts";
import { type Terminal, UsageError } from "../command.ts";
import { dockerConfigFile, helperOf, parseDockerConfig, readDockerConfig } from "../docker/config-file.ts";
import { endedLogins } from "../docker/logins.ts";
import type { Step } from "./step.ts";

export function dockerSteps(hosts: readonly string[], terminal: Terminal): Step[] {
  const step = "docker";
  try {
    const file = dockerConfigFile(terminal);
    const config = readDockerConfig(file);
    const helpers = [...new Set(hosts.map((host) => helperOf(config, host)))];
    const ended = endedLogins(file, terminal.now());
    return [
      ...helpers.map((helper) =>
        helperStep(
          helper,
          file,
          hosts.filter((host) => helperOf(config, host) === helper),
          terminal,
        ),
      ),
      ...(ended.length === 0 ? [] : [endedStep(ended, file)]),
      ...variableSteps(hosts, terminal),
    ];
  } catch (error) {
    if (!(error instanceof UsageError)) throw error;
    return [{ step, outcome: "failed", says: error.message }];
  }
}

function helperStep(helper: string | undefined, file: string, hosts: readonly string[], terminal: Terminal): Step {
  const step = "docker";
  const names = hosts.join(", ");
  if (helper === undefined) return { step, outcome: "ok", says: `for ${names} docker looks into ${file}` };
  const command = `docker-credential-${helper}`;
  const says = `for ${names} docker asks ${command}, as ${file} has it`;
  if (!isInPath(command, terminal)) {
    return {
      step,
      outcome: "failed",
      says: `${says}, and that is not in PATH`,
      change: `install it, or take it out of ${file}`,
    };
  }
  if (helper === "acr-broker") return { step, outcome: "ok", says };
  const change = "acr-broker login cannot be used for it, acr-broker exec can";
  return { step, outcome: "warning", says, change };
}

function endedStep(hosts: readonly string[], file: string): Step {
  const says = `the login of acr-broker to ${hosts.join(", ")} in ${file} has ended`;
  return { step: "docker", outcome: "warning", says, change: "acr-broker login again, or acr-broker logout" };
}

function variableSteps(hosts: readonly string[], { environment }: Terminal): Step[] {
  const text = environment["DOCKER_AUTH_CONFIG"];
  if (!text) return [];
  let auths: object = {};
  try {
    auths = parseDockerConfig("DOCKER_AUTH_CONFIG", text).auths ?? {};
  } catch {
    // Docker takes no notice of it either.
  }
  const named = hosts.filter((host) => Object.hasOwn(auths, host));
  if (named.length === 0) return [];
  const says = `DOCKER_AUTH_CONFIG has a login to ${named.join(", ")}, where docker 28.3 and newer look first`;
  return [{ step: "docker", outcome: "warning", says, change: "take it out of the variable, or use acr-broker exec" }];
}

function isInPath(command: string, { environment }: Terminal): boolean {
  return (environment["PATH"] ?? "").split(delimiter).some((folder) => {
    try {
      accessSync(join(folder, command), constants.X_OK);
      return true;
    } catch {
      return false;
    }
  });
}

const TIMEOUT_MS = 5_000;

/** Of a registry's hosts one has to be reached: those of a VPC are reached in it only. */
export async function registrySteps(name: string, hosts: readonly string[], outside: Outside): Promise<Step[]> {
  const steps = await Promise.all(hosts.map((host) => registryStep(name, host, outside)));
  const isReached = steps.some(({ outcome }) => outcome !== "failed");
  if (!isReached) return steps;
  return steps.map((step) =>
    step.outcome === "failed" ? { step: step.step, outcome: "skipped", says: step.says } : step,
  );
}

/** https://distribution.github.io/distribution/spec/api/#api-version-check: 401, and where to get a token. */
async function registryStep(name: string, host: string, outside: Outside): Promise<Step> {
  const step = "registry";
  const url = new URL(`https://${host}/v2/`);
  // Docker speaks plain HTTP to this machine.
  if (isLoopback(url.hostname)) url.protocol = "http:";
  const { signal } = new AbortController();
  try {
    const answer = await exchange({ name: name, timeoutMs: TIMEOUT_MS }, url, {}, signal, outside);
    const asks = answer.status === 401 && /^(?:bearer|basic)\b/i.test(answer.headers.get("www-authenticate") ?? "");
    if (asks) return { step, outcome: "ok", says: `${host} (${name}) answers, and asks for a login` };
    const says = `${host} (${name}) answers with ${answer.status}, and a registry would ask for a login`;
    return { step, outcome: "warning", says, change: "is it the registry's host? a proxy may have answered" };
  } catch (error) {
    if (!(error instanceof AcrBrokerError)) throw error;
    const change =
      "does this machine's network reach it? ACR's access control may not list this address, and -vpc hosts are reached in their VPC only";
    return { step, outcome: "failed", says: error.message, change };
  }
}
