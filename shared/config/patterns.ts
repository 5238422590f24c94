/**
 * What can be said of patterns without any value at hand: which takes in which, whether two have a value in common, and what
 * else one admits. The matching itself is globMatches; what is said here is what it would do.
 */

import { globMatches } from "../policy/condition.ts";

/** Whether each value that `narrow` admits is one that `wide` admits. Either may be a plain value. */
export function isWithin(narrow: string, wide: string): boolean {
  // No value may be assumed for a * of `narrow`, so only a * of `wide` may take it in: exactly what matching its text says.
  return globMatches(wide, narrow);
}

/** Ends a form: whatever comes behind, separators too. Never written in a policy, where ** is refused. */
const ANYTHING = "**";

/** Whether some value is admitted by both: a pattern or plain value, and a form, which may end in `**`. */
export function canMeet(pattern: string, form: string): boolean {
  const isOpen = form.endsWith(ANYTHING);
  const fixed = isOpen ? form.slice(0, -ANYTHING.length) : form;
  // reached[j]: the part of `pattern` so far, and fixed[0, j), have a value in common.
  let reached = skippingStars(fixed, [0]);
  for (const character of pattern) {
    if (isOpen && reached.has(fixed.length)) return true;
    const next = new Set<number>();
    for (const j of reached) {
      const other = fixed[j];
      if (character === "*") {
        next.add(j);
        // The * takes in what is no separator.
        for (let end = j; end < fixed.length && !isSeparator(fixed[end] as string); end++) next.add(end + 1);
      } else if (other === "*" && !isSeparator(character)) next.add(j);
      else if (other === character) next.add(j + 1);
    }
    reached = skippingStars(fixed, next);
  }
  return reached.has(fixed.length);
}

/** A * may stand for nothing. */
function skippingStars(form: string, places: Iterable<number>): Set<number> {
  const all = new Set<number>();
  for (let place of places) {
    all.add(place);
    while (form[place] === "*") all.add(++place);
  }
  return all;
}

function isSeparator(character: string): boolean {
  return character === "/" || character === ":" || character === "@";
}

/** Three values, or fewer, that a pattern admits beside those that were thought of: shorter, longer, with a hyphen. */
export function strangersOf(pattern: string): string[] {
  const pieces = pattern.split("*");
  const values = [0, 1, 2].map((which) =>
    pieces.reduce((before, after) => before + (fillings(before.at(-1), after[0])[which] as string) + after),
  );
  return [...new Set(values)].filter((value) => value !== pattern && globMatches(pattern, value));
}

/** What could stand between these two characters and read like a name. */
function fillings(before: string | undefined, after: string | undefined): readonly [string, string, string] {
  const isEnd = (character: string | undefined) => character === undefined || isSeparator(character);
  if (isEnd(before) && isEnd(after)) return ["test", "old", "not-yours"];
  if (isEnd(before)) return /\w/.test(after as string) ? ["", "not", "not-"] : ["", "not", "not-your"];
  return /\w/.test(before as string) ? ["", "2-test", "-not-yours"] : ["", "eu", "not-yours"];
}
