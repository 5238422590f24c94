/** A queue in which many of one kind do not keep the few of another waiting: one of each kind in turn, each kind in order. */

export interface FairQueue<Item> {
  readonly size: number;
  push(kind: string, item: Item): void;
  /** The next one; undefined where there is none. */
  shift(): Item | undefined;
  /** Goes through all in the order in which they would be served, and takes out those that `keep` refuses. */
  filter(keep: (item: Item) => boolean): void;
}

export function fairQueue<Item>(): FairQueue<Item> {
  /** The kind whose turn it is comes first; none is empty. */
  const kinds = new Map<string, Item[]>();
  let size = 0;

  return {
    get size() {
      return size;
    },
    push(kind, item) {
      const items = kinds.get(kind);
      if (items === undefined) kinds.set(kind, [item]);
      else items.push(item);
      size++;
    },
    shift() {
      const [first] = kinds;
      if (first === undefined) return undefined;
      const [kind, items] = first;
      const item = items.shift();
      kinds.delete(kind);
      if (items.length > 0) kinds.set(kind, items);
      size--;
      return item;
    },
    filter(keep) {
      const refused = new Set<Item>();
      let round = [...kinds.values()];
      for (let nth = 0; round.length > 0; nth++) {
        round = round.filter((items) => nth < items.length);
        for (const items of round) {
          const item = items[nth] as Item;
          if (!keep(item)) refused.add(item);
        }
      }
      if (refused.size === 0) return;
      size -= refused.size;
      for (const [kind, items] of kinds) {
        const kept = items.filter((item) => !refused.has(item));
        if (kept.length === 0) kinds.delete(kind);
        else kinds.set(kind, kept);
      }
    },
  };
}
