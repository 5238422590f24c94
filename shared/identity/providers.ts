/**
 * Presets: what is known of each kind of OpenID Connect issuer. Defaults for its tokens, and which of its claims a grant
 * may rest on. `trusted`: set by the issuer from facts a caller cannot choose. `callerChosen`: whoever can start a job,
 * open a pull request or name a thing decides them; fit to narrow a grant, never to carry it alone.
 * Everything else of that issuer is neither vouched for nor warned of.
 */

import type { JwsAlgorithm, OidcIssuer, OidcProvider } from "../config/config.ts";
import type { Condition } from "../policy/condition.ts";

export interface ProviderPreset {
  readonly algorithms: readonly JwsAlgorithm[];
  readonly maxTokenLifetimeSeconds: number;
  /** Where the configuration says nothing of `replay`. */
  readonly replay: OidcIssuer["replay"];
  /** What each `sub` of such an issuer looks like; a token with another is refused. */
  readonly subject?: RegExp;
  /** Where a `sub` can be made up of anything: how one begins that says whose it is, and so may carry a grant. */
  readonly identifyingSubject?: RegExp;
  /** What each grant that says nothing of the claim demands of it. */
  readonly implied?: readonly Condition[];
  /** Of the header's `typ`, where it is there; `JWT` unless said. */
  readonly types?: readonly string[];
  readonly trusted: readonly string[];
  readonly callerChosen: readonly string[];
  /** Claims that a caller may leave out of its token: nothing can be denied by them. */
  readonly optional?: readonly string[];
  /** What a good grant for it names; shown where one names nothing that can be trusted. */
  readonly advice: string;
}

/** `system:serviceaccount:<namespace>:<name>`, both DNS labels or subdomains. */
const SERVICE_ACCOUNT = /^system:serviceaccount:[a-z0-9-]+:[a-z0-9.-]+$/;

const KUBERNETES = {
  algorithms: ["RS256"],
  maxTokenLifetimeSeconds: 86_400,
  // One token serves a pod for hours.
  replay: "off",
  subject: SERVICE_ACCOUNT,
  trusted: ["sub", "kubernetes.io.namespace", "kubernetes.io.serviceaccount.uid"],
  callerChosen: [
    // Of any namespace: whoever owns one can make a service account of that name.
    "kubernetes.io.serviceaccount.name",
    "kubernetes.io.pod.name",
    "kubernetes.io.pod.uid",
    "kubernetes.io.node.name",
    "kubernetes.io.node.uid",
    "jti",
  ],
  advice: "name sub, or kubernetes.io.namespace with kubernetes.io.serviceaccount.name",
} as const satisfies ProviderPreset;

export const PROVIDERS: Readonly<Record<OidcProvider, ProviderPreset>> = {
  // https://docs.github.com/en/actions/reference/security/oidc
  github: {
    algorithms: ["RS256"],
    maxTokenLifetimeSeconds: 3600,
    // A job gets as many tokens as it asks for.
    replay: "once",
    // A repository's administrators can have it made of any claims, `environment:production` among them.
    identifyingSubject: /^(?:repo|repository|repository_id|repository_owner|repository_owner_id):[^*:]/,
    // A workflow of this event runs with the base repository's rights on somebody else's proposal; `ref` is then the base branch.
    implied: [{ claim: "event_name", kind: "none_of", values: ["pull_request", "pull_request_target"] }],
    trusted: [
      "sub",
      "repository_id",
      "repository_owner_id",
      "repository",
      "repository_owner",
      "enterprise",
      "enterprise_id",
    ],
    callerChosen: [
      "repository_visibility",
      "ref",
      "ref_type",
      "ref_protected",
      "head_ref",
      "base_ref",
      "sha",
      "workflow",
      "workflow_ref",
      "workflow_sha",
      // Which reusable workflow runs, not who calls it: any repository may call a public one.
      "job_workflow_ref",
      "job_workflow_sha",
      "environment",
      "environment_node_id",
      "event_name",
      "actor",
      "actor_id",
      "run_id",
      "run_number",
      "run_attempt",
      "runner_environment",
      "jti",
    ],
    advice: "name repository_id or repository_owner_id: numbers are never given out twice, names are",
  },
  // https://docs.gitlab.com/ci/secrets/id_token_authentication/
  gitlab: {
    algorithms: ["RS256"],
    // The token lives as long as the job may run; a day is the longest that is believed.
    maxTokenLifetimeSeconds: 86_400,
    // One token serves the whole job.
    replay: "off",
    trusted: ["sub", "namespace_id", "namespace_path", "project_id", "project_path", "ci_config_ref_uri"],
    callerChosen: [
      // A fork at the same commit has the same.
      "ci_config_sha",
      "project_visibility",
      "ref",
      "ref_type",
      "ref_path",
      "ref_protected",
      "sha",
      "environment",
      "environment_protected",
      "environment_action",
      "deployment_tier",
      "pipeline_id",
      "pipeline_source",
      "job_id",
      "job_source",
      "user_id",
      "user_login",
      "user_email",
      "user_access_level",
      "user_identities",
      "runner_id",
      "runner_environment",
      "jti",
    ],
    advice: "name project_id or namespace_id: in a fork's merge request project_path is the fork's",
  },
  // https://kubernetes.io/docs/reference/access-authn-authz/service-accounts-admin/#bound-service-account-tokens
  kubernetes: KUBERNETES,
  // ACK's own issuer of service-account tokens (RAM Roles for Service Accounts); project one with the broker's audience, since the
  // one that ACK mounts is for STS. https://www.alibabacloud.com/help/en/ack/ack-managed-and-ack-dedicated/user-guide/use-rrsa-to-authorize-pods-to-access-different-cloud-services
  rrsa: KUBERNETES,
  // https://buildkite.com/docs/agent/cli/reference/oidc. Every organization shares the issuer, and a job chooses with --claim
  // which of the optional claims are there, but not their values.
  buildkite: {
    algorithms: ["RS256"],
    maxTokenLifetimeSeconds: 7200,
    // Its tokens have no `jti`: with anything else none would be taken.
    replay: "off",
    subject: /^organization:[^:]+:pipeline:[^:]+:/,
    trusted: ["sub", "organization_id", "organization_slug", "pipeline_id", "cluster_id", "queue_id"],
    callerChosen: [
      // Every organization may have a pipeline of that name.
      "pipeline_slug",
      "cluster_name",
      "queue_key",
      "build_id",
      "build_branch",
      "build_tag",
      "build_commit",
      "build_number",
      "build_source",
      "step_key",
      "job_id",
      "agent_id",
      "runner_environment",
      "jti",
    ],
    optional: [
      ...["organization_id", "pipeline_id", "build_id", "cluster_id", "cluster_name"],
      ...["queue_id", "queue_key", "agent_id"],
    ],
    advice:
      "name organization_id or organization_slug with pipeline_slug, or pipeline_id: every organization shares the issuer",
  },
  // https://circleci.com/docs/openid-connect-tokens/. The issuer is the organization's own; its audience is the organization's id.
  circleci: {
    algorithms: ["RS256"],
    maxTokenLifetimeSeconds: 3600,
    // One token serves the whole job.
    replay: "off",
    subject: /^org\/[0-9a-f-]{36}\/project\//,
    trusted: ["sub", "oidc.circleci.com/project-id", "oidc.circleci.com/org-id", "oidc.circleci.com/context-ids"],
    callerChosen: ["oidc.circleci.com/vcs-origin", "oidc.circleci.com/vcs-ref", "oidc.circleci.com/ssh-rerun", "jti"],
    advice: "name oidc.circleci.com/project-id; a branch (oidc.circleci.com/vcs-ref) only beside it",
  },
  // https://support.atlassian.com/bitbucket-cloud/docs/integrate-pipelines-with-resource-servers-using-oidc/
  bitbucket: {
    algorithms: ["RS256"],
    maxTokenLifetimeSeconds: 3600,
    // One token serves the whole step.
    replay: "off",
    trusted: ["sub", "repositoryUuid", "workspaceUuid"],
    callerChosen: ["branchName", "deploymentEnvironmentUuid", "pipelineUuid", "pipelineRunUuid", "stepUuid", "jti"],
    advice: "name repositoryUuid, braces included",
  },
  // https://learn.microsoft.com/en-us/rest/api/azure/devops/distributedtask/oidctoken/create. Its audience cannot be chosen
  // (api://AzureADTokenExchange), so whoever else receives such a token could present it here: replay stays on.
  "azure-devops": {
    algorithms: ["RS256"],
    maxTokenLifetimeSeconds: 3600,
    // A job gets as many tokens as it asks for.
    replay: "once",
    subject: /^(?:p|sc):\/\//,
    trusted: ["sub", "org_id", "prj_id", "def_id", "rpo_id"],
    callerChosen: ["rpo_ref", "rpo_ver", "rpo_uri", "run_id", "jti"],
    advice: "name prj_id with def_id, or sub",
  },
  // https://plugins.jenkins.io/oidc-provider/. The plugin's claims are templates over a build's environment, which the
  // build's own parameters and branch can shape; only `sub` is the job's URL unless somebody changed it.
  jenkins: {
    algorithms: ["RS256"],
    maxTokenLifetimeSeconds: 3600,
    // Its tokens have no `jti`, and the plugin forbids a template of that name.
    // https://github.com/jenkinsci/oidc-provider-plugin, IdTokenCredentials.java
    replay: "off",
    trusted: ["sub"],
    callerChosen: ["build_number", "branch", "branch_name", "change_id", "jti"],
    advice: "name sub, the job's URL",
  },
  // https://github.com/spiffe/spiffe/blob/main/standards/JWT-SVID.md: short-lived, `typ` may be JOSE, no `jti`.
  spiffe: {
    algorithms: ["RS256", "ES256"],
    maxTokenLifetimeSeconds: 3600,
    replay: "off",
    subject: /^spiffe:\/\/[a-z0-9._-]+(?:\/[A-Za-z0-9._-]+)+$/,
    types: ["JWT", "JOSE"],
    trusted: ["sub"],
    callerChosen: ["jti"],
    advice: "name sub, the SPIFFE ID",
  },
  generic: {
    algorithms: ["RS256"],
    maxTokenLifetimeSeconds: 3600,
    replay: "off",
    trusted: ["sub"],
    callerChosen: [
      ...["ref", "ref_type", "ref_protected", "branch", "environment", "event_name", "workflow", "sha"],
      ...["jti", "nonce", "iat", "exp", "nbf"],
    ],
    advice: "name sub, or another claim that the issuer sets by itself",
  },
};

type Judgement = Pick<
  ProviderPreset,
  "trusted" | "callerChosen" | "optional" | "advice" | "identifyingSubject" | "implied"
>;

/** RAM identities: the session's name is the caller's own choice at AssumeRole. */
const ALIBABA: Judgement = {
  trusted: ["account_id", "arn", "principal_id", "role_name", "user_name"],
  callerChosen: ["session_name", "identity_type"],
  advice: "name account_id with role_name or user_name",
};

/** What is known of the claims of a kind of issuer's callers. */
export function judgementOf(provider: OidcProvider | "alibaba"): Judgement {
  return provider === "alibaba" ? ALIBABA : PROVIDERS[provider];
}

/** Whether the claims of such an issuer are whatever its operator makes them. */
export function hasOpenClaims(provider: OidcProvider | "alibaba"): boolean {
  return provider === "generic" || provider === "jenkins";
}
