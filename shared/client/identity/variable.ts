/** A token in an environment variable: ours, and those of CIs that hand each job its token that way. */

import { IdentityError } from "../errors.ts";
import type { IdentitySource } from "./identity.ts";

export function tokenVariable(name: string): IdentitySource {
  return {
    name: `the variable ${name}`,
    token: async ({ outside }) => {
      const token = outside.environment(name);
      if (token === undefined) throw new IdentityError("no_identity", `the variable ${name} is not set, or is empty`);
      return token;
    },
  };
}

/** The token of an `id_tokens:` entry. https://docs.gitlab.com/ci/secrets/id_token_authentication/ */
export function gitlab(variable = "ACR_BROKER_TOKEN"): IdentitySource {
  return { ...tokenVariable(variable), name: `GitLab CI (id_tokens: ${variable})` };
}
