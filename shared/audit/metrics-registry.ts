/**
 * Counters, gauges and histograms, and the text that Prometheus reads. Knows nothing of the broker.
 * Format 0.0.4: https://prometheus.io/docs/instrumenting/exposition_formats/
 */

/** Of one metric: what is counted beyond has `other` for each label, so that no name from outside can fill memory. */
export const MOST_SERIES = 500;

export const OTHER = "other";

export interface Counter {
  add(labels?: readonly string[], by?: number): void;
}

export interface Histogram {
  observe(labels: readonly string[], value: number): void;
}

export interface Sample {
  readonly labels: readonly string[];
  readonly value: number;
}

export interface MetricsRegistry {
  /** A counter without labels is 0 until it is added to; one with labels has no series until then. */
  counter(name: string, help: string, labels?: readonly string[]): Counter;
  /** One that is kept elsewhere. */
  readCounter(name: string, help: string, read: () => number): void;
  /** `read` is asked each time that the text is. */
  gauge(name: string, help: string, labels: readonly string[], read: () => Iterable<Sample>): void;
  /** `bounds`: rising, without infinity. */
  histogram(name: string, help: string, labels: readonly string[], bounds: readonly number[]): Histogram;
  text(): string;
}

interface Spread {
  /** For each bound: what is above the one before it and not above this. */
  readonly counts: number[];
  sum: number;
  count: number;
}

export function metricsRegistry(): MetricsRegistry {
  const families: (() => string)[] = [];
  const family = (name: string, type: string, help: string, lines: () => Iterable<string>) =>
    families.push(() => `# HELP ${name} ${help}\n# TYPE ${name} ${type}\n${[...lines()].join("")}`);

  return {
    counter(name, help, labels = []) {
      const series = bounded(labels.length, () => ({ value: 0 }));
      if (labels.length === 0) series.of([]);
      family(name, "counter", help, () => series.each((values, { value }) => [line(name, labels, values, value)]));
      return {
        add: (values = [], by = 1) => {
          series.of(values).value += by;
        },
      };
    },
    readCounter(name, help, read) {
      family(name, "counter", help, () => [line(name, [], [], read())]);
    },
    gauge(name, help, labels, read) {
      family(name, "gauge", help, () => [...read()].map((sample) => line(name, labels, sample.labels, sample.value)));
    },
    histogram(name, help, labels, bounds) {
      const series = bounded(labels.length, (): Spread => ({ counts: bounds.map(() => 0), sum: 0, count: 0 }));
      const withBound = [...labels, "le"];
      family(name, "histogram", help, () =>
        series.each((values, { counts, sum, count }) => [
          ...upTo(counts).map((most, i) => line(`${name}_bucket`, withBound, [...values, String(bounds[i])], most)),
          line(`${name}_bucket`, withBound, [...values, "+Inf"], count),
          line(`${name}_sum`, labels, values, sum),
          line(`${name}_count`, labels, values, count),
        ]),
      );
      return {
        observe(values, value) {
          const spread = series.of(values);
          const i = bounds.findIndex((bound) => value <= bound);
          if (i >= 0) spread.counts[i] = (spread.counts[i] ?? 0) + 1;
          spread.sum += value;
          spread.count++;
        },
      };
    },
    text: () => families.map((write) => write()).join(""),
  };
}

/** By one label after the other: found without making a string of them all, since each request looks for two. */
interface Node<Kept> {
  readonly next: Map<string, Node<Kept>>;
  kept?: Kept;
}

/** What is kept for each combination of labels, of which there are never more than MOST_SERIES and one. */
function bounded<Kept>(labelCount: number, make: () => Kept) {
  const root: Node<Kept> = { next: new Map() };
  const kept: { readonly values: readonly string[]; readonly value: Kept }[] = [];
  const others = Array<string>(labelCount).fill(OTHER);

  function of(values: readonly string[]): Kept {
    let node: Node<Kept> | undefined = root;
    for (const value of values) node = node?.next.get(value);
    if (node?.kept !== undefined) return node.kept;
    if (kept.length >= MOST_SERIES && values !== others) return of(others);
    const made = make();
    kept.push({ values, value: made });
    node = root;
    for (const value of values) {
      const next: Node<Kept> = node.next.get(value) ?? { next: new Map() };
      node.next.set(value, next);
      node = next;
    }
    node.kept = made;
    return made;
  }

  return {
    of,
    each: (lines: (values: readonly string[], value: Kept) => readonly string[]): string[] =>
      kept.flatMap(({ values, value }) => lines(values, value)),
  };
}

/** From how many are in each step to how many are in it and all before. */
function upTo(counts: readonly number[]): number[] {
  let sum = 0;
  return counts.map((count) => {
    sum += count;
    return sum;
  });
}

function line(name: string, labels: readonly string[], values: readonly string[], value: number): string {
  const pairs = labels.map((label, i) => `${label}="${escaped(values[i] ?? "")}"`);
  return `${name}${pairs.length === 0 ? "" : `{${pairs.join(",")}}`} ${value}\n`;
}

function escaped(value: string): string {
  return value.replace(/\\/g, "\\\\").replace(/"/g, '\\"').replace(/\n/g, "\\n");
}
