/**
 * YAML text as plain data, and where in the file each part of it stands. Only plain data is let through: no aliases, anchors,
 * tags, merge keys, directives or second documents (aliases alone make a "billion laughs" of ten lines), so that
 * what a reviewer reads is what the broker does. Knows nothing of what the configuration means. YAML 1.2, core schema.
 */

import { isAlias, isMap, isScalar, isSeq, LineCounter, type Node, parseDocument } from "yaml";

/** Keys and indexes from the top of the file: `["grants", "web-main", "allow", 0]`. */
export type Path = readonly (string | number)[];

/** Both counted from 1. */
export interface Position {
  readonly line: number;
  readonly column: number;
}

export interface YamlDocument {
  /** Maps, lists and scalars; `undefined` when the text is no YAML at all. */
  readonly data: unknown;
  /** What is wrong with the text as YAML. */
  readonly problems: readonly (Position & { readonly message: string })[];
  /**
   * Where the key or the value of `path` stands. Of a list's item or an empty value there is only one of the two; for what is
   * missing it is the key of the innermost map that is there, or the top of the file.
   */
  position(path: Path, part: "key" | "value"): Position;
  /** A scalar as it was written, `0123` rather than 123. */
  written(path: Path): string | undefined;
  /** The line of each key of the map at `path`. */
  linesOfKeys(path: Path): ReadonlyMap<string, number>;
}

/** Room for well over 5,000 grants (about 300 bytes each). */
const LONGEST_FILE_BYTES = 4 * 1024 * 1024;
/** The configuration itself needs 5: grants, name, when, claim, any_of. */
const DEEPEST = 16;
/** Names with a meaning of their own in JavaScript; no configuration needs them. */
const RESERVED_KEYS = new Set(["__proto__", "constructor", "prototype"]);

/**
 * Tabs, controls, line ends that editors show and YAML does not know or the other way round, and format characters (zero
 * width, direction, tags), what is drawn as nothing, spaces that are not the space: https://trojansource.codes. A byte order mark may begin the file.
 */
const HIDDEN =
  // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what it looks for.
  /[\u0000-\u0009\u000b\u000c\u000e-\u001f\u007f-\u009f\u2028\u2029]|\r(?!\n)|(?!^\ufeff)[\p{Cf}\p{DI}]|(?! )\p{Zs}/u;

function codePoint(character: string): string {
  return (character.codePointAt(0) ?? 0).toString(16).toUpperCase().padStart(4, "0");
}

/** `beginning` is what an empty file is told to begin with. */
export function readYaml(text: string, beginning = "version: 1"): YamlDocument {
  const lines = new LineCounter();
  const problems: (Position & { message: string })[] = [];
  const positionAt = (offset: number): Position => {
    const { line, col } = lines.linePos(offset);
    return { line: Math.max(line, 1), column: Math.max(col, 1) };
  };
  const refuse = (offset: number, message: string) => {
    problems.push({ ...positionAt(offset), message });
  };

  if (Buffer.byteLength(text) > LONGEST_FILE_BYTES) {
    return unreadable({ line: 1, column: 1, message: `the file is over ${LONGEST_FILE_BYTES / 1024 / 1024} MiB` });
  }
  const hidden = HIDDEN.exec(text);
  if (hidden !== null) {
    const before = text.slice(0, hidden.index).split("\n");
    const [character] = hidden as unknown as [string];
    const message =
      character === "\t"
        ? "a tab; indent and separate with spaces (inside quotes a tab would be a control character)"
        : `a character that is not seen or moves what is (U+${codePoint(character)}); what a reviewer reads would not be what is meant, so take it out`;
    return unreadable({ line: before.length, column: (before.at(-1) ?? "").length + 1, message });
  }

  const document = parseDocument(text, {
    version: "1.2",
    schema: "core",
    merge: false,
    strict: true,
    stringKeys: false,
    // Checked below: the parser compares every key with every other, and does not say where the first one stands.
    uniqueKeys: false,
    prettyErrors: false,
    // Not "silent": that would also silence the error about a second document.
    logLevel: "error",
    lineCounter: lines,
  });
  const wrongLines = new Set<number>();
  for (const error of document.errors) {
    // Only the first of a line: the parser's later ones are mostly consequences.
    const { line } = positionAt(error.pos[0]);
    if (!wrongLines.has(line)) refuse(error.pos[0], syntaxMessage(error.code, error.message));
    wrongLines.add(line);
  }
  if (document.directives?.yaml.explicit) refuse(0, "a %YAML directive; take it out, the file is always YAML 1.2");
  if (document.errors.length > 0) return unreadable(...problems);
  if (document.contents === null || (isScalar(document.contents) && document.contents.value === null)) {
    return unreadable({ line: 1, column: 1, message: `the file is empty; begin with ${beginning}` });
  }

  const toData = (node: unknown, depth: number, offset: number): unknown => {
    if (node === null) return null;
    const from = (node as Node).range?.[0] ?? offset;
    if (depth > DEEPEST) {
      refuse(from, `nested over ${DEEPEST} levels deep`);
      return null;
    }
    if (isAlias(node)) {
      refuse(from, `an alias (*${node.source}); write the value out, and in quotes if it is text that begins with *`);
      return null;
    }
    const { anchor, tag } = node as { anchor?: string; tag?: string };
    if (anchor !== undefined) refuse(from, `an anchor (&${anchor}); aliases are refused here, so take it out`);
    if (tag !== undefined) refuse(from, "a YAML tag (!…); take it out, and write text in quotes");
    if (isScalar(node)) return node.value;
    if (isSeq(node)) return node.items.map((item) => toData(item, depth + 1, from));
    if (!isMap(node)) return null;
    const data: Record<string, unknown> = {};
    const firstLine = new Map<string, number>();
    for (const { key, value } of node.items) {
      const keyFrom = (key as Node | null)?.range?.[0] ?? from;
      const name = toData(key, depth + 1, keyFrom);
      if (isAlias(key)) continue;
      if (typeof name !== "string") {
        refuse(
          keyFrom,
          isScalar(key) ? `the key ${key.source} is not text; write it in quotes` : "a key must be plain text",
        );
        continue;
      }
      const earlier = firstLine.get(name);
      if (earlier !== undefined) {
        refuse(keyFrom, `the key ${JSON.stringify(name)} stands twice in one map, first on line ${earlier}; keep one`);
        continue;
      }
      firstLine.set(name, positionAt(keyFrom).line);
      if (name === "<<") refuse(keyFrom, "a merge key (<<); write the keys out");
      else if (RESERVED_KEYS.has(name))
        refuse(keyFrom, `the key ${JSON.stringify(name)} is reserved; use another name`);
      else data[name] = toData(value, depth + 1, keyFrom);
    }
    return data;
  };

  /** Key and value of the last part of `path`; the nearest key on the way when that part is missing. */
  const find = (path: Path): { key?: Node | undefined; value?: Node | undefined } => {
    let key: Node | undefined;
    let value: unknown = document.contents;
    for (const part of path) {
      if (isSeq(value)) {
        key = undefined;
        value = value.items[part as number];
      } else {
        const pair = isMap(value)
          ? value.items.find((item) => isScalar(item.key) && item.key.value === part)
          : undefined;
        if (pair === undefined) return { key: key ?? (value as Node) };
        key = pair.key as Node;
        value = pair.value;
      }
    }
    return { key, value: (value as Node | null) ?? undefined };
  };

  return {
    data: toData(document.contents, 0, 0),
    problems,
    position(path, part) {
      const { key, value } = find(path);
      const isEmpty = isScalar(value) && value.value === null && value.source === "";
      const node = part === "key" || isEmpty ? (key ?? value) : (value ?? key);
      return positionAt(node?.range?.[0] ?? 0);
    },
    written(path) {
      const { value } = find(path);
      return isScalar(value) ? value.source : undefined;
    },
    linesOfKeys(path) {
      const { value } = find(path);
      const found = new Map<string, number>();
      if (!isMap(value)) return found;
      for (const { key } of value.items) {
        if (isScalar(key)) found.set(String(key.value), positionAt(key.range?.[0] ?? 0).line);
      }
      return found;
    },
  };
}

function unreadable(...problems: (Position & { message: string })[]): YamlDocument {
  const position = { line: 1, column: 1 };
  return {
    data: undefined,
    problems,
    position: () => position,
    written: () => undefined,
    linesOfKeys: () => new Map(),
  };
}

/** The parser's own words, without the piece of the file that it may quote behind a colon. */
function syntaxMessage(code: string, message: string): string {
  if (code === "MULTIPLE_DOCS") return "a second YAML document begins here; the file must hold exactly one";
  if (code === "MULTILINE_IMPLICIT_KEY" || /^Implicit keys/.test(message))
    return "not YAML: a key without its value; put a space behind the colon";
  if (/call stack/.test(message)) return `nested over ${DEEPEST} levels deep`;
  if (/^Nested mappings/.test(message))
    return 'not YAML: a second ": ", on this line or the next; put text that holds one in quotes, and indent the next line like its neighbours';
  if (/^Alias/.test(message)) return "not YAML: a * without quotes; put text that begins with * in quotes";
  return `not YAML: ${message.replace(/:.*$/s, "")}`;
}
