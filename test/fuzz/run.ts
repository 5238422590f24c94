/**
 * `npm run fuzz`: the properties of test/fuzz/ for ten minutes in all, or `-- --minutes 60`; with part of a name, those alone.
 * An input that breaks one goes into kept.json, which the tests try from then on. Exit code 1 where there was one.
 */

import { parseArgs } from "node:util";
import { config } from "./config.ts";
import { decision } from "./decision.ts";
import { keep } from "./fuzzed.ts";
import { requests } from "./requests.ts";

const { values, positionals } = parseArgs({
  options: { minutes: { type: "string", default: "10" } },
  allowPositionals: true,
});
const minutes = Number(values.minutes);
if (!(minutes > 0)) throw new Error("--minutes takes a number above 0");
const chosen = [...requests, ...config, ...decision].filter(
  ({ name }) => positionals.length === 0 || positionals.some((word) => name.includes(word)),
);
if (chosen.length === 0) throw new Error(`no property has ${positionals.join(" or ")} in its name`);
const limitMs = (minutes * 60_000) / chosen.length;

async function main(): Promise<void> {
  for (const { name, run } of chosen) {
    const { runs, broken } = await run({ numRuns: Number.MAX_SAFE_INTEGER, limitMs });
    console.log(`${broken === undefined ? "holds " : "BROKEN"} ${name} (${runs} times)`);
    if (broken === undefined) continue;
    console.log(`  seed ${broken.seed}, ${JSON.stringify(broken.input)}\n  ${broken.error.split("\n")[0]}`);
    keep(broken);
    process.exitCode = 1;
  }
}

void main();
