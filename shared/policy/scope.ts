/**
 * Docker distribution scopes: parsing, canonical form, and "is this one covered by that one".
 * Knows nothing of who asks or of RAM.
 *
 * Grammar: https://distribution.github.io/distribution/spec/auth/scope/, narrowed to what ACR Enterprise Edition has:
 * `repository:<namespace>/<repository>:<actions>`, always two levels, actions `pull`, `push` or both. The repository
 * may be `*`, alone, for the whole namespace.
 */

export type Action = "pull" | "push";

/** Canonical order of the actions; also the order in which they are printed. */
const ACTIONS: readonly Action[] = ["pull", "push"];

export interface Scope {
  readonly namespace: string;
  /** One repository of the namespace, or `*`: all of them. */
  readonly repository: string;
  /** Never empty, no duplicates, in canonical order. */
  readonly actions: readonly Action[];
}

export type ScopeResult = { readonly scope: Scope } | { readonly problem: string };

/** `path-component` of the distribution reference grammar; has no `*`, `?`, `$`, `{` or `}` in it. */
const COMPONENT = /^[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*$/;

/** 255: the longest repository name of the distribution reference grammar, both levels and the slash. */
const LONGEST_NAME = 255;

/** One level of a repository's name: lower-case letters, digits, and `.`, `_`, `__` or `-` between them. */
export function isNameComponent(text: string): boolean {
  return text.length <= LONGEST_NAME && COMPONENT.test(text);
}

/** Parses one scope; a problem says what to write instead. Never throws. */
export function parseScope(text: string): ScopeResult {
  const shown = quote(text);
  const parts = text.split(":");
  if (text === "pull" || text === "push") {
    return { problem: `${shown} is the end of a scope that was cut at its comma; write the whole scope in quotes` };
  }
  if (text.includes(",repository:")) {
    return { problem: `${shown} is several scopes; write spaces between them, and commas between actions only` };
  }
  const [, , tag = "", last = ""] = parts;
  if (parts.length === 4 && isAction(last.split(",")[0]) && !isAction(tag) && /^\w[\w.-]*$/.test(tag)) {
    return { problem: `${shown} names the tag ${quote(tag)}; leave it out: a scope is for all of a repository` };
  }
  if (parts.length !== 3) {
    return { problem: `${shown} is not a scope; write repository:<namespace>/<repository>:<pull|push|pull,push>` };
  }
  const [type, name, actionList] = parts as [string, string, string];
  if (type !== "repository") {
    return { problem: `${shown} begins with ${quote(type)}; only "repository:" scopes exist here` };
  }
  const levels = name.split("/");
  const [first] = levels as [string];
  if (levels.length === 3 && (first.startsWith("cri-") || HOST.test(first))) {
    const what = first.startsWith("cri-") ? "instance" : "registry's host";
    return { problem: `${shown} names the ${what}; leave it out: repository:${levels[1]}/${levels[2]}:${actionList}` };
  }
  if (levels.length !== 2) {
    return {
      problem: `${shown} must name exactly two levels, <namespace>/<repository>: ACR Enterprise Edition has no others`,
    };
  }
  const [namespace, repository] = levels as [string, string];
  if (name.length > LONGEST_NAME) return { problem: `${shown} has a name of over ${LONGEST_NAME} characters` };
  if (namespace.includes("*"))
    return { problem: `${shown} has a "*" in its namespace; a namespace must be written out` };
  if (repository.includes("*") && repository !== "*") {
    return { problem: `${shown} has a "*" inside its repository; it may only stand alone, as <namespace>/*` };
  }
  for (const level of repository === "*" ? [namespace] : levels) {
    if (!isNameComponent(level)) {
      return {
        problem: `${shown} has ${quote(level)} in its name; each level is lower-case letters and digits with . _ __ or - between them`,
      };
    }
  }
  const actions = actionList.split(",");
  for (const [index, action] of actions.entries()) {
    if (!isAction(action)) {
      return { problem: `${shown} asks for ${quote(action)}; the actions are pull, push and pull,push` };
    }
    if (actions.indexOf(action) !== index) return { problem: `${shown} names ${action} twice` };
  }
  return { scope: { namespace, repository, actions: ACTIONS.filter((action) => actions.includes(action)) } };
}

/** What stands in front of an image's name, and is copied with it: `acme-registry.cn-hangzhou.cr.aliyuncs.com`. */
const HOST = /^[a-z0-9-]+(?:\.[a-z0-9-]+){2,}$/i;

function isAction(text: string | undefined): boolean {
  return (ACTIONS as readonly (string | undefined)[]).includes(text);
}

/** The canonical text of a scope. */
export function formatScope(scope: Scope): string {
  return `repository:${scope.namespace}/${scope.repository}:${scope.actions.join(",")}`;
}

/**
 * The canonical form of a set of scopes: one scope a repository, actions merged, what a whole namespace already covers
 * left out, sorted by name. Two requests for the same rights have the same canonical form.
 */
export function canonicalScopes(scopes: readonly Scope[]): Scope[] {
  const actionsOf = new Map<string, Set<Action>>();
  for (const { namespace, repository, actions } of scopes) {
    const name = `${namespace}/${repository}`;
    const known = actionsOf.get(name) ?? new Set();
    for (const action of actions) known.add(action);
    actionsOf.set(name, known);
  }
  const canonical: Scope[] = [];
  for (const name of [...actionsOf.keys()].sort()) {
    const [namespace, repository] = name.split("/") as [string, string];
    const wholeNamespace = repository === "*" ? undefined : actionsOf.get(`${namespace}/*`);
    const actions = ACTIONS.filter((action) => actionsOf.get(name)?.has(action) && !wholeNamespace?.has(action));
    if (actions.length > 0) canonical.push({ namespace, repository, actions });
  }
  return canonical;
}

/** Whether `pattern` gives `action` on all that `scope` names. A whole namespace is covered only by a whole namespace. */
export function covers(pattern: Scope, scope: Scope, action: Action): boolean {
  return (
    pattern.namespace === scope.namespace &&
    (pattern.repository === "*" || pattern.repository === scope.repository) &&
    pattern.actions.includes(action)
  );
}

/** Whether the two have an action on a repository in common. */
export function overlaps(a: Scope, b: Scope): boolean {
  return (
    a.namespace === b.namespace &&
    (a.repository === "*" || b.repository === "*" || a.repository === b.repository) &&
    a.actions.some((action) => b.actions.includes(action))
  );
}

/** A caller's text as it may stand in a message: JSON-quoted, so control characters show, and cut at 100 characters. */
export function quote(text: string): string {
  return JSON.stringify(text.length > 100 ? `${text.slice(0, 100)}…` : text);
}
