/** docs/performance/simulation.md and its pictures, from what `npm run bench -- simulate` left in bench/results/. */

import type { Simulated } from "../bench/scenarios.ts";
import { markdown } from "../bench/tables.ts";

/** By file in docs/performance/. */
export function simulationPages(all: readonly Simulated[]): ReadonlyMap<string, string> {
  return new Map([
    ["simulation.md", page(all)],
    ["simulation-calls.svg", callsPicture(all)],
    ["simulation-hits.svg", hitsPicture(all)],
  ]);
}

function outcomeOf(all: readonly Simulated[], name: string) {
  const found = all.find(({ scenario }) => scenario.name === name);
  if (found === undefined) throw new Error(`no scenario ${name}: npm run bench -- simulate`);
  return found.outcome;
}

function page(all: readonly Simulated[]): string {
  const worst = outcomeOf(all, "all on the hour");
  const patient = outcomeOf(all, "all on the hour, clients try 3 min");
  const spike = outcomeOf(all, "spike");
  const naive = outcomeOf(all, "all on the hour, naive");
  const { mostInASecond } = worst.assumeRole;
  const seconds = (number: number) => `${(number / 1000).toFixed(2)} s`;
  const reached = (isSo: boolean) => (isSo ? "yes" : "**no**");
  return `# 10,000 pipelines, simulated

Made by \`npm run docs\` from [\`bench/results/simulate.json\`](../../bench/results/simulate.json), which \`npm run bench -- simulate\` writes; do not edit. It is no measurement: nothing depends on the machine, and the same seed gives the same numbers.

| what, of 10,000 pipelines that all start within a minute, at 50 instances | target | simulated | reached |
| --- | --- | --- | --- |
| AssumeRole calls in any one second | at most 100 | ${mostInASecond} | ${reached(mostInASecond <= 100)} |
| wait for a turn, p99, of those that are served | under 5 s | ${seconds(worst.waitMs.p99)} | ${reached(worst.waitMs.p99 < 5_000)} |
| the same with 3,000 of them on the hour | under 5 s | ${seconds(spike.waitMs.p99)} | ${reached(spike.waitMs.p99 < 5_000)} |

## What runs

The code itself ([\`bench/simulate.ts\`](../../bench/simulate.ts)): \`issuer\` with its cache, single flight, shared credentials and renewal, the budget, \`callUpstream\` with its retries. In virtual time, which jumps from one event to the next. In place of the rest:

- **Callers.** 10,000 pipelines of 500 teams, each team a grant, the first with a tenth of all. Each runs once in the hour: one to five jobs, the first at its start, the others within ten minutes. "Spike": 30 of 100 start within the minute after the full hour; "all on the hour": all do. Each job asks for its pipeline's own
  repository, as its pipeline's own caller, and tries as the SDK does, for 30 s unless said otherwise. Lives are 900, 1,800 and 3,600 s.
- **STS and ACR.** They answer after 60 and 80 ms (median, log-normal); STS refuses over 100 AssumeRole calls in a second. Nothing else in the account calls it. **These latencies are assumptions**, as are 1 ms for Redis, 3 ms of our own work and 800 ms for an instance to start.
- **Instances.** A request goes to any of them by chance. "As needed": one is started where all have as many requests as they may (here one each), and goes after 5 min without any.
- **Redis** does what the scripts do, without Lua; tests hold the script of the budget equal to the code that stands in for it.
- **Naive** is a broker that keeps nothing and has no budget: two calls for each request, three attempts each.

## What came of it

${table(all)}

"Most" is the most AssumeRole calls in any window of a second. "Without" are jobs whose client gave up; "refused" is 429, all tries counted. Prices: Function Compute, pay as you go, first tier and no discounts, USD 0.00002 a CU; a vCPU second is 1 CU, a GB second of memory 0.15 and of disk 0.05, 10,000 requests 75 CU
([the vendor's page](https://help.aliyun.com/en/functioncompute/fc/product-overview/pay-as-you-go-billing-methods), read in November 2026); an instance of \`s.yaml\` (0.5 vCPU, 512 MB, 512 MB) is paid while it has a request. Redis, logs and traffic are not in it.

![AssumeRole calls in each second after the full hour](simulation-calls.svg)

![Answers without asking STS, by the number of instances](simulation-hits.svg)

## The first limit, and what to do then

**It is STS, and not the broker: 80 new credentials a second.** Two pipelines never share a credential, so 10,000 that start within a minute want 167 a second, and the last of them has to wait ${(10_000 / 80 / 60).toFixed(1)} minutes whatever anybody does. The budget makes that a queue instead of an outage: STS throttles nobody
(naive: ${count(naive.throttled)} calls refused, and those of every other program in the account with them), those served have waited 5 s at most, and the others are told when to come again. But a client that tries for 30 s, the SDK's default, is without a credential in ${count(worst.without)} of ${count(jobs(worst))} jobs (of the naive broker, which takes all 100 that the account has, ${count(naive.without)}); with \`deadlineSeconds: 180\` none is (${patient.without}), and p99 is ${patient.credentialSeconds.p99.toFixed(0)} s.
What helps, in this order:

1. **Start scheduled jobs at different minutes.** 30 of 100 on the hour are no trouble: p99 of the wait is ${spike.waitMs.p99.toFixed(0)} ms.
2. **\`redis\` with \`credentials\`** once there is more than one instance: a pipeline's second job mostly meets another instance. Without it the hit ratio falls with each instance (second picture), and with it what is left of the budget.
3. **\`deadlineSeconds\`** of scheduled jobs as long as the queue.
4. **A higher limit** from Alibaba Cloud for the account, and \`assume_role_per_second\` to go with it. Or a broker in another account, with roles there.

**Without Redis** the share of an instance decides. One instance alone has 8 a second of the 80, too few for this spike: set \`instances: 1\`. 200 instances that each take their share of a tenth exceed the account's limit when all start at once (${count(outcomeOf(all, "all on the hour, 200 instances, no Redis").throttled)} calls refused until they had slowed
down): set \`instances\`, or use Redis.

**Renewal** does what it should at one instance (${count(outcomeOf(all, "spike, 1 instance").renewals)} credentials, for a hit ratio a little higher), and next to nothing at 50: an instance counts only what it hands out itself, and hardly sees the same pipeline three times.
`;
}

function jobs({ requests, refused, without }: Simulated["outcome"]): number {
  // Each refusal was followed by another try, or by giving up.
  return requests - refused + without;
}

function table(all: readonly Simulated[]): string {
  const fixed = (number: number, digits: number) => number.toFixed(digits);
  return markdown([
    [
      ...["scenario", "AssumeRole calls", "most", "mean a second", "throttled", "renewals", "hits"],
      ...[
        "wait p50, p99 ms",
        "credential p50, p99 s",
        "refused",
        "without",
        "instances",
        "GB s",
        "calls of the function",
        "USD",
      ],
    ],
    ...all.map(({ scenario, outcome }) => [
      scenario.name,
      count(outcome.assumeRole.calls),
      count(outcome.assumeRole.mostInASecond),
      fixed(outcome.assumeRole.meanPerSecond, 1),
      count(outcome.throttled),
      count(outcome.renewals),
      `${fixed(outcome.hitRatio * 100, 1)} %`,
      `${fixed(outcome.waitMs.p50, 0)}, ${fixed(outcome.waitMs.p99, 0)}`,
      `${fixed(outcome.credentialSeconds.p50, 2)}, ${fixed(outcome.credentialSeconds.p99, 1)}`,
      count(outcome.refused),
      count(outcome.without),
      count(outcome.mostInstances),
      count(Math.round(outcome.gbSeconds)),
      count(outcome.requests),
      fixed(outcome.usd, 3),
    ]),
  ]);
}

function count(number: number): string {
  return number.toLocaleString("en-US");
}

const [WIDTH, HEIGHT, MARGIN] = [720, 260, 44];

interface Line {
  readonly name: string;
  readonly colour: string;
  readonly points: readonly (readonly [x: number, y: number])[];
}

function callsPicture(all: readonly Simulated[]): string {
  const line = (name: string, colour: string): Line => ({
    name,
    colour,
    points: outcomeOf(all, name)
      .perSecond.slice(0, 180)
      .map((calls, second) => [second, calls]),
  });
  return picture(
    "AssumeRole calls in each second after the full hour; beyond the picture's top the naive broker goes on",
    [180, 200],
    [0, 60, 120, 180].map((x) => [x, `${x} s`]),
    [0, 50, 100, 150, 200].map((y) => [y, `${y}`]),
    [
      line("all on the hour, naive", "#c0392b"),
      line("all on the hour, clients try 3 min", "#8e6bbf"),
      line("all on the hour", "#1f77b4"),
      line("spike", "#2e8b57"),
    ],
  );
}

function hitsPicture(all: readonly Simulated[]): string {
  const hits = (name: string) => outcomeOf(all, name).hitRatio * 100;
  const places = [1, 10, 50, 200];
  const at = (instances: number) => places.indexOf(instances);
  return picture(
    "Answers for which STS was not asked, in percent, by the number of instances (spike)",
    [3, 100],
    places.map((instances) => [at(instances), `${instances}`]),
    [0, 25, 50, 75, 100].map((y) => [y, `${y} %`]),
    [
      {
        name: "with shared credentials",
        colour: "#2e8b57",
        points: [
          [at(1), hits("spike, 1 instance")],
          [at(50), hits("spike")],
          [at(200), hits("spike, 200 instances")],
        ],
      },
      {
        name: "without Redis",
        colour: "#c0392b",
        points: [
          [at(1), hits("spike, 1 instance, no Redis")],
          [at(10), hits("spike, 10 instances, no Redis")],
          [at(50), hits("spike, no Redis")],
          [at(200), hits("spike, 200 instances, no Redis")],
        ],
      },
    ],
  );
}

function picture(
  title: string,
  [right, top]: readonly [number, number],
  xs: readonly (readonly [number, string])[],
  ys: readonly (readonly [number, string])[],
  lines: readonly Line[],
): string {
  const x = (value: number) => (MARGIN + (value / right) * (WIDTH - 2 * MARGIN)).toFixed(1);
  const y = (value: number) => (HEIGHT - MARGIN - (Math.min(value, top) / top) * (HEIGHT - 2 * MARGIN)).toFixed(1);
  const text = (at: string, more: string, words: string) => `<text ${at} ${more}>${words}</text>`;
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${HEIGHT}" font-family="sans-serif" font-size="12" role="img">
<title>${title}</title>
<rect width="${WIDTH}" height="${HEIGHT}" fill="#fff"/>
${ys.map(([value, label]) => `<path d="M${x(0)} ${y(value)}H${x(right)}" stroke="#ddd"/>\n${text(`x="${MARGIN - 6}" y="${y(value)}"`, 'text-anchor="end" dominant-baseline="middle"', label)}`).join("\n")}
${xs.map(([value, label]) => text(`x="${x(value)}" y="${HEIGHT - MARGIN + 18}"`, 'text-anchor="middle"', label)).join("\n")}
${lines.map(({ colour, points }) => `<polyline fill="none" stroke="${colour}" stroke-width="1.5" points="${points.map(([px, py]) => `${x(px)},${y(py)}`).join(" ")}"/>`).join("\n")}
${lines.map(({ name, colour }, index) => text(`x="${WIDTH - MARGIN}" y="${16 + 14 * index}"`, `text-anchor="end" fill="${colour}"`, name)).join("\n")}
</svg>
`;
}
