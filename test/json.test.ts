import fc from "fast-check";
import { expect, test } from "vitest";
import { parseStrictJson } from "../shared/json.ts";

test.each([
  ['{"a":1,"a":2}', "twice"],
  ['{"a":{"b":1,"b":2}}', "twice"],
  ['[{"a":1},{"x":[{"b":1,"\\u0062":2}]}]', "twice"],
  ['{"a":1', "not JSON"],
  ["", "not JSON"],
  ["[".repeat(33) + "]".repeat(33), "nested"],
  [`${'{"a":'.repeat(33)}1${"}".repeat(33)}`, "nested"],
])("%s is refused", (text, why) => {
  expect(() => parseStrictJson(text)).toThrow(why);
});

test("keys in text, and equal keys of different objects, are no repetition", () => {
  const text = '{"a":"{\\"a\\":1,\\"a\\":2}","b":{"a":1},"c":[{"a":1},{"a":2}],"d\\"":"e"}';
  expect(parseStrictJson(text)).toEqual(JSON.parse(text));
});

test("reads all JSON that is not too deep as JSON.parse does", () => {
  fc.assert(
    fc.property(fc.json({ maxDepth: 8 }), (text) => {
      expect(parseStrictJson(text)).toEqual(JSON.parse(text));
    }),
  );
});

/** Objects as lists of entries, so that a key can stand there twice; some written with an escape. */
interface Written {
  readonly text: string;
  readonly repeats: boolean;
}
const key = fc.constantFrom("a", "b", "c", "__proto__", "", '"', "\\", ":", "{", "1");
const escaped = (text: string) =>
  `"${[...text].map((one) => `\\u${one.charCodeAt(0).toString(16).padStart(4, "0")}`).join("")}"`;
const { value } = fc.letrec<{ value: Written }>((tie) => ({
  value: fc.oneof(
    { maxDepth: 4 },
    fc.oneof(fc.string(), fc.integer(), fc.boolean(), fc.constant(null)).map((one) => ({
      text: JSON.stringify(one),
      repeats: false,
    })),
    fc.array(tie("value"), { maxLength: 4 }).map((all) => ({
      text: `[${all.map(({ text }) => text).join(" , ")}]`,
      repeats: all.some(({ repeats }) => repeats),
    })),
    fc.array(fc.tuple(key, fc.boolean(), tie("value")), { maxLength: 5 }).map((entries) => ({
      text: `{ ${entries.map(([name, hidden, { text }]) => `${hidden ? escaped(name) : JSON.stringify(name)} : ${text}`).join(",\n")}}`,
      repeats:
        new Set(entries.map(([name]) => name)).size < entries.length || entries.some(([, , { repeats }]) => repeats),
    })),
  ),
}));

test("a key is refused where it stands twice in one object, however it is written and however deep, and nowhere else", () => {
  const seen = new Set<boolean>();
  fc.assert(
    fc.property(value, ({ text, repeats }) => {
      seen.add(repeats);
      if (repeats) expect(() => parseStrictJson(text)).toThrow("stands twice in one object");
      else expect(parseStrictJson(text)).toEqual(JSON.parse(text));
    }),
    { numRuns: 2_000 },
  );
  expect(seen.size).toBe(2);
});
