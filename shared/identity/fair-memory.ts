/**
 * A memory of a fixed size that one owner cannot fill: whoever holds as much as is still free gets no more, so one alone can have
 * half, two a third each, and there is always room for the next (dynamic thresholds: Choudhury and Hahne, IEEE/ACM Transactions
 * on Networking 6(2), 1998). Nothing in it is forgotten before its time, since what is kept here is what must not happen twice.
 */

/** What ends within the same ten seconds is looked through together: each entry once, whatever the memory holds. */
const BUCKET_MS = 10_000;

export interface FairMemory<Value> {
  /** What is kept and has not ended. */
  get(key: string, time: number): Value | undefined;
  /** False: the owner has its share, or there is no room. An entry of that key is replaced. Both times in ms since the epoch. */
  keep(
    key: string,
    entry: { readonly owner: string; readonly until: number; readonly value: Value },
    time: number,
  ): boolean;
  delete(key: string): void;
  readonly size: number;
}

interface Entry<Value> {
  readonly owner: string;
  readonly until: number;
  readonly value: Value;
}

export function fairMemory<Value>(most: number): FairMemory<Value> {
  const entries = new Map<string, Entry<Value>>();
  const held = new Map<string, number>();
  /** By the end of the ten seconds in which they end. */
  const buckets = new Map<number, Set<string>>();
  let sweptAt = Number.NEGATIVE_INFINITY;

  function remove(key: string): void {
    const entry = entries.get(key);
    if (entry === undefined) return;
    entries.delete(key);
    const bucket = buckets.get(bucketOf(entry.until));
    bucket?.delete(key);
    if (bucket?.size === 0) buckets.delete(bucketOf(entry.until));
    const left = (held.get(entry.owner) ?? 1) - 1;
    if (left === 0) held.delete(entry.owner);
    else held.set(entry.owner, left);
  }

  function sweep(time: number): void {
    // Also where the clock was put back.
    if (Math.abs(time - sweptAt) < BUCKET_MS) return;
    sweptAt = time;
    for (const [end, keys] of buckets) if (end <= time) for (const key of [...keys]) remove(key);
  }

  return {
    get size() {
      return entries.size;
    },
    get(key, time) {
      const entry = entries.get(key);
      return entry === undefined || entry.until <= time ? undefined : entry.value;
    },
    keep(key, entry, time) {
      remove(key);
      sweep(time);
      if ((held.get(entry.owner) ?? 0) >= most - entries.size) return false;
      entries.set(key, entry);
      held.set(entry.owner, (held.get(entry.owner) ?? 0) + 1);
      const bucket = buckets.get(bucketOf(entry.until)) ?? new Set();
      buckets.set(bucketOf(entry.until), bucket.add(key));
      return true;
    },
    delete: remove,
  };
}

function bucketOf(until: number): number {
  return Math.ceil(until / BUCKET_MS) * BUCKET_MS;
}
