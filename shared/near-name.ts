/** The name that somebody may have meant: for messages about an unknown key, option or name. */

/** Of `known` the nearest to `wrong`, where it is at most two slips of the finger away; of short names, one. */
export function nearName(wrong: string, known: Iterable<string>): string | undefined {
  let nearest: string | undefined;
  let least = Number.POSITIVE_INFINITY;
  for (const name of known) {
    const slips = distance(wrong, name);
    if (slips > (name.length > 3 ? 2 : 1) || slips >= least) continue;
    nearest = name;
    least = slips;
  }
  return nearest;
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
