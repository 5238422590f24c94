/**
 * JSON as strangers send it: refuses what two readers could read differently (a key twice in one object, RFC 8259
 * section 4) and what is nested beyond reason. `JSON.parse` alone takes the last of two equal keys in silence.
 */

/** Deeper than any token or request of ours. */
const DEEPEST = 32;

/** Parses `text`. @throws SyntaxError saying what is wrong, without quoting values. */
export function parseStrictJson(text: string): unknown {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw new SyntaxError("it is not JSON");
  }
  checkKeys(text);
  return value;
}

/** Walks text that is known to be JSON: strings are skipped whole, and a string before a `:` is a key of the open object. */
function checkKeys(text: string): void {
  const open: (Set<string> | undefined)[] = [];
  const strings = /"(?:[^"\\]|\\.)*"(\s*:)?|[[\]{}]/g;
  for (const match of text.matchAll(strings)) {
    const [token, colon] = match;
    if (token === "{" || token === "[") {
      if (open.push(token === "{" ? new Set() : undefined) > DEEPEST) {
        throw new SyntaxError(`it is nested more than ${DEEPEST} levels deep`);
      }
    } else if (token === "}" || token === "]") {
      open.pop();
    } else if (colon !== undefined) {
      const key = JSON.parse(token.slice(0, token.length - colon.length)) as string;
      const keys = open.at(-1);
      if (keys?.has(key))
        throw new SyntaxError(`the key ${JSON.stringify(key.slice(0, 60))} stands twice in one object`);
      keys?.add(key);
    }
  }
}
