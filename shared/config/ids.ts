/** Claims that are ids: never given out twice, where a name that becomes free can be taken. And how to get hold of one. */

import type { Issuer, OidcProvider } from "./config.ts";

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

/** A claim that holds the id of what a name names. */
export interface IdClaim {
  readonly claim: string;
  readonly how: string;
}

/** Of a public issuer, where anyone may take a name: whether the claim, with these values, is an id, or what id it has. */
export function idOf(issuer: Issuer, claim: string, texts: readonly string[]): IdClaim | "is one" | undefined {
  if (issuer.provider === "alibaba") return undefined;
  const url = "accepted" in issuer ? issuer.template : issuer.issuer;
  if (PUBLIC_HOSTS[issuer.provider] !== new URL(url).hostname) return undefined;
  const [text = ""] = texts;
  switch (issuer.provider) {
    case "github": {
      if (/_id$/.test(claim) || (claim === "sub" && texts.every(isGithubIdSubject))) return "is one";
      const [, owner = "OWNER", name = "*"] = /^(?:repo:|repository:)?([^/:*]+)(?:\/([^/:*]+))?/.exec(text) ?? [];
      if (claim === "enterprise") return hint("github", "enterprise_id", { SLUG: text });
      if (claim === "repository_owner" || name === "*") return hint("github", "repository_owner_id", { OWNER: owner });
      return claim === "repository" || claim === "sub"
        ? hint("github", "repository_id", { OWNER: owner, NAME: name })
        : undefined;
    }
    case "gitlab":
      if (/_id$/.test(claim)) return "is one";
      if (claim === "namespace_path") return hint("gitlab", "namespace_id", { GROUP: encodeURIComponent(text) });
      if (claim === "project_path" || claim === "sub") {
        return hint("gitlab", text.includes("/*") ? "namespace_id" : "project_id", {});
      }
      return undefined;
    case "buildkite":
      if (/_id$/.test(claim)) return "is one";
      return claim === "organization_slug" || claim === "sub"
        ? {
            claim: "organization_id",
            how: "the organization's settings, UUID; the job asks for it with --claim organization_id",
          }
        : undefined;
    default:
      return undefined;
  }
}

/** Where names are anybody's who comes first; a server of one's own is another matter. */
const PUBLIC_HOSTS: Readonly<Partial<Record<OidcProvider, string>>> = {
  github: "token.actions.githubusercontent.com",
  gitlab: "gitlab.com",
  buildkite: "agent.buildkite.com",
};

/** `repo:acme@1/web@2:…`, or a customised one that begins with an id. */
function isGithubIdSubject(subject: string): boolean {
  return /^(?:repo:[^/:@]+@\d+\/|repository_id:|repository_owner_id:)/.test(subject);
}

function hint(provider: OidcProvider, claim: string, values: Readonly<Record<string, string>>): IdClaim {
  const how = numberHint(provider, claim) ?? "";
  // A value of several words or with a * is left for whoever reads to fill in.
  const fitting = Object.entries(values).filter(([, value]) => /^[\w.%-]+$/.test(value));
  return { claim, how: fitting.reduce((text, [word, value]) => text.replace(word, () => value), how) };
}
