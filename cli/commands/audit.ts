/** `acr-broker audit`: what the log says of who got what, who could have, and what of the policy nobody needs. */

import { readFileSync } from "node:fs";
import { type Action, parseScope, type Scope } from "../../shared/policy/scope.ts";
import { type PolicyFile, whoCouldPush } from "../audit/could-push.ts";
import { type Counts, readAuditLines } from "../audit/lines.ts";
import { DAY_MS, periodOf } from "../audit/period.ts";
import { doubtOf, type Question } from "../audit/question.ts";
import { broaderGrants, type Days, unusedGrants } from "../audit/unneeded.ts";
import { whoGotWhat } from "../audit/who-got-what.ts";
import { command, EXIT, type Terminal, UsageError, type Values } from "../command.ts";
import { plural } from "../plural.ts";
import { readPolicy } from "../policy-cache.ts";
import { JSON_OPTION, policyFile } from "../policy-file.ts";

const OPTIONS = {
  repository: { type: "string", value: "NAMESPACE/NAME", help: "only what was given on this repository" },
  principal: {
    type: "string",
    value: "NAME",
    help: "only this caller, github:repo:acme/web:…; * at the end for all that begin so",
  },
  registry: { type: "string", value: "NAME", help: "only this registry" },
  since: { type: "string", value: "TIME", help: "only from this day or time on" },
  until: { type: "string", value: "TIME", help: "only up to this day, which counts, or time" },
  "could-push": { type: "string", value: "NAMESPACE/NAME", help: "who held a credential to push there, with --at" },
  at: { type: "string", value: "TIME", help: "the day, 2026-11-24, or the time, 2026-11-24T09:30:00Z" },
  "unused-grants": { type: "boolean", help: "which grants of the policy were not used" },
  "broader-grants": { type: "boolean", help: "which give more than was used, and the YAML of narrower ones" },
  days: {
    type: "string",
    value: "N",
    help: "of these two: how many days back, 90 when left out; from --until, else from now",
  },
  config: {
    type: "string",
    value: "FILE",
    help: "the policy of these two; with --could-push also which of its grants give it",
  },
  json: JSON_OPTION,
} as const;

type Asked = Values<typeof OPTIONS>;

export const audit = command({
  usage: "FILES…|-",
  description: `
Reads the broker's log, JSON lines as they are, packed with gzip, or as the log service exports them (in the
field content or message of a record), and says who got what: each caller with each set of scopes, how often,
and when. Times are UTC. Other lines are skipped; what could not be read is counted on standard error.

--could-push says who held a credential to push to a repository at a time, --unused-grants and
--broader-grants compare the policy with what was issued under it.

Exit code 0 where somebody got it or could push, and no grant is unused or too broad; 1 where nobody did, or
one is; 2 where the log cannot tell: it does not reach back so far, or lines are damaged and the answer is no.`,
  options: OPTIONS,
  mostPositionals: Number.MAX_SAFE_INTEGER,
  examples: [
    "acr-broker audit broker.jsonl --repository web/app --since 2026-11-01",
    "acr-broker audit logs/*.gz --could-push web/app --at 2026-11-24",
    "acr-broker audit - --unused-grants --days 90 --config broker.yaml < broker.jsonl",
    "acr-broker audit broker.jsonl --broader-grants > narrower.yaml",
  ],
  async run({ options, positionals }, terminal) {
    if (positionals.length === 0) throw new UsageError("name the files of the log, or - for standard input");
    const question = await questionOf(options, terminal);
    const counts = await readAuditLines(positionals, terminal, question.take);
    terminal.tell(countsText(counts));
    if (counts.decisions + counts.refused === 0) {
      throw new UsageError("there is no audit event of the broker in it; name the files with its standard output");
    }
    const answer = question.answer(counts);
    const doubt = doubtOf(answer, counts);
    const { first, last, ...rest } = counts;
    const log = { ...rest, first: first?.toISOString(), last: last?.toISOString() };
    const json = { ...answer.json, certain: doubt === undefined, ...(doubt === undefined ? {} : { doubt }), log };
    terminal.out(options.json === true ? `${JSON.stringify(json)}\n` : answer.text);
    if (doubt === undefined) return answer.code;
    terminal.tell(`acr-broker: do not rely on that: ${doubt}\n`);
    return EXIT.trouble;
  },
});

const QUESTIONS = ["could-push", "unused-grants", "broader-grants"] as const;

/** Which options go with which question. */
const USEFUL: Readonly<Record<(typeof QUESTIONS)[number] | "given", readonly string[]>> = {
  given: ["repository", "principal", "registry", "since", "until"],
  "could-push": ["at", "registry", "config"],
  "unused-grants": ["days", "until", "config"],
  "broader-grants": ["days", "until", "config"],
};

/** @throws UsageError, ConfigError */
async function questionOf(options: Asked, terminal: Terminal): Promise<Question> {
  const [kind, second] = QUESTIONS.filter((name) => options[name] !== undefined);
  if (second !== undefined) throw new UsageError(`--${kind} and --${second} are two questions; ask one at a time`);
  const useful: readonly string[] = [...USEFUL[kind ?? "given"], "json", ...(kind === undefined ? [] : [kind])];
  const useless = Object.keys(options).find((option) => !useful.includes(option));
  if (useless !== undefined) {
    const where = kind === undefined ? `without --${QUESTIONS.join(", --")}` : `with --${kind}`;
    throw new UsageError(`--${useless} has no use ${where}; see acr-broker audit --help`);
  }
  switch (kind) {
    case "could-push": {
      const target = scopeOf(options["could-push"], "could-push", ["push"]);
      if (target === undefined || options.at === undefined) {
        throw new UsageError("--could-push needs the day or time: --at 2026-11-24");
      }
      const policy = options.config === undefined ? undefined : await policyOf(options, terminal);
      return whoCouldPush(target, periodOf(options.at, "at"), options.registry, policy);
    }
    case "unused-grants":
      return unusedGrants(await policyOf(options, terminal), lastDays(options, terminal.now()));
    case "broader-grants": {
      const policy = await policyOf(options, terminal);
      const { narrowerYaml } = await import("../audit/narrower-yaml.ts");
      const text = readFileSync(policy.file, "utf8");
      return broaderGrants(policy, lastDays(options, terminal.now()), (allows) => narrowerYaml(text, allows));
    }
    default:
      return whoGotWhat({
        repository: scopeOf(options.repository, "repository", ["pull", "push"]),
        principal: options.principal,
        registry: options.registry,
        period: {
          ...(options.since === undefined ? {} : { from: periodOf(options.since, "since").from }),
          ...(options.until === undefined ? {} : { to: periodOf(options.until, "until").to }),
        },
      });
  }
}

async function policyOf({ config: given }: Asked, terminal: Terminal): Promise<PolicyFile> {
  const file = policyFile(given, terminal);
  return { file, config: await readPolicy(file, terminal) };
}

function scopeOf(text: string | undefined, option: string, actions: readonly Action[]): Scope | undefined {
  if (text === undefined) return undefined;
  const read = parseScope(`repository:${text}:${actions.join(",")}`);
  if ("scope" in read) return read.scope;
  throw new UsageError(`--${option} is a repository, web/app, or a whole namespace, "web/*": ${read.problem}`);
}

function lastDays({ days = "90", until }: Asked, now: Date): Days {
  if (!/^[1-9]\d{0,3}$/.test(days)) throw new UsageError("--days is a number of days, 1 to 9999");
  const to = until === undefined ? now : periodOf(until, "until").to;
  return { days: Number(days), from: new Date(to.getTime() - Number(days) * DAY_MS), to };
}

function countsText({ decisions, refused, other, damaged, newer, tooLong }: Counts): string {
  const skipped = [
    damaged > 0 && `${plural(damaged, "line")} damaged`,
    newer > 0 && `${plural(newer, "line")} of a later version of the form (use a newer acr-broker)`,
    tooLong > 0 && `${plural(tooLong, "line")} over a mebibyte`,
  ].filter((part) => typeof part === "string");
  const read = `read ${plural(decisions, "decision")} and ${plural(refused, "refusal")}, skipped ${plural(other, "other line")}`;
  return `${[read, ...skipped].join(", ")}\n`;
}
