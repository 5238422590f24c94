/** What a reviewer should see of the claims that a policy names: those that no token has, and names where there is an id. */

import { hasOpenClaims, judgementOf, PROVIDERS } from "../identity/providers.ts";
import { nearName } from "../near-name.ts";
import { quote } from "../policy/scope.ts";
import { variablesOf } from "../policy/scope-template.ts";
import { pathText } from "./check.ts";
import type { BrokerConfig, Issuer, OidcProvider } from "./config.ts";
import { idOf } from "./ids.ts";
import type { Found, Rule } from "./lint-findings.ts";
import { conditioned, type Placed, textsOf } from "./written-conditions.ts";

type Provider = OidcProvider | "alibaba";

/** RFC 7519, section 4.1. */
const REGISTERED = ["iss", "sub", "aud", "exp", "nbf", "iat", "jti"];

/** Those of no weight either way, which the presets leave out: none to stand on, none to warn of. */
const UNJUDGED: Readonly<Partial<Record<Provider, readonly string[]>>> = {
  github: ["check_run_id", "issuer_scope"],
  gitlab: [
    ...["groups_direct", "job_project_id", "job_project_path", "job_namespace_id", "job_namespace_path"],
    ...["pipeline_ref", "ci_config_ref_sha", "environment_type", "target_audience"],
  ],
  kubernetes: ["kubernetes.io.warnafter", "kubernetes.io.secret.name", "kubernetes.io.secret.uid"],
  rrsa: ["kubernetes.io.warnafter", "kubernetes.io.secret.name", "kubernetes.io.secret.uid"],
  circleci: ["oidc.circleci.com/job-id", "oidc.circleci.com/pipeline-definition-id", "oidc.circleci.com/user-id"],
  bitbucket: ["stepRunUuid"],
  alibaba: ["account_id", "arn", "principal_id", "role_name", "user_name"],
};

/** Claims of which there is one for each of the operator's own names. */
const OPEN_ENDED: Readonly<Partial<Record<Provider, RegExp>>> = {
  github: /^repo_property_/,
  buildkite: /^agent_tag:/,
};

export const claimRules: Readonly<Record<string, Rule>> = {
  "claim-unknown": (config) => [
    ...conditioned(config).flatMap(({ section, conditions }) =>
      conditions.flatMap(({ path, condition, issuer }): Found[] => {
        const hint = unknownClaim(condition.claim, issuer);
        if (hint === undefined) return [];
        const effect = section === "grants" ? "the grant gives nobody anything" : "the denial denies nothing";
        return [
          { severity: "warning", path, part: "key", message: `${pathText(path)}: ${hint}; without it ${effect}` },
        ];
      }),
    ),
    ...unknownVariables(config),
  ],
  "name-not-id": (config) =>
    conditioned(config).flatMap(({ section, conditions }) => (section === "grants" ? restsOnNames(conditions) : [])),
};

function unknownVariables({ grants, issuers }: BrokerConfig): Found[] {
  return grants.flatMap(({ name, holder, allowFor = [] }) => {
    const issuer = "issuer" in holder ? issuers.get(holder.issuer) : undefined;
    if (issuer === undefined) return [];
    return allowFor.flatMap((template) =>
      Object.values(variablesOf(template)).flatMap((claim): Found[] => {
        const hint = unknownClaim(claim, issuer);
        const path = ["grants", name, "allow"];
        const message = `${pathText(path)}: in ${template.text} ${hint}; without it the scope is given to nobody`;
        return hint === undefined ? [] : [{ severity: "warning", path, part: "value", message }];
      }),
    );
  });
}

/** What to say of a claim that tokens of the issuer do not have; nothing where they may. */
function unknownClaim(claim: string, { name, provider }: Issuer): string | undefined {
  if (hasOpenClaims(provider) || OPEN_ENDED[provider]?.test(claim)) return undefined;
  const known = claimsOf(provider);
  if (known.includes(claim)) return undefined;
  const near = nearClaim(claim, known);
  const others = (Object.keys(PROVIDERS) as OidcProvider[]).filter(
    (other) => !hasOpenClaims(other) && claimsOf(other).includes(claim),
  );
  const instead =
    near !== undefined
      ? `did you mean ${near}?`
      : others.length > 0
        ? `it is one of ${others.join(", ")}`
        : judgementOf(provider).advice;
  return `${quote(claim)} is no claim that is known of the tokens of ${name} (${provider}): ${instead}`;
}

function claimsOf(provider: Provider): readonly string[] {
  // A signed identity is no token, and has none of a token's own claims.
  const others = provider === "alibaba" ? [] : [...PROVIDERS[provider].trusted, ...REGISTERED];
  return [...others, ...judgementOf(provider).callerChosen, ...(UNJUDGED[provider] ?? [])];
}

/** Written otherwise (`projectId`, `kubernetes.io/namespace`), cut at its front (`namespace`), or with a slip of the finger. */
function nearClaim(wrong: string, known: readonly string[]): string | undefined {
  const plain = (claim: string) => claim.toLowerCase().replace(/[^a-z0-9]/g, "");
  return (
    known.find((claim) => plain(claim) === plain(wrong)) ??
    known.find((claim) => claim.endsWith(`.${wrong}`) || claim.endsWith(`/${wrong}`)) ??
    nearName(wrong, known)
  );
}

/** A grant for callers of a public issuer that none of its conditions holds to an id. */
function restsOnNames(conditions: readonly Placed[]): Found[] {
  const weighing = conditions.filter(({ condition }) => condition.callerChosen !== true);
  const ids = weighing.map(({ condition, issuer }) =>
    idOf(
      issuer,
      condition.claim,
      textsOf(condition).map(({ text }) => text),
    ),
  );
  const first = ids.findIndex((id) => typeof id === "object");
  const id = ids[first];
  // What is neither a name nor an id is not judged.
  if (ids.includes("is one") || typeof id !== "object") return [];
  const path = (weighing[first] as Placed).path;
  const message = `${pathText(path)}: is a name, and a name that becomes free can be taken by somebody else; name ${id.claim} beside it (${id.how})`;
  return [{ severity: "warning", path, part: "key", message }];
}
