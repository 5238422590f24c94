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
