/**
 * Rows of whole numbers found by a digest, in one typed array: a hundred thousand of them as objects in a Map take ten times the
 * memory, and each collection of garbage looks at all of them. Open addressing with linear probing, seven eighths full at most; a row that
 * is taken out leaves no trace (Knuth, The Art of Computer Programming 3, section 6.4, algorithm R).
 *
 * Whoever chooses what is digested can put many rows in one place, and has them looked through one by one: 20 µs for ten thousand, which
 * the rate of one caller keeps them from being much more of.
 */

import { createHash } from "node:crypto";

const FIRST_SLOTS = 64;

/** SHA-256 in eight words of 32 bits; of a table's digests so many words count as it was made for. */
export type Digest = Uint32Array;

export interface DigestTable {
  /** The row's slot, or -1. It is the same until a row is added or taken out. */
  find(digest: Digest): number;
  /** Makes a row for a digest that has none; `words` are what it has behind it, of which the first is not 0. */
  add(digest: Digest, words: readonly number[]): void;
  /** The word of a row that stands so many behind its digest. */
  get(slot: number, word: number): number;
  /** The first one must not become 0. */
  set(slot: number, word: number, value: number): void;
  remove(slot: number): void;
  /** Takes out the rows of which `isOver` holds. */
  sweep(isOver: (slot: number) => boolean): void;
  readonly size: number;
  readonly bytes: number;
}

/** `digestWords`: of each digest so many words are kept; `words`: how many a row has behind it. All are of 32 bits. */
export function digestTable(digestWords: number, words: number): DigestTable {
  const width = digestWords + words;
  let size = 0;
  let mask = FIRST_SLOTS - 1;
  let rows = new Uint32Array(FIRST_SLOTS * width);

  const at = (slot: number, word: number) => slot * width + digestWords + word;
  const isFree = (slot: number) => rows[at(slot, 0)] === 0;
  const after = (slot: number) => (slot + 1) & mask;

  /** Where it is, or would be. */
  function slotOf(digest: Digest): number {
    let slot = (digest[0] as number) & mask;
    while (!isFree(slot) && !isOf(slot, digest)) slot = after(slot);
    return slot;
  }

  function isOf(slot: number, digest: Digest): boolean {
    for (let word = 0; word < digestWords; word++) if (rows[slot * width + word] !== digest[word]) return false;
    return true;
  }

  function grow(): void {
    const old = rows;
    mask = mask * 2 + 1;
    rows = new Uint32Array((mask + 1) * width);
    for (let start = 0; start < old.length; start += width) {
      if (old[start + digestWords] === 0) continue;
      const row = old.subarray(start, start + width);
      rows.set(row, slotOf(row) * width);
    }
  }

  function remove(slot: number): void {
    let hole = slot;
    for (let next = after(hole); !isFree(next); next = after(next)) {
      // One that is looked for from before the hole on would not be found behind it.
      const home = (rows[next * width] as number) & mask;
      if (((next - home) & mask) < ((next - hole) & mask)) continue;
      rows.copyWithin(hole * width, next * width, (next + 1) * width);
      hole = next;
    }
    rows.fill(0, hole * width, (hole + 1) * width);
    size--;
  }

  return {
    get size() {
      return size;
    },
    get bytes() {
      return rows.byteLength;
    },
    find(digest) {
      const slot = slotOf(digest);
      return isFree(slot) ? -1 : slot;
    },
    add(digest, values) {
      if ((size + 1) * 8 > (mask + 1) * 7) grow();
      const slot = slotOf(digest);
      rows.set(digest.subarray(0, digestWords), slot * width);
      rows.set(values, at(slot, 0));
      size++;
    },
    get: (slot, word) => rows[at(slot, word)] as number,
    set(slot, word, value) {
      rows[at(slot, word)] = value;
    },
    remove,
    sweep(isOver) {
      // What moves into the slot of one that is taken out is looked at in its turn.
      for (let slot = 0; slot <= mask; slot++) while (!isFree(slot) && isOver(slot)) remove(slot);
    },
  };
}

export function digestOf(text: string): Digest {
  // By way of a text: a Buffer of its own takes longer to make than the hash.
  const bytes = createHash("sha256").update(text).digest("binary");
  const words = new Uint32Array(8);
  for (let at = 0; at < bytes.length; at++) words[at >> 2] = ((words[at >> 2] as number) << 8) | bytes.charCodeAt(at);
  return words;
}
