/**
 * Policies from which a cloud is built by what `acr-broker ram` prints; and for each, written down by hand, what its grants'
 * callers must be able to do, and all that its roles may.
 */

import { readFileSync } from "node:fs";
import { blocksOf } from "../../markdown.ts";

const PAGE = new URL("../../../docs/deploy.md", import.meta.url);

/** One request to the broker, and what is then done in the registry with its answer. */
export interface Use {
  readonly grant: string;
  /** Whose token it is made with. */
  readonly issuer: string;
  readonly claims: Readonly<Record<string, string>>;
  readonly registry: string;
  readonly scope: string;
  /** `pull web/app`, `push web/app`; `create web`: a first push to a repository that is not there. */
  readonly does: readonly string[];
}

/** `INSTANCE NAMES ACTIONS`: names as a regular expression. */
export type Bound = readonly [instance: string, names: RegExp, actions: readonly ("pull" | "push" | "create")[]];

export interface Case {
  readonly text: string;
  readonly uses: readonly Use[];
  /** By role: all that it may do, session policies aside. */
  readonly bounds: Readonly<Record<string, readonly Bound[]>>;
  /** By role. */
  readonly externalIds?: Readonly<Record<string, string>>;
}

export const GITHUB = "https://token.actions.githubusercontent.com";
export const GITLAB = "https://gitlab.com";
const CI = "https://issuer.example.com";

const HOME = "acs:ram::1234567890123456:role";
const PARTNER = "acs:ram::6543210987654321:role/acr-partner";

const MAIN = { repository_id: "123456", ref: "refs/heads/main" };
const [PULL, BOTH, ALL] = [["pull"], ["pull", "push"], ["pull", "push", "create"]] as const;

function use(
  grant: string,
  [issuer, claims]: readonly [string, Readonly<Record<string, string>>],
  [registry, scope]: readonly [string, string],
  ...does: readonly string[]
): Use {
  return { grant, issuer, claims, registry, scope, does };
}

/** A caller of a grant that is for this subject. */
function job(
  sub: string,
  claims: Readonly<Record<string, string>> = {},
): readonly [string, Readonly<Record<string, string>>] {
  return [CI, { sub, ...claims }];
}

function own(registries: string, rest: string): string {
  return `version: 1
audience: https://acr-broker.example.com
registries:
  prod: { instance_id: cri-abc123, region: cn-hangzhou, account_id: "1234567890123456", endpoints: [prod.example.com] }
${registries}issuers:
  ci: { provider: generic, issuer: ${CI} }
${rest}`;
}

const MAIN_PROD = [GITHUB, { ...MAIN, environment: "prod-eu" }] as const;
const BRANCH = [GITHUB, { ...MAIN, ref: "refs/heads/feature" }] as const;
const TAG = [GITLAB, { project_id: "42", ref_type: "tag", ref: "v1", ref_protected: "true" }] as const;
const GITLAB_MAIN = [GITLAB, { project_id: "42", ref_type: "branch", ref: "main", ref_protected: "true" }] as const;

export const CASES: Readonly<Record<string, Case>> = {
  "the example": {
    text: readFileSync(new URL("../../../broker.yaml", import.meta.url), "utf8"),
    uses: [
      use("web-main", MAIN_PROD, ["prod", "repository:web/*:pull,push"], "pull web/app", "push web/app"),
      use("web-main", MAIN_PROD, ["prod", "repository:base/*:pull"], "pull base/alpine"),
      use("web-branches", BRANCH, ["prod", "repository:base/alpine:pull"], "pull base/alpine"),
      use(
        "api-release",
        TAG,
        ["prod", "repository:api/server:pull,push"],
        "pull api/server",
        "push api/server",
        "create api/server",
      ),
      use("api-release", TAG, ["prod", "repository:base/*:pull"], "pull base/alpine"),
    ],
    bounds: {
      [`${HOME}/acr-web`]: [
        ["cri-abc123", /^web\//, BOTH],
        ["cri-abc123", /^base\//, PULL],
      ],
      [`${HOME}/acr-api`]: [
        ["cri-abc123", /^api\/server$/, ALL],
        ["cri-abc123", /^base\//, PULL],
      ],
    },
  },
  "docs/deploy.md": {
    text:
      blocksOf(readFileSync(PAGE, "utf8")).find(
        ({ language, text }) => language === "yaml" && text.startsWith("version:"),
      )?.text ?? "",
    uses: [
      use("web-main", [GITHUB, MAIN], ["prod", "repository:web/app:pull,push"], "pull web/app", "push web/app"),
      use("web-main", [GITHUB, MAIN], ["prod", "repository:base/*:pull"], "pull base/alpine"),
      use("web-gitlab", GITLAB_MAIN, ["prod", "repository:web/*:pull,push"], "pull web/app", "push web/app"),
    ],
    bounds: {
      [`${HOME}/acr-web`]: [
        ["cri-abc123", /^web\//, BOTH],
        ["cri-abc123", /^base\//, PULL],
      ],
    },
  },
  "registries, accounts, roles, a ceiling and a denial": {
    text: own(
      `  eu: { instance_id: cri-eu1, region: eu-central-1, account_id: "1234567890123456", endpoints: [eu.example.com] }
  partner: { instance_id: cri-partner, region: cn-beijing, account_id: "6543210987654321", endpoints: [partner.example.com] }
`,
      `ceiling: ["repository:web/*:pull,push", "repository:base/*:pull", "repository:team-a/*:pull,push", "repository:team-b/app:pull", "repository:out/*:push", "repository:other/*:pull"]
denials:
  frozen: { registry: prod, deny: ["repository:out/old:push"] }
grants:
  web: { issuer: ci, when: { sub: web }, registry: prod, allow: ["repository:web/*:pull,push", "repository:base/*:pull"], role_arn: "${HOME}/acr-web", max_ttl: 1800, create_repository: true }
  app: { issuer: ci, when: { sub: app }, registry: prod, allow: ["repository:web/app:pull,push"], role_arn: "${HOME}/acr-web", max_ttl: 900 }
  web-eu: { issuer: ci, when: { sub: eu }, registry: eu, allow: ["repository:web/*:pull"], role_arn: "${HOME}/acr-web", max_ttl: 900 }
  teams: { issuer: ci, when: { sub: teams }, registry: prod, allow: ["repository:team-\${team}/*:pull,push"], role_arn: "${HOME}/acr-teams", max_ttl: 900 }
  drop: { issuer: ci, when: { sub: drop }, registry: prod, allow: ["repository:out/log:push", "repository:out/old:push"], role_arn: "${HOME}/Acr-Drop", max_ttl: 900 }
  partner: { issuer: ci, when: { sub: partner }, registry: partner, allow: ["repository:web/app:pull,push"], role_arn: ${PARTNER}, external_id: acme-broker-2027, max_ttl: 900 }
`,
    ),
    uses: [
      use("web", job("web"), ["prod", "repository:web/*:pull,push"], "pull web/app", "push web/app", "create web"),
      use("web", job("web"), ["prod", "repository:base/*:pull"], "pull base/alpine"),
      use("app", job("app"), ["prod", "repository:web/app:pull,push"], "pull web/app", "push web/app"),
      use("web-eu", job("eu"), ["eu", "repository:web/*:pull"], "pull web/app"),
      use(
        "teams",
        job("teams", { team: "a" }),
        ["prod", "repository:team-a/*:pull,push"],
        "pull team-a/x",
        "push team-a/app",
      ),
      use("teams", job("teams", { team: "b" }), ["prod", "repository:team-b/app:pull"], "pull team-b/app"),
      use("drop", job("drop"), ["prod", "repository:out/log:push"], "push out/log"),
      use("partner", job("partner"), ["partner", "repository:web/app:pull,push"], "pull web/app", "push web/app"),
    ],
    bounds: {
      [`${HOME}/acr-web`]: [
        ["cri-abc123", /^web\//, ALL],
        ["cri-abc123", /^base\//, PULL],
        ["cri-eu1", /^web\//, PULL],
      ],
      [`${HOME}/acr-teams`]: [
        ["cri-abc123", /^team-a\//, BOTH],
        ["cri-abc123", /^team-b\/app$/, PULL],
      ],
      [`${HOME}/acr-drop`]: [["cri-abc123", /^out\/log$/, ["push"]]],
      [PARTNER]: [["cri-partner", /^web\/app$/, BOTH]],
    },
    externalIds: { [PARTNER]: "acme-broker-2027" },
  },
  "claims in scopes": {
    text: own(
      "",
      `grants:
  apps: { issuer: ci, when: { sub: apps }, registry: prod, allow: ["repository:team-\${team}/app-\${app}:pull,push"], role_arn: "${HOME}/acr-apps", max_ttl: 900, create_repository: true }
  listed: { issuer: ci, when: { sub: listed, team: { any_of: [a, b] } }, registry: prod, allow: ["repository:\${team}/tool:pull"], role_arn: "${HOME}/acr-listed", max_ttl: 900 }
  twice: { issuer: ci, when: { sub: twice, team: { any_of: [a, b] } }, registry: prod, allow: ["repository:\${team}/of-\${team}:pull"], role_arn: "${HOME}/acr-twice", max_ttl: 900 }
  like: { issuer: ci, when: { sub: like, model: { glob: "m-*" } }, registry: prod, allow: ["repository:ml/\${model}:pull"], role_arn: "${HOME}/acr-like", max_ttl: 900 }
`,
    ),
    uses: [
      use(
        "apps",
        job("apps", { team: "a", app: "x" }),
        ["prod", "repository:team-a/app-x:pull,push"],
        "pull team-a/app-x",
        "push team-a/app-x",
        "create team-a/app-x",
      ),
      use("listed", job("listed", { team: "a" }), ["prod", "repository:a/tool:pull"], "pull a/tool"),
      use("listed", job("listed", { team: "b" }), ["prod", "repository:b/tool:pull"], "pull b/tool"),
      use("twice", job("twice", { team: "a" }), ["prod", "repository:a/of-a:pull"], "pull a/of-a"),
      use("twice", job("twice", { team: "b" }), ["prod", "repository:b/of-b:pull"], "pull b/of-b"),
      use("like", job("like", { model: "m-1" }), ["prod", "repository:ml/m-1:pull"], "pull ml/m-1"),
    ],
    bounds: {
      [`${HOME}/acr-apps`]: [["cri-abc123", /^team-[^/]*\/app-/, ALL]],
      [`${HOME}/acr-listed`]: [["cri-abc123", /^[ab]\/tool$/, PULL]],
      [`${HOME}/acr-twice`]: [["cri-abc123", /^(?:a\/of-a|b\/of-b)$/, PULL]],
      [`${HOME}/acr-like`]: [["cri-abc123", /^ml\/m-/, PULL]],
    },
  },
};
