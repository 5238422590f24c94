/**
 * What was used last, up to so many and so large. By lru-cache, which makes all of its places at once: those of five thousand take half a
 * millisecond, for which no start waits, so it is made when something is first kept.
 */

import { LRUCache } from "lru-cache";

export interface Recent<Value extends object> {
  get(key: string): Value | undefined;
  /** The least recently used make room; what is larger than all may be is not kept. `size`: from 1, where `mostSize` was given. */
  set(key: string, value: Value, size?: number): void;
  delete(key: string): void;
}

/** `mostSize`: of all together. */
export function recent<Value extends object>(most: number, mostSize?: number): Recent<Value> {
  let kept: LRUCache<string, Value> | undefined;
  return {
    get: (key) => kept?.get(key),
    set(key, value, size) {
      kept ??= new LRUCache({ max: most, ...(mostSize === undefined ? {} : { maxSize: mostSize }) });
      kept.set(key, value, size === undefined ? {} : { size });
    },
    delete: (key) => void kept?.delete(key),
  };
}
