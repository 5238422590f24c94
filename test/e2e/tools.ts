/**
 * Which real clients are installed here. Where one is missing its tests are skipped, loudly; with CI=true that is a failure,
 * so that no pipeline stays green by testing nothing.
 */
import { accessSync, constants } from "node:fs";
import { delimiter, join } from "node:path";

export type Tool =
  | "docker-registry"
  | "skopeo"
  | "podman"
  | "buildah"
  | "docker"
  | "openssl"
  | "redis-server"
  | "busybox"
  | "groovy"
  | "shellcheck"
  | "zsh"
  | "fish"
  | "chromium"
  | "docker-credential-ecr-login"
  | "promtool"
  | "prometheus";

const INSTALL =
  "apt-get install -y --no-install-recommends docker-registry skopeo podman buildah docker.io openssl redis-server busybox groovy shellcheck zsh fish chromium amazon-ecr-credential-helper prometheus";

export function missingTools(tools: readonly Tool[], path = process.env["PATH"] ?? ""): Tool[] {
  return tools.filter((tool) => toolPath(tool, path) === undefined);
}

/** Where it is, for those who do not look along the path themselves. */
export function toolPath(tool: Tool, path = process.env["PATH"] ?? ""): string | undefined {
  return path
    .split(delimiter)
    .map((folder) => join(folder, tool))
    .find(isExecutable);
}

/**
 * Whether the tests that need these tools can run. If not, says so on stderr.
 * Throws where the environment says CI=true.
 */
export function haveTools(tools: readonly Tool[], env: NodeJS.ProcessEnv = process.env): boolean {
  const missing = missingTools(tools, env["PATH"]);
  if (missing.length === 0) return true;
  const notice = `e2e: ${missing.join(", ")} not installed. To install: ${INSTALL}`;
  if (env["CI"] === "true") throw new Error(notice);
  process.stderr.write(`\nSKIPPED ${notice}\n`);
  return false;
}

function isExecutable(file: string): boolean {
  try {
    accessSync(file, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}
