/**
 * Conditions of a grant over a principal's claims: one language whose forms are told apart by the field's name (exact,
 * `any_of`, `glob`, `contains`), and how a claim's name finds its value. Pure.
 */

export type Condition = {
  /** The claim's name; dots lead into nested objects: `kubernetes.io.namespace`. */
  readonly claim: string;
  /** A caller of this issuer decides the claim: that it holds says nothing of who the caller is. */
  readonly callerChosen?: boolean;
} & (
  | { readonly kind: "exact"; readonly value: string }
  | { readonly kind: "any_of"; readonly values: readonly string[] }
  | { readonly kind: "glob"; readonly pattern: string }
  /** The claim is a list, and this is one of its elements. */
  | { readonly kind: "contains"; readonly value: string }
  /** Never written: what an issuer's preset adds to each grant that says nothing of the claim. Holds where it is absent. */
  | { readonly kind: "none_of"; readonly values: readonly string[] }
);

/** Claims as they were signed: parsed JSON of the token's payload. */
export type Claims = Readonly<Record<string, unknown>>;

/** What a claim's name leads to. `unusable` is there, but is no single value that a condition could compare. */
export type ClaimValue =
  | { readonly kind: "value"; readonly text: string }
  | { readonly kind: "list"; readonly texts: readonly string[] }
  | { readonly kind: "absent" }
  | { readonly kind: "unusable"; readonly why: string };

/** Whether the condition holds. An absent or unusable claim satisfies none that is written. */
export function holds(condition: Condition, claims: Claims): boolean {
  return holdsFor(condition, claimValue(claims, condition.claim));
}

/** Whether it holds for this value of its claim. */
export function holdsFor(condition: Condition, value: ClaimValue): boolean {
  switch (condition.kind) {
    case "exact":
      return value.kind === "value" && value.text === condition.value;
    case "any_of":
      return value.kind === "value" && condition.values.includes(value.text);
    case "glob":
      return value.kind === "value" && globMatches(condition.pattern, value.text);
    case "contains":
      return value.kind === "list" && value.texts.includes(condition.value);
    case "none_of":
      return value.kind === "absent" || (value.kind === "value" && !condition.values.includes(value.text));
  }
}

/** Whether the condition certainly does not hold: what cannot be compared may. For denials, which must not fail open. */
export function fails(condition: Condition, claims: Claims): boolean {
  const value = claimValue(claims, condition.claim);
  const comparable = condition.kind === "contains" ? "list" : "value";
  return (value.kind === "absent" || value.kind === comparable) && !holds(condition, claims);
}

/**
 * Finds a claim by its dotted name, own properties only. Names may themselves hold dots (`kubernetes.io`), so each way
 * of splitting is tried; a name that leads to two different places is unusable rather than a guess.
 */
export function claimValue(claims: Claims, name: string): ClaimValue {
  const found = lookUp(claims, name);
  if (found.length === 0) return { kind: "absent" };
  if (found.length > 1) return { kind: "unusable", why: "the name leads to more than one value" };
  const [value] = found;
  if (!Array.isArray(value)) return single(value);
  const elements = value.map(single);
  const texts = elements.flatMap((element) => (element.kind === "value" ? [element.text] : []));
  return texts.length === elements.length
    ? { kind: "list", texts }
    : { kind: "unusable", why: "it is a list of more than texts and numbers" };
}

function single(value: unknown): ClaimValue {
  if (typeof value === "string") return { kind: "value", text: value };
  if (typeof value === "boolean") return { kind: "value", text: String(value) };
  if (typeof value === "number") {
    // Past 2^53 JSON.parse has already rounded: two different ids could read as the same text.
    return Number.isSafeInteger(value)
      ? { kind: "value", text: String(value) }
      : { kind: "unusable", why: "it is a number that is not a whole number below 2^53" };
  }
  return { kind: "unusable", why: `it is ${value === null ? "null" : "an object"}` };
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
    if (pattern[p] === "*") {
      starAt = p++;
      starEnd = t;
    } else if (pattern[p] === text[t]) {
      p++;
      t++;
    } else if (starAt !== -1 && !isSeparator(text[starEnd] as string)) {
      p = starAt + 1;
      t = ++starEnd;
    } else {
      return false;
    }
  }
  while (pattern[p] === "*") p++;
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
    case "contains":
      return `a list with ${JSON.stringify(condition.value)} in it`;
    case "none_of":
      return `none of ${condition.values.map((value) => JSON.stringify(value)).join(", ")}, unless the grant has a condition on it`;
  }
}
