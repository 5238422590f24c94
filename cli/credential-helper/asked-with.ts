/**
 * What a credential was asked with: which host, where, for what and as whom. All that could lead to another answer goes into one
 * digest, under which the answer is kept; so nothing has to be understood here, and nobody is handed what another was issued.
 * Runs before anything else is loaded.
 */

import { createHash } from "node:crypto";
import { readFileSync, statSync } from "node:fs";
import { hostname } from "node:os";
import { join } from "node:path";
import { KUBERNETES_TOKEN_FILE } from "../../shared/client/identity/file.ts";
import type { Terminal } from "../command.ts";
import { configFolder } from "../own-files.ts";

/** Which broker, and what for. */
const REQUEST = [
  "ACR_BROKER_URL",
  "ACR_BROKER_REGISTRY",
  "ACR_BROKER_SCOPE",
  "ACR_BROKER_GRANT",
  "ACR_BROKER_FUNCTION_COMPUTE",
];

/**
 * Whatever the SDK may find an identity by (a test holds the two together): which of them it would take makes no difference then.
 * A job's number, since Buildkite's token may be the agent's, for many jobs.
 */
const IDENTITY = [
  "ACR_BROKER_TOKEN",
  "ACR_BROKER_TOKEN_FILE",
  "GITLAB_CI",
  "ACTIONS_ID_TOKEN_REQUEST_URL",
  "ACTIONS_ID_TOKEN_REQUEST_TOKEN",
  "BUILDKITE_AGENT_ACCESS_TOKEN",
  "BUILDKITE_JOB_ID",
  "CIRCLE_OIDC_TOKEN_V2",
  "ALIBABA_CLOUD_ACCESS_KEY_ID",
  "ALIBABA_CLOUD_ACCESS_KEY_SECRET",
  "ALIBABA_CLOUD_SECURITY_TOKEN",
  "ALIBABA_CLOUD_ROLE_ARN",
  "ALIBABA_CLOUD_ROLE_SESSION_NAME",
  "ALIBABA_CLOUD_OIDC_PROVIDER_ARN",
  "ALIBABA_CLOUD_OIDC_TOKEN_FILE",
  "ALIBABA_CLOUD_STS_REGION",
  "ALIBABA_CLOUD_VPC_ENDPOINT_ENABLED",
  "ALIBABA_CLOUD_ECS_METADATA",
  "ALIBABA_CLOUD_ECS_METADATA_DISABLED",
];
/** Of these the file, too. */
const TOKEN_FILES = ["ACR_BROKER_TOKEN_FILE", "ALIBABA_CLOUD_OIDC_TOKEN_FILE"];

export const VARIABLES: readonly string[] = [...REQUEST, ...IDENTITY];

/** Docker gives a URL for its own hub, a host for all others; podman may add a path. Lower case, the port only where it says something. */
export function hostOf(serverUrl: string): string {
  const [host = ""] = serverUrl.replace(/^[a-z]+:\/\//i, "").split(/[/?#]/, 1);
  return host.toLowerCase().replace(/:443$/, "");
}

/** What the user has set, by `acr-broker configure-docker`; undefined where it would be nowhere. */
export function helperFile(surroundings: Pick<Terminal, "environment">): string | undefined {
  const folder = configFolder(surroundings);
  return folder && join(folder, "helper.json");
}

/** Hexadecimal; undefined where it cannot be told without using something up, and nothing can be kept. */
export function digestOfAll(
  host: string,
  settings: string | undefined,
  { environment }: Pick<Terminal, "environment">,
): string | undefined {
  const paths = [KUBERNETES_TOKEN_FILE, ...TOKEN_FILES.map((name) => environment[name])];
  const files = paths.map((path) => (path ? contentOf(path) : "absent"));
  if (files.includes("not a file")) return undefined;
  const values = VARIABLES.map((name) => environment[name] || null);
  // The machine, for its own RAM role: a home folder may be on several.
  const all = [host, settings ?? null, values, files, hostname(), contentOf("/etc/machine-id")];
  return createHash("sha256").update(JSON.stringify(all)).digest("hex");
}

/** A pipe, as in `<(command)`, can be read once. What is not there, or may not be read, is the SDK's to say. */
function contentOf(path: string): string {
  try {
    return statSync(path).isFile() ? `content ${readFileSync(path, "latin1")}` : "not a file";
  } catch {
    return "absent";
  }
}

export function textOf(path: string | undefined): string | undefined {
  if (path === undefined) return undefined;
  try {
    return readFileSync(path, "utf8");
  } catch {
    return undefined;
  }
}
