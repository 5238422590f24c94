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
  // Twice the same key leaves one of the two out.
  if (keysIn(text) !== keysOf(value))
    throw new SyntaxError(`the key ${JSON.stringify(repeated(text))} stands twice in one object`);
  return value;
}

/** How many keys are written in text that is known to be JSON: outside of strings, a colon stands behind each, and nowhere else. */
function keysIn(text: string): number {
  let keys = 0;
  let depth = 0;
  for (let at = 0; at < text.length; at++) {
    switch (text.charCodeAt(at)) {
      case QUOTE:
        at = endOfString(text, at);
        break;
      case COLON:
        keys++;
        break;
      case OPEN_BRACKET:
      case OPEN_BRACE:
        if (++depth > DEEPEST) throw new SyntaxError(`it is nested more than ${DEEPEST} levels deep`);
        break;
      case CLOSE_BRACKET:
      case CLOSE_BRACE:
        depth--;
    }
  }
  return keys;
}

const [QUOTE, COLON, BACKSLASH] = [0x22, 0x3a, 0x5c];
const [OPEN_BRACKET, CLOSE_BRACKET, OPEN_BRACE, CLOSE_BRACE] = [0x5b, 0x5d, 0x7b, 0x7d];

/** Where the string ends that begins at `from`: at the first quotation mark that no backslash takes for its own. */
function endOfString(text: string, from: number): number {
  let at = from + 1;
  for (let code = text.charCodeAt(at); code !== QUOTE; code = text.charCodeAt(++at)) if (code === BACKSLASH) at++;
  return at;
}

/** How many keys all objects of a parsed value have together. */
function keysOf(value: unknown): number {
  if (typeof value !== "object" || value === null) return 0;
  const inside = Object.values(value);
  let keys = Array.isArray(value) ? 0 : inside.length;
  for (const one of inside) keys += keysOf(one);
  return keys;
}

/** The first key that stands twice in one object; strings are skipped whole, and one before a `:` is a key of the open object. */
function repeated(text: string): string | undefined {
  const open: (Set<string> | undefined)[] = [];
  const strings = /"(?:[^"\\]|\\.)*"(\s*:)?|[[\]{}]/g;
  for (const match of text.matchAll(strings)) {
    const [token, colon] = match;
    if (token === "{" || token === "[") open.push(token === "{" ? new Set() : undefined);
    else if (token === "}" || token === "]") open.pop();
    else if (colon !== undefined) {
      const key = JSON.parse(token.slice(0, token.length - colon.length)) as string;
      const keys = open.at(-1);
      if (keys?.has(key)) return key.slice(0, 60);
      keys?.add(key);
    }
  }
  return undefined;
}
