/** Finds the identity that is there without configuration. The order is documented in docs/clients/sdk.md. */

import { ConnectionError, IdentityError } from "../errors.ts";
import { host } from "../host.ts";
import type { Outside } from "../outside.ts";
import { ecsRole } from "../ram/ecs-role.ts";
import { environmentKeys } from "../ram/keys.ts";
import { rrsa } from "../ram/rrsa.ts";
import { buildkite, circleci } from "./command.ts";
import { KUBERNETES_TOKEN_FILE, kubernetes, tokenFile } from "./file.ts";
import { githubActions } from "./github-actions.ts";
import type { IdentitySource } from "./identity.ts";
import { signedIdentity } from "./signed.ts";
import { gitlab, tokenVariable } from "./variable.ts";

/** What a job of each CI lacks, where it has no token of its own. By the variable that says which CI it is. */
const CI_ADVICE: readonly (readonly [variable: string, advice: string])[] = [
  ["GITHUB_ACTIONS", "in GitHub Actions, give the job permissions: { id-token: write }"],
  ["GITLAB_CI", "in GitLab CI, give the job id_tokens: { ACR_BROKER_TOKEN: { aud: <the broker's audience> } }"],
  [
    "BUILDKITE",
    "on Buildkite, let the job have BUILDKITE_AGENT_ACCESS_TOKEN and buildkite-agent (in a container: propagate them)",
  ],
  ["CIRCLECI", "on CircleCI, give the job a context: without one it has no CIRCLE_OIDC_TOKEN_V2"],
];

const ADVICE = "set ACR_BROKER_TOKEN or ACR_BROKER_TOKEN_FILE, or pass identity in a program";

/**
 * The first that is there. The machine's own RAM role is the last, and never for a job of a CI: that would give every job on a
 * runner what the runner may.
 * @throws IdentityError no_identity, which says what is missing
 */
export async function detectIdentity(outside: Outside = host()): Promise<IdentitySource> {
  const has = (name: string) => outside.environment(name) !== undefined;
  if (has("ACR_BROKER_TOKEN")) return has("GITLAB_CI") ? gitlab() : tokenVariable("ACR_BROKER_TOKEN");
  const file = outside.environment("ACR_BROKER_TOKEN_FILE");
  if (file !== undefined) return tokenFile(file);
  if (has("ACTIONS_ID_TOKEN_REQUEST_URL") && has("ACTIONS_ID_TOKEN_REQUEST_TOKEN")) return githubActions();
  if (has("BUILDKITE_AGENT_ACCESS_TOKEN")) return buildkite();
  if (has("CIRCLE_OIDC_TOKEN_V2")) return circleci();
  if (await canRead(KUBERNETES_TOKEN_FILE, outside)) return kubernetes();
  if (has("ALIBABA_CLOUD_ACCESS_KEY_ID") && has("ALIBABA_CLOUD_ACCESS_KEY_SECRET"))
    return signedIdentity(environmentKeys());
  if (has("ALIBABA_CLOUD_OIDC_TOKEN_FILE") && has("ALIBABA_CLOUD_OIDC_PROVIDER_ARN") && has("ALIBABA_CLOUD_ROLE_ARN")) {
    return signedIdentity(rrsa());
  }
  const ci = CI_ADVICE.find(([variable]) => has(variable));
  if (ci !== undefined) throw nothing(`${ci[1]}; or set ACR_BROKER_TOKEN`);
  if (outside.environment("ALIBABA_CLOUD_ECS_METADATA_DISABLED")?.toLowerCase() === "true") {
    throw nothing(ADVICE);
  }
  return machineRole(outside.environment("ALIBABA_CLOUD_ECS_METADATA"));
}

/** Whether it is an ECS instance at all shows only when it is asked. */
function machineRole(role: string | undefined): IdentitySource {
  const { name, keys } = ecsRole(role === undefined ? {} : { role });
  return signedIdentity({
    name,
    async keys(context) {
      try {
        return await keys(context);
      } catch (error) {
        if (error instanceof ConnectionError) throw nothing(`${ADVICE}; this is no ECS instance either`);
        // Whoever forgot a token must not have to wonder about a metadata service.
        if (error instanceof IdentityError && !error.retryable && role === undefined) {
          const status = error.status === undefined ? "" : ` (status ${error.status})`;
          throw nothing(`${ADVICE}; the metadata service has no RAM role for this machine either${status}`);
        }
        throw error;
      }
    },
  });
}

async function canRead(path: string, { readFile }: Outside): Promise<boolean> {
  try {
    return (await readFile(path)).trim() !== "";
  } catch {
    return false;
  }
}

function nothing(advice: string): IdentityError {
  return new IdentityError("no_identity", `no identity was found to show to the broker; ${advice}`);
}
