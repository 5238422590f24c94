import { createHash } from "node:crypto";
import fc from "fast-check";
import { expect, test } from "vitest";
import { type Digest, digestOf, digestTable } from "../../shared/identity/digest-table.ts";

test("a digest is SHA-256 of the text's UTF-8, in words from the front", () => {
  for (const text of ["", "abc", "ключ š 🔑"]) {
    const words = createHash("sha256").update(text, "utf8").digest();
    expect([...digestOf(text)]).toEqual(Array.from({ length: 8 }, (_, word) => words.readUInt32BE(word * 4)));
  }
});

/** Of few homes, some of them the table's last: so rows stand in each other's way, and around its end. */
const crowded = fc.record({ home: fc.constantFrom(0, 1, 62, 63, 127), other: fc.nat(40) });
const digest = ({ home, other }: { home: number; other: number }): Digest => Uint32Array.of(home, other);

test("whatever is added and taken out, in whatever order, a table has what a Map has", () => {
  const step = fc.record({ key: crowded, word: fc.integer({ min: 1, max: 2 ** 32 - 1 }), isTakenOut: fc.boolean() });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 400 }), (steps) => {
      const table = digestTable(2, 1);
      const model = new Map<string, number>();
      for (const { key, word, isTakenOut } of steps) {
        const slot = table.find(digest(key));
        expect(slot === -1).toBe(!model.has(JSON.stringify(key)));
        if (isTakenOut && slot !== -1) table.remove(slot);
        else if (slot !== -1) table.set(slot, 0, word);
        else if (!isTakenOut) table.add(digest(key), [word]);
        if (isTakenOut) model.delete(JSON.stringify(key));
        else model.set(JSON.stringify(key), word);
        expect(table.size).toBe(model.size);
      }
      for (const [key, word] of model) expect(table.get(table.find(digest(JSON.parse(key))), 0)).toBe(word);
    }),
  );
});

test("a sweep takes out each row that is over and no other, also those that move while it goes", () => {
  fc.assert(
    fc.property(fc.uniqueArray(crowded, { maxLength: 150, selector: (key) => JSON.stringify(key) }), (keys) => {
      const table = digestTable(2, 1);
      for (const [index, key] of keys.entries()) table.add(digest(key), [index + 1]);
      const asked: number[] = [];
      table.sweep((slot) => {
        asked.push(table.get(slot, 0));
        return table.get(slot, 0) % 3 === 0;
      });
      for (const [index, key] of keys.entries()) expect(table.find(digest(key)) === -1).toBe((index + 1) % 3 === 0);
      expect(new Set(asked).size).toBe(keys.length);
    }),
  );
});

test("a table is as large as its rows need: it doubles where seven eighths are taken", () => {
  const table = digestTable(2, 1);
  const row = (index: number) => table.add(digestOf(`${index}`), [1]);
  for (let index = 0; index < 56; index++) row(index);
  expect(table.bytes).toBe(64 * 12);
  row(56);
  expect(table.bytes).toBe(128 * 12);
});
