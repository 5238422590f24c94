/** RAM's wildcards: `*` is any run of characters, `/` and `:` too, `?` any one. https://www.alibabacloud.com/help/en/ram/policy-structure-and-syntax */

/** Whether `pattern` takes in `value`, or all that `value` does, where that is a pattern itself. */
export function takesIn(pattern: string, value: string): boolean {
  const [first = "", ...rest] = pattern.split(/\*+/);
  const last = rest.pop();
  if (last === undefined) return first.length === value.length && standsAt(first, value, 0);
  if (!standsAt(first, value, 0)) return false;
  let at = first.length;
  for (const piece of rest) {
    while (at <= value.length && !standsAt(piece, value, at)) at++;
    at += piece.length;
  }
  const end = value.length - last.length;
  return end >= at && standsAt(last, value, end);
}

/** A `*` in the value may be many characters, or none: only a `*` takes it in. */
function standsAt(piece: string, value: string, at: number): boolean {
  if (at < 0 || at + piece.length > value.length) return false;
  return [...piece].every((character, index) => {
    const other = value[at + index];
    return character === other || (character === "?" && other !== "*");
  });
}

/** Whether some text is taken in by both. */
export function canMeet(a: string, b: string): boolean {
  // reached[j]: what is before a's place and b[0, j) have a text in common.
  let reached = pastStars(b, new Set([0]));
  for (const character of a) {
    const next = new Set<number>();
    for (const j of reached) {
      if (character === "*") for (let end = j; end <= b.length; end++) next.add(end);
      else if (b[j] === "*") next.add(j);
      else if (j < b.length && (character === b[j] || character === "?" || b[j] === "?")) next.add(j + 1);
    }
    reached = pastStars(b, next);
  }
  return reached.has(b.length);
}

function pastStars(text: string, places: Set<number>): Set<number> {
  for (let place of places) while (text[place] === "*") places.add(++place);
  return places;
}
