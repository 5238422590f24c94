/**
 * Conditions of a grant over a principal's claims: one language with three forms, told apart by the field's name
 * (exact, `any_of`, `glob`), and how a claim's name finds its value. Pure.
 */

export type Condition = {
  /** The claim's name; dots lead into nested objects: `kubernetes.io.namespace`. */
  readonly claim: string;
} & (
  | { readonly kind: "exact"; readonly value: string }
  | { readonly kind: "any_of"; readonly values: readonly string[] }
  | { readonly kind: "glob"; readonly pattern: string }
);

/** Claims as they were signed: parsed JSON of the token's payload. */
export type Claims = Readonly<Record<string, unknown>>;

/** What a claim's name leads to. `unusable` is there, but is no single value that a condition could compare. */
export type ClaimValue =
  | { readonly kind: "value"; readonly text: string }
  | { readonly kind: "absent" }
  | { readonly kind: "unusable"; readonly why: string };

/** Whether the condition holds. An absent or unusable claim never satisfies one. */
export function holds(condition: Condition, claims: Claims): boolean {
  const value = claimValue(claims, condition.claim);
  if (value.kind !== "value") return false;
  switch (condition.kind) {
    case "exact":
      return value.text === condition.value;
    case "any_of":
      return condition.values.includes(value.text);
    case "glob":
      return globMatches(condition.pattern, value.text);
  }
}

/**
 * Finds a claim by its dotted name, own properties only. Names may themselves hold dots (`kubernetes.io`), so each way
 * of splitting is tried; a name that leads to two different places is unusable rather than a guess.
 */
export function claimValue(claims: Claims, name: string): ClaimValue {
  const found = lookUp(claims, name);
  if (found.length === 0) return { kind: "absent" };
  if (found.length > 1) return { kind: "unusable", why: "the name leads to more than one value" };
  const value = found[0];
  if (typeof value === "string") return { kind: "value", text: value };
  if (typeof value === "boolean") return { kind: "value", text: String(value) };
  if (typeof value === "number") {
    // Past 2^53 JSON.parse has already rounded: two different ids could read as the same text.
    return Number.isSafeInteger(value)
      ? { kind: "value", text: String(value) }
      : { kind: "unusable", why: "it is a number that is not a whole number below 2^53" };
  }
  return { kind: "unusable", why: `it is ${Array.isArray(value) ? "a list" : value === null ? "null" : "an object"}` };
}

function lookUp(node: unknown, name: string): unknown[] {
  if (typeof node !== "object" || node === null || Array.isArray(node)) return [];
  const found: unknown[] = [];
  if (Object.hasOwn(node, name)) found.push((node as Claims)[name]);
  for (let dot = name.indexOf("."); dot !== -1; dot = name.indexOf(".", dot + 1)) {
    const head = name.slice(0, dot);
    if (Object.hasOwn(node, head)) found.push(...lookUp((node as Claims)[head], name.slice(dot + 1)));
  }
  return found;
}

/**
 * Whether the whole of `text` matches `pattern`. `*` stands for any characters within one segment: it never crosses
 * `/`, `:` or `@`. Nothing else is special, and case counts.
 */
export function globMatches(pattern: string, text: string): boolean {
  // Greedy match with one point to come back to: linear in pattern × text, no recursion, no regular expression.
  let p = 0;
  let t = 0;
  let starAt = -1;
  let starEnd = 0;
  while (t < text.length) {
    if (p < pattern.length && pattern[p] === "*") {
      starAt = p++;
      starEnd = t;
    } else if (p < pattern.length && pattern[p] === text[t]) {
      p++;
      t++;
    } else if (starAt !== -1 && !isSeparator(text[starEnd] as string)) {
      p = starAt + 1;
      t = ++starEnd;
    } else {
      return false;
    }
  }
  while (p < pattern.length && pattern[p] === "*") p++;
  return p === pattern.length;
}

function isSeparator(character: string): boolean {
  return character === "/" || character === ":" || character === "@";
}

/** The condition in words, as it stands behind "must be …". */
export function describeCondition(condition: Condition): string {
  switch (condition.kind) {
    case "exact":
      return JSON.stringify(condition.value);
    case "any_of":
      return `one of ${condition.values.map((value) => JSON.stringify(value)).join(", ")}`;
    case "glob":
      return `like ${JSON.stringify(condition.pattern)} (* stays within one segment)`;
  }
}
