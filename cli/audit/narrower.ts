/**
 * Of a grant and what was issued under it, the grant that would have done. It gives nothing that the old one did not, and all that
 * the log has of it: a decision rests on the same grants as before. Conditions, limits and lifetime stay. Pure.
 */

import type { Grant } from "../../shared/policy/grant.ts";
import { type Action, canonicalScopes, covers, formatScope, type Scope } from "../../shared/policy/scope.ts";
import { couldCover, type ScopeTemplate } from "../../shared/policy/scope-template.ts";
import { givenText } from "../policy-diff/change.ts";

/** More repositories than these, and the whole namespace stays: a list that long is no policy, and new ones come each week. */
export const MOST_NAMED = 20;

const ACTIONS: readonly Action[] = ["pull", "push"];

type Gives = Pick<Grant, "allow" | "allowFor">;

export interface Usage {
  /** Scopes of a decision that rests on the grant; those that it does not give are others' part in it. */
  add(scopes: readonly Scope[]): void;
  /** What was used of the grant, as its `allow` would be written; templates as they are, with the actions that were used. */
  allow(): string[];
}

export function usage({ allow, allowFor = [] }: Gives): Usage {
  const exact = new Map<string, Scope>();
  /** By namespace and action: the repositories that only a wildcard gives, and no more of them than make it stay. */
  const wild = new Map<string, Set<string>>();
  const templates = new Map<ScopeTemplate, Set<Action>>();

  function addAction(scope: Scope, action: Action): void {
    const giving = allow.filter((pattern) => covers(pattern, scope, action));
    const one = { ...scope, actions: [action] };
    if (giving.some(({ repository }) => repository === scope.repository)) exact.set(formatScope(one), one);
    else if (giving.length > 0) {
      const key = `${scope.namespace}:${action}`;
      const repositories = wild.get(key) ?? new Set();
      if (repositories.size <= MOST_NAMED) repositories.add(scope.repository);
      wild.set(key, repositories);
    }
    // Whose claims it was is not in the log: any that could have given it is left.
    else {
      for (const template of allowFor) {
        if (couldCover(template, scope, action)) {
          templates.set(template, (templates.get(template) ?? new Set()).add(action));
        }
      }
    }
  }

  return {
    add(scopes) {
      for (const scope of scopes) for (const action of scope.actions) addAction(scope, action);
    },
    allow() {
      const found = [...wild].flatMap(([key, repositories]): Scope[] => {
        const [namespace, action] = key.split(":") as [string, Action];
        const names = repositories.size > MOST_NAMED ? ["*"] : [...repositories];
        return names.map((repository) => ({ namespace, repository, actions: [action] }));
      });
      return [
        ...canonicalScopes([...exact.values(), ...found]).map(formatScope),
        ...allowFor.flatMap((template) => {
          const actions = ACTIONS.filter((action) => templates.get(template)?.has(action));
          return actions.length === 0 ? [] : [givenText(template, actions)];
        }),
      ];
    },
  };
}

/** What the grant's `allow` gives, in the same words. */
export function allowOf({ allow, allowFor = [] }: Gives): string[] {
  return [...canonicalScopes(allow).map(formatScope), ...allowFor.map((template) => givenText(template))];
}
