/**
 * The list of blocks as it is at this moment: read again, by the first request that comes, when it is two seconds old. So it needs no
 * timer, which an instance that Function Compute has frozen would not have, and an idle one costs nothing. A source that cannot be
 * read, is gone or is broken never takes a block away. Decision: docs/decisions/0006-blocks.md
 */

import type { Log } from "../../shared/audit/log.ts";
import { BLOCK_VARIABLE, blocksKey, isOfPolicy } from "../../shared/config/block-places.ts";
import type { BrokerConfig } from "../../shared/config/config.ts";
import { BrokerError } from "../../shared/error.ts";
import { ASK_THE_OPERATOR, type Block, type BlockList, blockList, parseBlock } from "../../shared/policy/blocks.ts";
import type { SharedRedis } from "../../shared/store/redis.ts";

/** How old a list may be that a request is held against. */
const FRESH_MS = 2_000;
/** How old with `when_unreadable: refuse`, where it cannot be read again. */
const LONGEST_KEPT_MS = 30_000;
const MOST_ENTRIES = 1_000;
export const MOST_BLOCK_BYTES = 64 * 1024;
/** How many are told in one line of the log. */
const MOST_TOLD = 10;

export interface Blocks {
  /** Waits for Redis or the file where what is known is two seconds old. @throws BrokerError not_ready with `when_unreadable: refuse` */
  current(): Promise<BlockList>;
  /** What `current` would answer without waiting; undefined where it would wait, or refuse. The same list until something changes. */
  known(): BlockList | undefined;
  /** Since all of it was read; undefined where nothing but the environment has any, or it never was. */
  ageSeconds(): number | undefined;
  /** How many are in force, as they were read last. */
  count(): number;
}

/** What a source holds at the moment, an entry each; or why that cannot be known. `unavailable`: Redis is, which is told elsewhere. */
type Read = () => Promise<readonly string[] | { readonly problem: string } | "unavailable">;

interface Source {
  readonly name: string;
  readonly read: Read;
  blocks: ReadonlyMap<string, Block>;
  /** When it was read last, in ms since the epoch; undefined: never. */
  readAt?: number;
  /** What was told of it last. */
  told?: string;
}

export interface BlocksParts {
  readonly config: BrokerConfig;
  /** The value of ACR_BROKER_BLOCK. */
  readonly fromEnvironment: string | undefined;
  readonly redis: Pick<SharedRedis, "run" | "warm"> | undefined;
  /** Reads a file beside the policy. */
  readonly readBeside: (name: string) => Promise<Uint8Array>;
  readonly now: () => Date;
  readonly log: Log;
}

export function blocks({ config, fromEnvironment = "", redis, readBeside, now, log }: BlocksParts): Blocks {
  const { file, whenUnreadable = "keep", contact } = config.blocks ?? {};
  const written = linesOf(fromEnvironment);
  const fixed = typeof written === "string" ? NOTHING : entriesOf(written).blocks;
  const sources: Source[] = [
    ...(redis === undefined || config.redis === undefined
      ? []
      : [{ name: "Redis", read: fromRedis(redis, blocksKey(config.redis)), blocks: NOTHING }]),
    ...(file === undefined
      ? []
      : [{ name: `the file ${file}`, read: fromFile(() => readBeside(file)), blocks: NOTHING }]),
  ];
  let list = blockList(NOTHING, contact);
  let known: ReadonlyMap<string, Block> = NOTHING;
  let askedAt = Number.NEGATIVE_INFINITY;
  let reading: Promise<void> | undefined;
  compose();

  function warn(message: string): void {
    log({ event: "warning", message });
  }

  async function readAgain(source: Source): Promise<void> {
    const read = await source.read();
    if (read === "unavailable") return;
    const found = "problem" in read ? undefined : entriesOf(read);
    const problem = "problem" in read ? read.problem : (found?.problem ?? isGone(source, read));
    if (found !== undefined) {
      source.readAt = now().getTime();
      // Of a list with a mistake in it only what was added counts: what it lacks may be what the mistake was.
      source.blocks = problem === undefined ? found.blocks : new Map([...source.blocks, ...found.blocks]);
    }
    if (problem !== undefined && problem !== source.told) warn(`blocks of ${source.name}: ${problem}`);
    if (problem === undefined && source.told !== undefined) warn(`blocks of ${source.name}: they can be read again`);
    if (problem === undefined) delete source.told;
    else source.told = problem;
  }

  /** Tells what has changed, since that is part of the record, and what blocks nothing. */
  function compose(): void {
    const before = known;
    known = new Map([...fixed, ...sources.flatMap((source) => [...source.blocks])]);
    const added = [...known.keys()].filter((entry) => !before.has(entry));
    const lifted = [...before.keys()].filter((entry) => !known.has(entry));
    if (added.length === 0 && lifted.length === 0) return;
    list = blockList(known, contact ?? ASK_THE_OPERATOR);
    warn(`blocks: ${known.size} now${inWords(", added", added)}${inWords(", lifted", lifted)}`);
    const idle = added.filter((entry) => !isOfPolicy(known.get(entry) as Block, config));
    if (idle.length > 0)
      warn(`blocks that block nothing, since the policy has nothing of that name${inWords("", idle)}`);
  }

  async function readAll(): Promise<void> {
    await Promise.all(sources.map(readAgain));
    askedAt = now().getTime();
    compose();
  }

  /** Negative where the clock was put back: no age that would do. */
  const isWithin = (since: number | undefined, ms: number) => {
    const age = now().getTime() - (since ?? Number.NEGATIVE_INFINITY);
    return age >= 0 && age < ms;
  };

  const isOld = () => sources.length > 0 && !isWithin(askedAt, FRESH_MS);
  const isUnknown = () =>
    whenUnreadable === "refuse" && !sources.every(({ readAt }) => isWithin(readAt, LONGEST_KEPT_MS));

  return {
    async current() {
      if (isOld()) {
        reading ??= readAll().finally(() => {
          reading = undefined;
        });
        await reading;
      }
      if (isUnknown()) {
        throw new BrokerError("not_ready", "what is blocked cannot be read at the moment; try again", {
          retryAfterSeconds: 2,
        });
      }
      return list;
    },
    known: () => (isOld() || isUnknown() ? undefined : list),
    ageSeconds() {
      const times = sources.map(({ readAt }) => readAt ?? Number.NaN);
      const age = (now().getTime() - Math.min(...times)) / 1000;
      return Number.isFinite(age) ? Math.max(0, Math.round(age)) : undefined;
    },
    count: () => known.size,
  };
}

const NOTHING: ReadonlyMap<string, Block> = new Map();

/** What is wrong with the variable's value; undefined where nothing is. A broker that would not honour all of it must not start. */
export function blockVariableProblem(value: string | undefined): string | undefined {
  const lines = linesOf(value ?? "");
  const problem = typeof lines === "string" ? lines : entriesOf(lines).problem;
  return problem === undefined ? undefined : `the environment variable ${BLOCK_VARIABLE}: ${problem}`;
}

/** Lines that say something; one that begins with # is for people. Or that there are too many. */
function linesOf(text: string): string[] | string {
  const lines = text.split(/\r?\n/).filter((line) => !/^\s*(?:#|$)/.test(line));
  return lines.length > MOST_ENTRIES ? `it has more than ${MOST_ENTRIES} entries; block more with fewer` : lines;
}

function entriesOf(entries: readonly string[]): { blocks: Map<string, Block>; problem?: string } {
  const found = new Map<string, Block>();
  const problems: string[] = [];
  for (const entry of entries) {
    const parsed = parseBlock(entry);
    if ("problem" in parsed) problems.push(parsed.problem);
    else if (parsed.block !== undefined) found.set(entry.trim(), parsed.block);
  }
  const [first] = problems;
  if (first === undefined) return { blocks: found };
  return { blocks: found, problem: `${problems.length} of its entries cannot be read, the first: ${first}` };
}

/** A list that was there and has nothing in it any more was lost as likely as lifted. */
function isGone({ blocks: before }: Source, entries: readonly string[]): string | undefined {
  return entries.length > 0 || before.size === 0
    ? undefined
    : "the list is gone, so what it had stays blocked; to lift it all, write none into it";
}

function inWords(what: string, entries: readonly string[]): string {
  if (entries.length === 0) return "";
  const more = entries.length > MOST_TOLD ? ` and ${entries.length - MOST_TOLD} more` : "";
  return `${what}: ${entries.slice(0, MOST_TOLD).join("; ")}${more}`;
}

/** The set's members, unless it is too large to be one that a person has written. */
const MEMBERS = `
local kind = redis.call('TYPE', KEYS[1]).ok
if kind == 'none' then return {} end
if kind ~= 'set' then return 'is no set; make it one with DEL and SADD' end
if redis.call('SCARD', KEYS[1]) > tonumber(ARGV[1]) then return 'has more than ' .. ARGV[1] .. ' entries; block more with fewer' end
local members = redis.call('SMEMBERS', KEYS[1])
local bytes = 0
for _, member in ipairs(members) do bytes = bytes + #member end
if bytes > tonumber(ARGV[2]) then return 'is longer than ' .. ARGV[2] .. ' bytes; block more with fewer' end
return members`;

function fromRedis(redis: Pick<SharedRedis, "run" | "warm">, key: string): Read {
  let isKnown = false;
  return async () => {
    // The first time it is worth more than 50 ms: else whoever is blocked would be served by each new instance once.
    if (!isKnown) await redis.warm();
    isKnown = true;
    const answer = await redis.run(MEMBERS, [key], [MOST_ENTRIES, MOST_BLOCK_BYTES]);
    if (answer === "unavailable") return answer;
    const { reply } = answer;
    if (Array.isArray(reply)) return reply.map(String);
    return { problem: `${key} ${String(reply)}; what was blocked stays so` };
  };
}

function fromFile(read: () => Promise<Uint8Array>): Read {
  return async () => {
    try {
      const bytes = await read();
      if (bytes.length > MOST_BLOCK_BYTES)
        return { problem: `it is longer than ${MOST_BLOCK_BYTES} bytes; what was blocked stays so` };
      const lines = linesOf(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
      return typeof lines === "string" ? { problem: lines } : lines;
    } catch (error) {
      const why = (error as NodeJS.ErrnoException).code ?? "not UTF-8";
      return { problem: `it cannot be read (${why}); what was blocked stays so` };
    }
  };
}
