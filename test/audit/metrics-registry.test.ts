import { expect, test } from "vitest";
import { MOST_SERIES, metricsRegistry } from "../../shared/audit/metrics-registry.ts";

test("a label's value stays within its quotes, whatever it is", () => {
  const registry = metricsRegistry();
  registry.counter("tried_total", "Tried.", ["name"]).add(['a"} 1\nforged_total 9\\']);
  expect(registry.text()).toBe(
    '# HELP tried_total Tried.\n# TYPE tried_total counter\ntried_total{name="a\\"} 1\\nforged_total 9\\\\"} 1\n',
  );
});

test("labels that read alike when joined are counted apart", () => {
  const registry = metricsRegistry();
  const tried = registry.counter("tried_total", "Tried.", ["a", "b"]);
  tried.add(["x,y", "z"]);
  tried.add(["x", "y,z"]);
  expect(registry.text().match(/ 1$/gm)).toHaveLength(2);
});

test("names without end have so many series and one more, and nothing is lost from the sum", () => {
  const registry = metricsRegistry();
  const tried = registry.counter("tried_total", "Tried.", ["name", "kind"]);
  for (let i = 0; i < MOST_SERIES + 1000; i++) tried.add([`hostile-${i}`, "x"]);
  const series = registry
    .text()
    .split("\n")
    .filter((line) => line.startsWith("tried_total"));
  expect(series).toHaveLength(MOST_SERIES + 1);
  expect(series.at(-1)).toBe('tried_total{name="other",kind="other"} 1000');
});

test("a histogram counts what is at most each bound, and everything", () => {
  const registry = metricsRegistry();
  const spread = registry.histogram("took_seconds", "Took.", [], [0.1, 1]);
  for (const seconds of [0.05, 0.1, 0.5, 20]) spread.observe([], seconds);
  expect(registry.text().split("\n").slice(2)).toEqual([
    'took_seconds_bucket{le="0.1"} 2',
    'took_seconds_bucket{le="1"} 3',
    'took_seconds_bucket{le="+Inf"} 4',
    "took_seconds_sum 20.65",
    "took_seconds_count 4",
    "",
  ]);
});
