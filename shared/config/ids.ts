/** Claims that are ids: never given out twice, where a name that becomes free can be taken. And how to get hold of one. */

import type { OidcProvider } from "./config.ts";

type Hints = Readonly<Partial<Record<OidcProvider | "alibaba", Readonly<Record<string, string>>>>>;

/** Claims that hold a whole number and nothing else, with the command or place that tells it. */
const NUMBERS: Hints = {
  github: {
    repository_id: "gh api repos/OWNER/NAME --jq .id",
    repository_owner_id: "gh api users/OWNER --jq .id",
    enterprise_id: `gh api graphql -f query='{ enterprise(slug: "SLUG") { databaseId } }'`,
    actor_id: "gh api users/LOGIN --jq .id",
  },
  gitlab: {
    project_id: "glab api projects/GROUP%2FNAME, its id; or the project's page, Copy project ID",
    namespace_id: "glab api namespaces/GROUP, its id",
    user_id: "glab api users?username=LOGIN, its id",
  },
  "azure-devops": {
    def_id: "az pipelines show --name NAME --query id; or definitionId in the pipeline's URL",
  },
};

/** How to get the number; undefined where the claim need not be one. */
export function numberHint(provider: OidcProvider | "alibaba" | undefined, claim: string): string | undefined {
  const hints = provider === undefined ? {} : (NUMBERS[provider] ?? {});
  return Object.hasOwn(hints, claim) ? hints[claim] : undefined;
}
