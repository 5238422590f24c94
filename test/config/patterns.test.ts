/** What is said of patterns agrees with what the matcher does. */

import fc from "fast-check";
import { expect, test } from "vitest";
import { canMeet, isWithin, strangersOf } from "../../shared/config/patterns.ts";
import { globMatches } from "../../shared/policy/condition.ts";

const text = (letters: string, maxLength: number) => fc.string({ unit: fc.constantFrom(...letters), maxLength });
const pattern = text("ab/*", 6).map((one) => one.replaceAll(/\*+/g, "*"));

/** All texts up to five letters. */
const TEXTS = [""];
for (let index = 0; (TEXTS[index] as string).length < 5; index++) {
  TEXTS.push(...["a", "b", "/"].map((letter) => TEXTS[index] + letter));
}

test("within: each value of the one is a value of the other", () => {
  fc.assert(
    fc.property(pattern, pattern, (narrow, wide) => {
      // A third letter, which neither pattern has, shows what a * alone takes in.
      const values = [...TEXTS, narrow.replaceAll("*", "c"), narrow.replaceAll("*", "")];
      const isSeen = values.every((value) => !globMatches(narrow, value) || globMatches(wide, value));
      expect(isWithin(narrow, wide)).toBe(isSeen);
    }),
  );
});

test("meeting: some value is a value of both", () => {
  fc.assert(
    fc.property(text("ab/*", 5), text("ab/*", 4), fc.boolean(), (one, other, isOpen) => {
      const [a, b] = [one, other].map((side) => side.replaceAll(/\*+/g, "*")) as [string, string];
      if (isOpen && b.endsWith("*")) return;
      const isSeen = TEXTS.some(
        (value) =>
          globMatches(a, value) &&
          (isOpen
            ? TEXTS.some((end) => value.endsWith(end) && globMatches(b, value.slice(0, value.length - end.length)))
            : globMatches(b, value)),
      );
      const meets = canMeet(a, isOpen ? `${b}**` : b);
      if (isSeen) expect(meets).toBe(true);
      // The shortest common value of two is no longer than both together.
      else if (a.length + b.length <= 5) expect(meets).toBe(false);
    }),
  );
});

test("strangers are admitted by the pattern, and are three different ones", () => {
  fc.assert(
    fc.property(
      pattern.filter((one) => one.includes("*")),
      (one) => {
        const strangers = strangersOf(one);
        for (const value of strangers) expect(globMatches(one, value)).toBe(true);
        expect(new Set(strangers).size).toBe(strangers.length);
        expect(strangers.length).toBe(3);
      },
    ),
  );
});
