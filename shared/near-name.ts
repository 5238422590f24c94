/** The name that somebody may have meant: for messages about an unknown key, option or name. */

/** The first of `known` that is one or two slips of the finger from `wrong`; of short names, one. */
export function nearName(wrong: string, known: Iterable<string>): string | undefined {
  for (const name of known) if (distance(wrong, name) <= (name.length > 3 ? 2 : 1)) return name;
  return undefined;
}

/** Levenshtein distance, one row at a time. */
function distance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, index) => index);
  for (const [i, character] of [...a.slice(0, 100)].entries()) {
    const next = [i + 1];
    for (let j = 0; j < b.length; j++) {
      const replaced = (row[j] as number) + (character === b[j] ? 0 : 1);
      next.push(Math.min(replaced, (row[j + 1] as number) + 1, (next[j] as number) + 1));
    }
    row = next;
  }
  return row[b.length] as number;
}
