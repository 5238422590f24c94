/** Each benchmark's result as a table, for the terminal and for docs/performance.md. */

import type { Name, Results } from "./results.ts";
import type { Spread } from "./spread.ts";
import type { Latency } from "./warm.ts";

type Rows = readonly (readonly string[])[];

const TABLES: { readonly [N in Name]: (result: Results[N]) => Rows } = {
  decision: (result) => [
    ["grants", "outcome", "µs", "to 50 grants"],
    ...result.map(({ grants, outcome, microseconds, ratioTo50 }) => [
      count(grants),
      outcome,
      text(microseconds, 2),
      ratioTo50.toFixed(2),
    ]),
  ],
  explain: (result) => [
    ["grants", "what", "ms", "to `node -e 0`"],
    ...result.map(({ grants, what, milliseconds, ratioToNode }) => [
      count(grants),
      what,
      text(milliseconds, 1),
      ratioToNode?.toFixed(2) ?? "",
    ]),
  ],
  helper: ({ node, hit, ratioToNode }) => [
    ["what", "ms", "to `node -e 0`"],
    ["`node -e 0`", text(node, 1), "1.00"],
    ["`docker-credential-acr-broker get`, kept login", text(hit, 1), ratioToNode.toFixed(2)],
  ],
  size: (result) => [
    ["of", "file", "bytes", "deflated"],
    ...result.map(({ of, file, bytes, uploaded }) => [of, `\`${file}\``, count(bytes), count(uploaded)]),
  ],
  upstream: (result) => [
    ["of", "requests", "calls of the cloud"],
    ...result.map(({ of, what, calls }) => [of, what, count(calls)]),
  ],
  cold: (result) => [
    [
      "of",
      "first answer",
      "ms",
      "to `node:http`",
      "CPU ms",
      "to `node:http`",
      "until it listens, ms",
      "last request, ms",
    ],
    ...result.map(({ of, what, milliseconds, ratio, cpu, cpuRatio, listening, request }) => [
      of,
      what,
      text(milliseconds, 1),
      text(ratio, 2),
      text(cpu, 1),
      text(cpuRatio, 2),
      text(listening, 1),
      text(request, 1),
    ]),
  ],
  warm: (result) => [
    [
      ...["of", "answer", "a second", "to Hono's hello", "CPU µs", "to Hono's hello"],
      ...["16 at a time: p50, p99 ms", "p99 to Hono's", "one at a time: p50, p99 ms", "p99 to Hono's"],
    ],
    ...result.map(({ of, what, perSecond, ratio, cpu, cpuRatio, busy, alone }) => [
      ...[of, what, text(perSecond, 0), text(ratio, 2), text(cpu, 0), text(cpuRatio, 1)],
      ...latency(busy),
      ...latency(alone),
    ]),
  ],
  overload: (result) => [
    [
      ...["of", "requests", "it answers a second", "a tenth of that: p99 ms", "four times: served, p99 ms", "ratio"],
      ...["refused, p99 ms", "served, of what it can", "longest wait ms", "well again after ms"],
    ],
    ...result.map(({ of, what, capacity, unloaded, served, ratio, refused, share, longest, recovery }) => [
      ...[of, what, text(capacity, 0), text(unloaded, 2), text(served, 2), text(ratio, 2)],
      ...[text(refused, 2), text(share, 2), text(longest, 0), text(recovery, 0)],
    ]),
  ],
  memory: (result) => [
    ["of", "requests", "resident MB", "after garbage collection", "of it heap in use"],
    ...result.flatMap(({ of, steps }) =>
      steps.map(({ requests, residentMb, collectedMb, heapMb }) => [
        of,
        count(requests),
        ...[residentMb, collectedMb, heapMb].map((mb) => mb.toFixed(1)),
      ]),
    ),
  ],
};

/** As Markdown, in columns that are columns in a terminal too. */
export function tableOf<N extends Name>(name: N, result: Results[N]): string {
  return markdown(TABLES[name](result));
}

/** The first row is the head. */
export function markdown(rows: Rows): string {
  const [head = [], ...body] = rows;
  const widths = head.map((_, column) => Math.max(3, ...rows.map((row) => row[column]?.length ?? 0)));
  const line = (cells: readonly string[]) =>
    `| ${widths.map((width, column) => (cells[column] ?? "").padEnd(width)).join(" | ")} |`;
  return [line(head), line(widths.map((width) => "-".repeat(width))), ...body.map(line)].join("\n");
}

/** The median, and the tenths in brackets. */
function text(spread: Spread | undefined, digits: number): string {
  if (spread === undefined) return "";
  const [median, p10, p90] = [spread.median, spread.p10, spread.p90].map((value) => value.toFixed(digits));
  return `${median} (${p10} to ${p90})`;
}

function latency({ p50, p99, p99Ratio }: Latency): string[] {
  return [`${p50.median.toFixed(2)}, ${p99.median.toFixed(2)}`, text(p99Ratio, 2)];
}

/** With commas between thousands. */
function count(value: number): string {
  return value.toLocaleString("en-GB");
}
