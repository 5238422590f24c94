/**
 * A memory of a fixed size that one owner cannot fill: whoever holds as much as is still free gets no more, so one alone can have
 * half, two a third each, and there is always room for the next (dynamic thresholds: Choudhury and Hahne, IEEE/ACM Transactions
 * on Networking 6(2), 1998). Nothing in it is forgotten before its time, since what is kept here is what must not happen twice.
 *
 * Of all texts only digests are kept, of keys and notes 128 bits: no two of a hundred thousand are one by accident (2^-94), and to find another
 * that has a given note's takes 2^127 tries. Two owners whose 64 bits are one would share a share.
 */

import { type Digest, digestTable } from "./digest-table.ts";

/** How often it is looked through for what has ended: 0.3 ms for the largest. */
const SWEEP_MS = 10_000;

/** Keys, owners and notes are given as digests (digest-table.ts), since one is often used several times. */
export interface FairMemory {
  /** What is kept and has not ended; `isNoted`: with this very note. */
  get(key: Digest, time: number, note?: Digest): { id: number; uses: number; isNoted: boolean } | undefined;
  /**
   * Its id; undefined: the owner has its share, or there is no room. An entry of that key is replaced. `until` and `time` in ms since the epoch;
   * it is kept to the end of that second, and with an `until` that is no number as long as can be. `note`: something that is only ever compared.
   */
  keep(
    key: Digest,
    entry: { readonly owner: Digest; readonly until: number; readonly note?: Digest },
    time: number,
  ): number | undefined;
  /** Counts one more use of the entry, or one less, where it is still the one with this id. One whose last use is taken back is forgotten. */
  count(key: Digest, id: number, uses: 1 | -1): void;
  delete(key: Digest): void;
  readonly size: number;
  readonly bytes: number;
}

/** What an entry has behind its key's digest, in words. */
const [UNTIL, USES, ID, OWNER, NOTE] = [0, 1, 2, 3, 5];
const KEY_WORDS = 4;
const OWNER_WORDS = 2;
const NOTE_WORDS = 4;
const LAST_SECOND = 2 ** 32 - 1;

export function fairMemory(most: number): FairMemory {
  const entries = digestTable(KEY_WORDS, NOTE + NOTE_WORDS);
  /** How many entries each owner has. */
  const held = digestTable(OWNER_WORDS, 1);
  let sweptAt = Number.NEGATIVE_INFINITY;
  let lastId = 0;

  const hasEnded = (slot: number, time: number) => entries.get(slot, UNTIL) * 1000 <= time;

  /** Its owner has one less. */
  function release(slot: number): void {
    const owner = held.find(Uint32Array.of(entries.get(slot, OWNER), entries.get(slot, OWNER + 1)));
    const left = held.get(owner, 0) - 1;
    if (left === 0) held.remove(owner);
    else held.set(owner, 0, left);
  }

  function remove(key: Digest): void {
    const slot = entries.find(key);
    if (slot === -1) return;
    release(slot);
    entries.remove(slot);
  }

  function sweep(time: number): void {
    // Also where the clock was put back.
    if (Math.abs(time - sweptAt) < SWEEP_MS) return;
    sweptAt = time;
    entries.sweep((slot) => {
      const isOver = hasEnded(slot, time);
      if (isOver) release(slot);
      return isOver;
    });
  }

  return {
    get size() {
      return entries.size;
    },
    get bytes() {
      return entries.bytes + held.bytes;
    },
    get(key, time, note = key) {
      const slot = entries.find(key);
      if (slot === -1 || hasEnded(slot, time)) return undefined;
      let isNoted = true;
      for (let word = 0; word < NOTE_WORDS; word++) isNoted &&= entries.get(slot, NOTE + word) === note[word];
      return { id: entries.get(slot, ID), uses: entries.get(slot, USES), isNoted };
    },
    keep(key, { owner, until, note = key }, time) {
      remove(key);
      sweep(time);
      const known = held.find(owner);
      const has = known === -1 ? 0 : held.get(known, 0);
      if (has >= most - entries.size) return undefined;
      if (known === -1) held.add(owner, [1]);
      else held.set(known, 0, has + 1);
      lastId = (lastId + 1) % LAST_SECOND;
      // In the table NaN would be 0, which is no entry.
      const second = Number.isNaN(until) ? LAST_SECOND : Math.min(Math.max(1, Math.ceil(until / 1000)), LAST_SECOND);
      const [whose = 0, too = 0] = owner;
      const [a = 0, b = 0, c = 0, d = 0] = note;
      entries.add(key, [second, 0, lastId, whose, too, a, b, c, d]);
      return lastId;
    },
    count(key, id, uses) {
      const slot = entries.find(key);
      if (slot === -1 || entries.get(slot, ID) !== id) return;
      const left = entries.get(slot, USES) + uses;
      if (left === 0) remove(key);
      else entries.set(slot, USES, left);
    },
    delete: remove,
  };
}
