/**
 * Grants that no one can mean: those that strangers would also get. Each stops the start. The well-known mistakes are
 * listed at https://unit42.paloaltonetworks.com/oh-my-dc-oidc-misconfigurations-in-cloud/.
 */

import { hasOpenClaims, judgementOf } from "../identity/providers.ts";
import { quote } from "../policy/scope.ts";
import type { Problem, Sound } from "./check.ts";
import type { OidcProvider } from "./config.ts";
import type { ConfigFile } from "./schema.ts";

type Provider = OidcProvider | "alibaba";

type Conditions = NonNullable<NonNullable<NonNullable<Sound<ConfigFile>["grants"]>[string]>["when"]>;

/** Every token of an issuer has these alike, or they say what a caller is like and not who it is. */
const TELLS_NOBODY_APART = new Set([...["iss", "aud", "iat", "nbf", "exp"]]);

/** Namespaces are made by the cluster's own people: part of one may be a pattern, all of it not. */
const SERVICE_ACCOUNT = {
  form: /^system:serviceaccount:(?!\*+:)/,
  write: "part of the namespace at least, as in system:serviceaccount:team-*:builder",
};

/**
 * Claims whose value begins with who owns it, or is one whole: what a pattern must write out before its first `*`, since
 * anyone may register a name that merely begins the same way.
 */
const WRITTEN_OUT: Readonly<Partial<Record<Provider, Readonly<Record<string, { form: RegExp; write: string }>>>>> = {
  github: {
    // `repo:owner/…`, `repo:owner@id/…`; a customised sub begins with another label.
    sub: { form: /^[^*:/]+:[^*:/]+[:/]/, write: "the owner behind repo: out, as in repo:acme/*" },
    repository: { form: /^[^*/]+\//, write: "the owner out, as in acme/*" },
    job_workflow_ref: { form: /^[^*/]+\//, write: "the owner out, as in acme/*" },
    workflow_ref: { form: /^[^*/]+\//, write: "the owner out, as in acme/*" },
    ...wholeNames(["repository_owner", "repository_id", "repository_owner_id", "enterprise", "enterprise_id"]),
  },
  gitlab: {
    sub: { form: /^[^*:/]+:[^*:/]+[:/]/, write: "the group behind project_path: out, as in project_path:acme/*" },
    project_path: { form: /^[^*/]+\//, write: "the group out, as in acme/*" },
    namespace_path: { form: /^[^*/]+\//, write: "the group out, as in acme/*" },
    ci_config_ref_uri: { form: /^[^*/]+\/[^*/]+\//, write: "the host and the group out, as in gitlab.com/acme/*" },
    ...wholeNames(["project_id", "namespace_id"]),
  },
  kubernetes: { sub: SERVICE_ACCOUNT },
  rrsa: { sub: SERVICE_ACCOUNT },
  buildkite: {
    sub: {
      form: /^organization:[^*:]+:pipeline:[^*:]+:/,
      write: "organization and pipeline out, as in organization:acme:pipeline:web:*",
    },
    ...wholeNames(["organization_id", "organization_slug", "pipeline_id"]),
  },
  circleci: {
    sub: {
      form: /^org\/[^*/]+\/project\/[^*/]+\//,
      write: "organization and project out, as in org/ID/project/ID/user/*",
    },
    ...wholeNames(["oidc.circleci.com/project-id", "oidc.circleci.com/org-id"]),
  },
  bitbucket: wholeNames(["repositoryUuid", "workspaceUuid"]),
  "azure-devops": {
    sub: { form: /^(?:p|sc):\/\/[^*/]+\/[^*/]+\//, write: "organization and project out, as in p://acme/web/*" },
    ...wholeNames(["org_id", "prj_id", "def_id", "rpo_id"]),
  },
  jenkins: {
    sub: { form: /^https?:\/\/[^*/]+\//, write: "Jenkins's host out, as in https://jenkins.example.com/job/web/*" },
  },
  spiffe: { sub: { form: /^spiffe:\/\/[^*/]+\//, write: "the trust domain out, as in spiffe://example.org/ci/*" } },
  alibaba: wholeNames(["account_id"]),
};

function wholeNames(claims: readonly string[]) {
  const rule = {
    form: /^[^*]*$/,
    write: "it out: others have one that begins the same way",
  };
  return Object.fromEntries(claims.map((claim) => [claim, rule]));
}

/** Well-known issuers, whose claims must be judged by their own preset. */
const KNOWN_HOSTS: ReadonlyMap<string, OidcProvider> = new Map([
  ["token.actions.githubusercontent.com", "github"],
  ["gitlab.com", "gitlab"],
  ["agent.buildkite.com", "buildkite"],
  ["oidc.circleci.com", "circleci"],
  ["api.bitbucket.org", "bitbucket"],
  ["vstoken.dev.azure.com", "azure-devops"],
]);

export function unsafeProblems(config: Sound<ConfigFile>): Problem[] {
  const problems: Problem[] = [];
  const issuers = new Map(Object.entries(config.issuers ?? {}));
  for (const [name, issuer] of issuers) {
    if (!issuer?.provider || !("issuer" in issuer || "issuer_template" in issuer)) continue;
    const url = issuer.issuer ?? issuer.issuer_template;
    const expected = url === undefined ? undefined : KNOWN_HOSTS.get(new URL(url).hostname);
    if (expected !== undefined && expected !== issuer.provider) {
      const message = `is not the preset for ${url}; write ${expected}, which knows what its callers can choose`;
      problems.push({ path: ["issuers", name, "provider"], part: "value", message });
    }
    if (expected !== undefined && issuer.issuer?.endsWith("/")) {
      const message = `ends in a slash, and no iss of ${expected} does; write ${quote(issuer.issuer.replace(/\/+$/, ""))}`;
      problems.push({ path: ["issuers", name, "issuer"], part: "value", message });
    }
  }
  for (const [name, grant] of Object.entries(config.grants ?? {})) {
    const provider = grant?.issuer === undefined ? undefined : issuers.get(grant.issuer)?.provider;
    if (!grant?.when || !provider) continue;
    problems.push(...openPatterns(grant.when, provider, name), ...standsOnNothing(grant.when, provider, name));
  }
  return problems;
}

/** Patterns that leave open who owns the thing. */
function openPatterns(when: Conditions, provider: Provider, grant: string): Problem[] {
  return Object.entries(when).flatMap(([claim, condition]) => {
    const pattern = patternOf(condition);
    const rules = WRITTEN_OUT[provider] ?? {};
    const rule = Object.hasOwn(rules, claim) ? rules[claim] : undefined;
    if (pattern === undefined || !rule || rule.form.test(pattern)) return [];
    const message = `${quote(pattern)} would also admit strangers; write ${rule.write}`;
    return [{ path: ["grants", grant, "when", claim, "glob"], part: "value", message }];
  });
}

/** A grant none of whose conditions rests on something that the issuer vouches for. */
function standsOnNothing(when: Conditions, provider: Provider, grant: string): Problem[] {
  const { callerChosen, advice, identifyingSubject } = judgementOf(provider);
  const trusted = hasOpenClaims(provider) ? undefined : judgementOf(provider).trusted;
  const conditions = Object.entries(when);
  // One that is wrong in itself has been complained of, and may carry the grant once it is mended.
  if (conditions.some(([, condition]) => condition === undefined)) return [];
  const carries = ([claim, condition]: (typeof conditions)[number]) =>
    // Where strangers share the issuer, they also name claims of their own (`agent_tag:…`): only what is known carries.
    (trusted === undefined || trusted.includes(claim)) &&
    !callerChosen.includes(claim) &&
    !TELLS_NOBODY_APART.has(claim) &&
    !/^[*/:@]+$/.test(patternOf(condition) ?? "") &&
    (claim !== "sub" || written(condition).every((text) => identifyingSubject?.test(text) !== false));
  if (conditions.some(carries)) return [];
  const claims = conditions.map(([claim]) => claim).join(", ");
  const message = `rests only on what any caller of this issuer can have or choose (${claims}); ${advice}`;
  return [{ path: ["grants", grant, "when"], part: "key", message }];
}

function patternOf(condition: Conditions[string]): string | undefined {
  return typeof condition === "object" ? condition.glob : undefined;
}

/** Each text that the condition has in it: values and patterns. */
function written(condition: Conditions[string]): readonly string[] {
  if (typeof condition !== "object") return condition === undefined ? [] : [condition];
  return [...(condition.any_of ?? []), condition.glob, condition.contains].filter((text) => text !== undefined);
}
