/**
 * Conditions that no token of their issuer satisfies: a value in another form than the issuer's, or two that contradict each
 * other. Only what is certain is said; a value of a form that is not known is left alone.
 */

import { acceptedIss } from "../identity/issuer-template.ts";
import { quote } from "../policy/scope.ts";
import { variablesOf } from "../policy/scope-template.ts";
import { pathText } from "./check.ts";
import type { BrokerConfig, Issuer, OidcProvider } from "./config.ts";
import type { Found, Rule } from "./lint-findings.ts";
import { canMeet } from "./patterns.ts";
import { type Conditioned, conditioned, type Placed, textsOf } from "./written-conditions.ts";

/** The forms that a claim's value can have (the last `**`: whatever follows), and what to write. */
interface Form {
  readonly forms: readonly string[];
  readonly write: string;
}

const BOOLEAN: Form = { forms: ["true", "false"], write: '"true" or "false"' };
const REF_TYPE: Form = { forms: ["branch", "tag"], write: "branch or tag" };
const GITHUB_REF: Form = {
  forms: ["refs/heads/**", "refs/tags/**", "refs/pull/**"],
  write: "the whole ref, as in refs/heads/main or refs/tags/v1",
};
const OWNED: Form = { forms: ["*/*"], write: "owner and name, as in acme/web" };
const WORKFLOW: Form = {
  forms: ["*/*/**"],
  write: "the file's path, as in acme/web/.github/workflows/ci.yml@refs/heads/main",
};
const SERVICE_ACCOUNT: Form = {
  forms: ["system:serviceaccount:*:*"],
  write: "system:serviceaccount:<namespace>:<name>",
};

const FORMS: Readonly<Partial<Record<OidcProvider, Readonly<Record<string, Form>>>>> = {
  github: {
    ref: GITHUB_REF,
    ref_type: REF_TYPE,
    ref_protected: BOOLEAN,
    repository: OWNED,
    workflow_ref: WORKFLOW,
    job_workflow_ref: WORKFLOW,
    repository_visibility: { forms: ["public", "private", "internal"], write: "public, private or internal" },
    runner_environment: { forms: ["github-hosted", "self-hosted"], write: "github-hosted or self-hosted" },
  },
  gitlab: {
    ref_type: REF_TYPE,
    ref_protected: BOOLEAN,
    environment_protected: BOOLEAN,
    ref_path: GITHUB_REF,
    project_path: { forms: ["*/**"], write: "group and project, as in acme/web" },
  },
  kubernetes: { sub: SERVICE_ACCOUNT },
  rrsa: { sub: SERVICE_ACCOUNT },
  buildkite: {
    sub: { forms: ["organization:*:pipeline:*:**"], write: "organization:<slug>:pipeline:<slug>:ref:…" },
  },
  circleci: { sub: { forms: ["org/*/project/**"], write: "org/<id>/project/<id>/user/<id>" } },
  "azure-devops": { sub: { forms: ["p://**", "sc://**"], write: "p://<organization>/<project>/<pipeline>" } },
  spiffe: { sub: { forms: ["spiffe://*/**"], write: "spiffe://<trust domain>/<path>" } },
};

/** Claims that are lists, of whose elements a condition names one. */
const LISTS: Readonly<Partial<Record<OidcProvider, readonly string[]>>> = {
  circleci: ["oidc.circleci.com/context-ids"],
  gitlab: ["groups_direct"],
};

/** A claim whose value is made of others': each in its place, any value where nothing is said of it. */
interface Composed {
  readonly claim: string;
  readonly of: readonly string[];
  readonly form: (parts: readonly string[]) => string;
}

const serviceAccount: Composed = {
  claim: "sub",
  of: ["kubernetes.io.namespace", "kubernetes.io.serviceaccount.name"],
  form: ([namespace, name]) => `system:serviceaccount:${namespace}:${name}`,
};
const COMPOSED: Readonly<Partial<Record<OidcProvider, readonly Composed[]>>> = {
  kubernetes: [serviceAccount],
  rrsa: [serviceAccount],
  github: [
    { claim: "repository", of: ["repository_owner"], form: ([owner]) => `${owner}/*` },
    // That of a pull request (refs/pull/…) is of type branch.
    { claim: "ref", of: ["ref_type"], form: ([type]) => (type === "tag" ? "refs/tags/**" : "refs/**") },
  ],
  gitlab: [
    // The namespace may be nested: its separators are those of the path.
    { claim: "project_path", of: ["namespace_path"], form: ([path]) => (path === "*" ? "*/**" : `${path}/*`) },
  ],
};

export const deadRules: Readonly<Record<string, Rule>> = {
  "grant-never-matches": (config) =>
    conditioned(config)
      .flatMap((one) => [...one.conditions.flatMap((placed) => ofAnotherForm(placed)), ...contradictions(one)])
      .concat(neverNames(config)),
  "denial-of-nobody": (config) => conditioned(config).flatMap(({ conditions }) => conditions.flatMap(ofNoMember)),
};

/** Variables whose claim always has a separator in it, which no part of a name may have. */
function neverNames({ grants, issuers }: BrokerConfig): Found[] {
  return grants.flatMap(({ name, holder, allowFor = [] }) => {
    const issuer = "issuer" in holder ? issuers.get(holder.issuer) : undefined;
    if (issuer === undefined) return [];
    const forms = formsOf(issuer);
    return allowFor.flatMap((template) =>
      Object.values(variablesOf(template)).flatMap((claim) => {
        const form = Object.hasOwn(forms, claim) ? forms[claim] : undefined;
        if (form === undefined || !form.forms.every((one) => /[/:]/.test(one))) return [];
        const message = `in ${template.text} the claim ${claim} always has a / or : in it, which no part of a name may have, so the scope is given to nobody; take a claim that is one name, or write the scopes out`;
        return [found(["grants", name, "allow"], [], message)];
      }),
    );
  });
}

function ofAnotherForm({ path, condition, issuer }: Placed): Found[] {
  const { claim } = condition;
  if (claim === "iss" || claim === "aud") return ofAnotherIssuer({ path, condition, issuer });
  const forms = formsOf(issuer);
  if (condition.kind === "contains") {
    if (!Object.hasOwn(forms, claim)) return [];
    return [found(path, ["contains"], `${claim} is no list in the tokens of ${issuer.name}; write the value itself`)];
  }
  if (issuer.provider !== "alibaba" && LISTS[issuer.provider]?.includes(claim)) {
    return [found(path, [], `${claim} is a list in the tokens of ${issuer.name}; write { contains: … }`)];
  }
  return textsOf(condition).flatMap(({ below, text }) => {
    const write = wrongForm(issuer, forms, claim, text);
    if (write === undefined) return [];
    return [found(path, below, `no token of ${issuer.name} has such a ${claim}, ${quote(text)}; write ${write}`)];
  });
}

/** `iss` and `aud` are known to the letter, or no token is taken. Of a template's issuers see `ofNoMember`. */
function ofAnotherIssuer({ path, condition, issuer }: Placed): Found[] {
  const { claim } = condition;
  if (issuer.provider === "alibaba" || (claim === "iss" && "accepted" in issuer)) return [];
  const only = claim === "iss" ? acceptedIss(issuer).join() : issuer.audience;
  return textsOf(condition).flatMap(({ below, text }) =>
    canMeet(text, only)
      ? []
      : [
          found(
            path,
            below,
            `no token that is taken of ${issuer.name} has such an ${claim}, ${quote(text)}; write ${quote(only)}`,
          ),
        ],
  );
}

/** Whom no grant names is not believed anyway: a slip of the pen, or meant for a grant to come. */
function ofNoMember({ path, condition, issuer }: Placed): Found[] {
  if (condition.claim !== "iss" || path[0] !== "denials" || !("accepted" in issuer)) return [];
  return textsOf(condition).flatMap(({ below, text }) =>
    issuer.accepted.includes(text)
      ? []
      : [
          found(
            path,
            below,
            `no grant of ${issuer.name} names ${quote(text)}, and so far nobody is denied anything by it`,
          ),
        ],
  );
}

function wrongForm(
  issuer: Issuer,
  forms: Readonly<Record<string, Form>>,
  claim: string,
  text: string,
): string | undefined {
  if (issuer.provider === "gitlab" && claim === "ref" && text.startsWith("refs/")) {
    return "it without refs/heads/ or refs/tags/, and ref_type beside it";
  }
  const form = Object.hasOwn(forms, claim) ? forms[claim] : undefined;
  return form === undefined || form.forms.some((one) => canMeet(text, one)) ? undefined : form.write;
}

function formsOf(issuer: Issuer): Readonly<Record<string, Form>> {
  if (issuer.provider !== "alibaba") return FORMS[issuer.provider] ?? {};
  return {
    account_id: { forms: issuer.accounts, write: `one of the issuer's accounts, ${issuer.accounts.join(", ")}` },
  };
}

/** Conditions on a claim and on its parts that cannot hold together. */
function contradictions({ issuer, conditions }: Conditioned): Found[] {
  const composed = issuer.provider === "alibaba" ? [] : (COMPOSED[issuer.provider] ?? []);
  const textsFor = (claim: string) => {
    const condition = conditions.find((one) => one.condition.claim === claim)?.condition;
    return condition === undefined || condition.kind === "contains"
      ? undefined
      : textsOf(condition).map(({ text }) => text);
  };
  return composed.flatMap(({ claim, of, form }) => {
    const whole = conditions.find((one) => one.condition.claim === claim);
    const texts = textsFor(claim);
    const named = of.filter((part) => textsFor(part) !== undefined);
    if (whole === undefined || texts === undefined || named.length === 0) return [];
    const possible = combinations(of.map((part) => textsFor(part) ?? ["*"])).map(form);
    if (possible.length > MOST_COMBINATIONS) return [];
    if (texts.some((text) => possible.some((one) => canMeet(text, one)))) return [];
    return [
      found(whole.path, [], `contradicts ${named.join(" and ")}: no caller has both; make them agree, or take one out`),
    ];
  });
}

/** Beyond that nobody wrote it by hand, and nothing is said of it. */
const MOST_COMBINATIONS = 1000;

function combinations(choices: readonly (readonly string[])[]): string[][] {
  let all: string[][] = [[]];
  for (const texts of choices) {
    all = all.flatMap((parts) => texts.map((text) => [...parts, text]));
    if (all.length > MOST_COMBINATIONS) break;
  }
  return all;
}

function found(path: Found["path"], below: Found["path"], message: string): Found {
  const place = [...path, ...below];
  return { severity: "warning", path: place, part: "value", message: `${pathText(place)}: ${message}` };
}
