/** Tokens that a CI's own command gets for a job: Buildkite's agent, CircleCI's command line. Where there are commands only. */

import { IdentityError } from "../errors.ts";
import type { IdentityContext, IdentitySource } from "./identity.ts";
import { tokenVariable } from "./variable.ts";

/** https://buildkite.com/docs/agent/cli/reference/oidc; `claims` are optional ones to be asked for, as `organization_id`. */
export function buildkite({ claims = [] }: { claims?: readonly string[] } = {}): IdentitySource {
  return {
    name: "Buildkite",
    token: async (context) => {
      const asked = claims.flatMap((claim) => ["--claim", claim]);
      return printed(context, "buildkite-agent", [
        "oidc",
        "request-token",
        "--audience",
        await context.audience(),
        ...asked,
      ]);
    },
  };
}

/**
 * The token that the job has, whose audience is the organization's id. With `ask`, one for the broker's audience instead:
 * https://circleci.com/docs/openid-connect-tokens/
 */
export function circleci({ ask = false }: { ask?: boolean } = {}): IdentitySource {
  if (!ask) return { ...tokenVariable("CIRCLE_OIDC_TOKEN_V2"), name: "CircleCI" };
  return {
    name: "CircleCI",
    token: async (context) => {
      const claims = JSON.stringify({ aud: await context.audience() });
      return printed(context, "circleci", ["run", "oidc", "get", "--claims", claims]);
    },
  };
}

async function printed(
  { outside, signal }: IdentityContext,
  command: string,
  args: readonly string[],
): Promise<string> {
  try {
    return await outside.run(command, args, signal);
  } catch (error) {
    if (signal.aborted) throw signal.reason;
    // Ours, or the runtime's, which names the command; neither has what the command printed.
    const why = error instanceof Error && /^it /.test(error.message) ? error.message : "this runtime could not run it";
    throw new IdentityError("identity_failed", `${command} gave no token: ${why}`);
  }
}
