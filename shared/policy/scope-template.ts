/**
 * Scopes of a grant with a claim's value in them, so that one grant serves a thousand teams: `repository:${team}/*:pull`.
 * A value fills one place of one level and nothing more: it can bring no wildcard, no slash and no separator at its ends, so
 * it never reaches another team's names.
 */

import { type Claims, claimValue } from "./condition.ts";
import { type Action, isNameComponent, parseScope, quote, type Scope } from "./scope.ts";

export interface ScopeTemplate {
  /** As it was written. */
  readonly text: string;
  readonly namespace: NamePart;
  readonly repository: NamePart;
  readonly actions: readonly Action[];
}

/** One level of a name: written out, or with one claim's value in it. */
type NamePart = string | { readonly prefix: string; readonly claim: string; readonly suffix: string };

/** Claims' names as issuers have them: dots, slashes and hyphens too (`oidc.circleci.com/project-id`). */
const VARIABLE = /\$\{([A-Za-z0-9_./-]+)\}/g;

export function isScopeTemplate(text: string): boolean {
  return /[${}]/.test(text);
}

/** Parses a scope with variables; a problem says what to write instead. Never throws. */
export function parseScopeTemplate(text: string): { readonly template: ScopeTemplate } | { readonly problem: string } {
  const claims: string[] = [];
  // A variable's name may hold what separates the parts of a scope; a mark that no name can hold stands in for it.
  const marked = text.replaceAll(VARIABLE, (_, claim: string) => `\u0000${claims.push(claim) - 1}\u0000`);
  if (/[${}]/.test(marked))
    return { problem: `${quote(text)} has a $ or a brace in it; a claim's value is written \${claim}` };
  // biome-ignore lint/suspicious/noControlCharactersInRegex: NUL is the mark.
  const sample = parseScope(marked.replaceAll(/\u0000\d+\u0000/g, "x"));
  if ("problem" in sample) return { problem: `${quote(text)}, with x for each variable: ${sample.problem}` };
  const [namespace, repository] = (marked.split(":")[1] as string).split("/").map((level) => namePart(level, claims));
  for (const part of [namespace, repository]) {
    if (part === undefined) {
      return {
        problem: `${quote(text)} must have one variable a level at most, with one of . _ - between it and what stands beside it`,
      };
    }
  }
  return {
    template: {
      text,
      namespace: namespace as NamePart,
      repository: repository as NamePart,
      actions: sample.scope.actions,
    },
  };
}

function namePart(level: string, claims: readonly string[]): NamePart | undefined {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: NUL is the mark.
  const [prefix, index, suffix, ...more] = level.split(/\u0000(\d+)\u0000/) as [string, string?, string?, ...string[]];
  if (index === undefined || suffix === undefined) return level;
  // `team${x}` with x = "2" would be somebody's `team2`.
  const isApart = /(?:^|[._-])$/.test(prefix) && /^(?:$|[._-])/.test(suffix);
  return more.length === 0 && isApart ? { prefix, claim: claims[Number(index)] as string, suffix } : undefined;
}

/** The claims whose values go into the namespace, and into the repository. */
export function variablesOf({ namespace, repository }: ScopeTemplate): { namespace?: string; repository?: string } {
  return {
    ...(typeof namespace === "string" ? {} : { namespace: namespace.claim }),
    ...(typeof repository === "string" ? {} : { repository: repository.claim }),
  };
}

/** The scope for these claims; undefined where one is absent or its value is not fit to be part of a name. */
export function instantiate({ namespace, repository, actions }: ScopeTemplate, claims: Claims): Scope | undefined {
  const names = [fill(namespace, claims), fill(repository, claims)];
  const [first, second] = names;
  return first === undefined || second === undefined ? undefined : { namespace: first, repository: second, actions };
}

/** Whether some caller's claims make it a scope that covers this one. */
export function couldCover({ namespace, repository, actions }: ScopeTemplate, scope: Scope, action: Action): boolean {
  return (
    couldBe(namespace, scope.namespace) &&
    (repository === "*" || couldBe(repository, scope.repository)) &&
    actions.includes(action)
  );
}

function couldBe(part: NamePart, name: string): boolean {
  if (typeof part === "string") return part === name;
  const { prefix, suffix } = part;
  const value = name.slice(prefix.length, name.length - suffix.length);
  return name === prefix + value + suffix && isNameComponent(value);
}

function fill(part: NamePart, claims: Claims): string | undefined {
  if (typeof part === "string") return part;
  const value = claimValue(claims, part.claim);
  if (value.kind !== "value" || !isNameComponent(value.text)) return undefined;
  const name = part.prefix + value.text + part.suffix;
  return isNameComponent(name) ? name : undefined;
}
