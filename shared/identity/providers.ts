/**
 * Presets: what is known of each kind of OpenID Connect issuer. Defaults for its tokens, and which of its claims a grant
 * may rest on. `trusted`: set by the issuer from facts a caller cannot choose. `callerChosen`: whoever can start a job,
 * open a pull request or name a thing decides them; fit to narrow a grant, never to carry it alone.
 * Everything else of that issuer is neither vouched for nor warned of.
 */

import type { JwsAlgorithm, OidcIssuer, OidcProvider } from "../config/config.ts";

export interface ProviderPreset {
  readonly algorithms: readonly JwsAlgorithm[];
  readonly maxTokenLifetimeSeconds: number;
  /** Where the configuration says nothing of `replay`. */
  readonly replay: OidcIssuer["replay"];
  readonly trusted: readonly string[];
  readonly callerChosen: readonly string[];
  /** What a good grant for it names; shown where one names nothing that can be trusted. */
  readonly advice: string;
}

export const PROVIDERS: Readonly<Record<OidcProvider, ProviderPreset>> = {
  // https://docs.github.com/en/actions/reference/security/oidc
  github: {
    algorithms: ["RS256"],
    maxTokenLifetimeSeconds: 3600,
    // A job gets as many tokens as it asks for.
    replay: "once",
    trusted: [
      "sub",
      "repository_id",
      "repository_owner_id",
      "repository",
      "repository_owner",
      "job_workflow_ref",
      "job_workflow_sha",
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
    trusted: [
      "sub",
      "namespace_id",
      "namespace_path",
      "project_id",
      "project_path",
      "ci_config_ref_uri",
      "ci_config_sha",
    ],
    callerChosen: [
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
      "project_visibility",
      "jti",
    ],
    advice: "name project_id or namespace_id: in a fork's merge request project_path is the fork's",
  },
  // https://kubernetes.io/docs/reference/access-authn-authz/service-accounts-admin/#bound-service-account-tokens
  kubernetes: {
    algorithms: ["RS256"],
    maxTokenLifetimeSeconds: 86_400,
    // One token serves a pod for hours.
    replay: "off",
    trusted: [
      "sub",
      "kubernetes.io.namespace",
      "kubernetes.io.serviceaccount.name",
      "kubernetes.io.serviceaccount.uid",
    ],
    callerChosen: [
      "kubernetes.io.pod.name",
      "kubernetes.io.pod.uid",
      "kubernetes.io.node.name",
      "kubernetes.io.node.uid",
      "jti",
    ],
    advice: "name sub, or kubernetes.io.namespace with kubernetes.io.serviceaccount.name",
  },
  generic: {
    algorithms: ["RS256"],
    maxTokenLifetimeSeconds: 3600,
    replay: "off",
    trusted: ["sub"],
    callerChosen: ["jti", "nonce", "iat", "exp", "nbf"],
    advice: "name sub, or another claim that the issuer sets by itself",
  },
};
