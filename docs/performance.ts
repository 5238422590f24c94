/** docs/performance.md from what bench/results/ has: what is aimed at, how far it is reached, and all that was measured. */

import type { AllKept, Name, Run } from "../bench/results.ts";
import { markdown, tableOf } from "../bench/tables.ts";

/** Something that is aimed at, as a number that must not be passed. */
interface Target {
  readonly what: string;
  readonly limit: number;
  readonly at: "most" | "least";
  readonly digits: number;
  readonly unit?: string;
  /** Undefined where nothing has measured it. */
  measured(kept: AllKept): number | undefined;
}

/** The built broker, as the benchmarks call it. */
const OURS = "dist";

const TARGETS: readonly Target[] = [
  {
    what: "Start to first credential on a miss, to `node:http`'s start to first answer",
    limit: 2,
    at: "most",
    digits: 2,
    measured: cold("credential"),
  },
  {
    what: "Start to first refusal, to the same",
    limit: 1.3,
    at: "most",
    digits: 2,
    measured: cold("refusal: unknown issuer"),
  },
  {
    what: "Throughput on one core, kept credential, a new RS256 token each time, to Hono's hello",
    limit: 0.35,
    at: "least",
    digits: 2,
    measured: (kept) => warm(kept, "kept credential, new token each time")?.ratio.median,
  },
  {
    what: "The same, the same token each time",
    limit: 0.6,
    at: "least",
    digits: 2,
    measured: (kept) => warm(kept, "kept credential, repeated token")?.ratio.median,
  },
  {
    what: "p99 of a kept credential, a new token each time, one request at a time, to Hono's p99",
    limit: 2,
    at: "most",
    digits: 2,
    measured: (kept) => warm(kept, "kept credential, new token each time")?.alone.p99Ratio.median,
  },
  {
    what: "The same, 16 requests at a time",
    limit: 2,
    at: "most",
    digits: 2,
    measured: (kept) => warm(kept, "kept credential, new token each time")?.busy.p99Ratio.median,
  },
  {
    what: "At four times the requests that it can answer, p99 of those who are served, to the p99 at a tenth",
    limit: 3,
    at: "most",
    digits: 2,
    measured: ({ overload }) =>
      largest(overload.result.filter(({ of }) => of === OURS).map(({ ratio }) => ratio.median)),
  },
  { what: "Calls of the cloud for a miss", limit: 2, at: "most", digits: 0, measured: calls("miss") },
  { what: "for a hit", limit: 0, at: "most", digits: 0, measured: calls("hit") },
  {
    what: "for 100 equal requests at a time",
    limit: 2,
    at: "most",
    digits: 0,
    measured: calls("100 equal in flight"),
  },
  {
    what: "for 100 equal requests at a time, at ten instances with one Redis",
    limit: 2,
    at: "most",
    digits: 0,
    measured: calls("100 equal in flight, ten instances with Redis"),
  },
  {
    what: "A decision among 50,000 grants, to one among 50",
    limit: 1.5,
    at: "most",
    digits: 2,
    measured: ({ decision }) =>
      largest(decision.result.filter((one) => one.grants === 50_000).map((one) => one.ratioTo50)),
  },
  {
    what: "The package as it is uploaded",
    limit: 1.5,
    at: "most",
    digits: 2,
    unit: "MB",
    measured: ({ size }) =>
      size.result.filter(({ of }) => of === OURS).reduce((sum, { uploaded }) => sum + uploaded, 0) / 1e6,
  },
  {
    what: "Resident memory after 100,000 requests of which no two are alike",
    limit: 110,
    at: "most",
    digits: 0,
    unit: "MB",
    measured: ({ memory }) => {
      const steps = memory.result.find(({ of }) => of === OURS)?.steps ?? [];
      return steps.find(({ requests }) => requests === 100_000)?.residentMb;
    },
  },
];

function cold(what: string): Target["measured"] {
  return ({ cold }) => cold.result.find((one) => one.of === OURS && one.what === what)?.ratio.median;
}

function warm({ warm }: AllKept, what: string) {
  return warm.result.find((one) => one.of === OURS && one.what === what);
}

function calls(what: string): Target["measured"] {
  return ({ upstream }) => upstream.result.find((one) => one.of === OURS && one.what === what)?.calls;
}

function largest(values: readonly number[]): number | undefined {
  return values.length === 0 ? undefined : Math.max(...values);
}

export function performancePage(kept: AllKept): string {
  const section = <N extends Name>(title: string, name: N, words: string) =>
    `## ${title}\n\n${words}\n\n${tableOf(name, kept[name].result)}\n\n${where(kept[name], name)}`;
  return `${[
    INTRODUCTION,
    markdown([["what", "target", "measured", "reached"], ...TARGETS.map((target) => targetRow(target, kept))]),
    HOW,
    section("From the start to the first answer", "cold", COLD),
    section("A running broker", "warm", WARM),
    section("More than it can answer", "overload", OVERLOAD),
    section("Calls of the cloud", "upstream", UPSTREAM),
    section("Memory", "memory", MEMORY),
    section("Decisions", "decision", DECISION),
    section("The package", "size", SIZE),
    section("`acr-broker explain`", "explain", EXPLAIN),
    section("`docker-credential-acr-broker`", "helper", HELPER),
  ].join("\n\n")}\n`;
}

function targetRow({ what, limit, at, digits, unit, measured }: Target, kept: AllKept): string[] {
  const value = measured(kept);
  const shown = (number: number, places: number) => `${number.toFixed(places)}${unit === undefined ? "" : ` ${unit}`}`;
  const target = `at ${at} ${unit === undefined ? limit : `${limit} ${unit}`}`;
  if (value === undefined) return [what, target, "not measured yet", ""];
  const reached = at === "most" ? value <= limit : value >= limit;
  return [what, target, shown(value, digits), reached ? "yes" : "**no**"];
}

function where({ node, cpu, cpus, pinned, date, runs }: Run, name: Name): string {
  const cores = `${cpus} ${cpus === 1 ? "core" : "cores"}`;
  const pinning = pinned ? ", one of them the server's alone" : "";
  return `\`npm run bench -- ${name}\`, ${runs === 1 ? "once" : `${runs} rounds`}, ${date}: Node ${node}, ${cpu}, ${cores}${pinning}.`;
}

const INTRODUCTION = `# Performance

What the broker aims at, what was measured, and how. Made by \`npm run docs\` from the files in \`bench/results/\`, which \`npm run bench\` writes; do not edit. A target that is not reached says so. How 10,000 pipelines fare with STS's 100 calls a second is [simulated](performance/simulation.md). What was done, and what did not pay: [starts](performance/cold-start.md), [answers](performance/warm-path.md), [memory](performance/memory.md).`;

const HOW = `## How it is measured

Seconds of one machine mean little on another, so what counts are ratios to a **floor** of the same run: of a start, a bare \`node:http\` server that answers \`hello\`
([\`bench/floor/node.cjs\`](../bench/floor/node.cjs)); of a running server, Hono's own first example ([\`bench/floor/hono.js\`](../bench/floor/hono.js)). What is compared is interleaved, round by round, and a
ratio is taken of two measurements of one round, so that a machine that is busy for a while slows both. Tables have medians, and in brackets the tenth and the ninetieth of a hundred.

\`dist\` is what \`npm run build\` makes, started as Function Compute starts it (\`node server.cjs\` in its folder), with a compiled policy of two grants. \`baseline\` stands beside it in the same run: the broker that a tutorial would have
you write ([\`bench/baseline/server.js\`](../bench/baseline/server.js)), of the usual packages, with nothing kept and nothing bundled. It does a good deal less: no strict reading of tokens, no replay, no audit event, no log.

STS, ACR and the issuer are one process on loopback ([\`bench/cloud.ts\`](../bench/cloud.ts)) that answers at once, or after a latency. Where there are two cores and \`taskset\`, the server has one for itself, and the load generator, the cloud and the issuer
share the other. Tokens are as long as GitHub's, signed with RSA 2048 before the clock runs. CPU time is of all the server's threads, from \`/proc\`; on a busy machine it is the steadier number.

    npm run build && npm run bench              # all: ten minutes, most of them memory's
    npm run bench -- cold                       # one of them
    npm run bench -- cold --rounds 50           # more of it
    npm run bench -- cold --node .nodes/node_modules/node-22/bin/node   # servers under Function Compute's Node (npm run nodes)
    npm run bench -- cold --dist a --dist b     # two builds side by side; nothing is written
    npm run docs                                # this page

The policy of a run is compiled by the sources beside the build's folder where there are any, else by those of this checkout. A build that does not take it as compiled is refused, since it would be measured reading YAML.`;

const COLD = `From before the process is made to the last byte of its first answer. The request is sent when the process says on standard output that it listens, over a new connection. The cloud answers at once.
"Unknown issuer" is a token that nobody here vouches for; "forged signature" one that claims to be of a known issuer, whose keys have to be fetched to tell; "denied by the policy" a valid token that may not have
what it asks for; "after /initialize" has Function Compute's hook before it, and both in its time. The last column is the last request alone.`;

const WARM = `All servers run at once, and wait while another is measured. 16 requests at a time for throughput and CPU time; there an answer waits for the 15 others, so its p99 is mostly throughput again. One at a time for how long an
answer takes by itself. "New token each time": valid, of the same job, each used once (\`replay: once\`); "repeated token": of an issuer with \`replay: off\`. A miss is a new token that asks for a repository that nobody
asked for before.`;

const OVERLOAD = `What it can answer is measured with 64 requests at a time. Then requests come evenly over 3,000 connections, whether or not those before are answered; how long one took counts from when it was due. The load lasts nine seconds; the first three, in which
refusing begins and what has gathered is cleared away, are in the longest wait alone. Whoever is refused has 503 with \`Retry-After\` and does not heed it here. A bad token (of an unknown issuer) that is answered with 401 counts as served. New tokens are signed with ES256, as 24,000 of them have to be made; the broker has forgotten each when it
comes again. The target is not reached. An earlier build had 0.87 and 1.46 on a busier machine; it wrote refusals past \`node:http\`, at about half the cost, which leant on what that does inside. Whether this alone is the difference has not been looked at. [When it refuses](reliability.md#more-than-it-can-answer).`;

const UPSTREAM = `AssumeRole and GetAuthorizationToken together, counted by the cloud; it answers after 100 ms, so that all equal requests are under way at a time.`;

const MEMORY = `Each request is another caller with another token, that asks for another repository: whatever is kept for each would show. Tokens of an issuer with \`replay: once\`, none of which expires during the run, so the marks of
all of them are kept. Node lets its heap grow the further the more memory the machine has; nothing is set here. Resident memory as it stands after so many requests, 16 at a time, and after garbage was collected by force. MB are millions of bytes.`;

const DECISION = `Half of the grants name one repository by its id, half a branch of one beside it; each decision is another caller's.`;

const SIZE = `What \`s deploy\` uploads, and each file as its ZIP has it.`;

const EXPLAIN = `As a process, from its start to its end, the first time and again with what the first left in the cache; \`inside\` is the explanation alone.`;

const HELPER = `A whole process, from its start to its end, where the login is kept.`;
