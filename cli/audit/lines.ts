/**
 * The log, file by file and chunk by chunk: it may be larger than memory, packed, and have anybody's lines between the broker's.
 * What cannot be read is counted, never guessed at, and a line is no longer than what is kept of it.
 */

import { createReadStream } from "node:fs";
import { Readable } from "node:stream";
import { createGunzip } from "node:zlib";
import { DecisionLine, RefusedLine } from "../../shared/audit/event-schema.ts";
import { type Terminal, UsageError } from "../command.ts";

/** A decision's line has a few thousand characters; a token of 8 KiB has no place in one. */
const LONGEST_LINE_BYTES = 1024 * 1024;

export type AuditLine = DecisionLine | RefusedLine;

export interface Counts {
  decisions: number;
  refused: number;
  /** No audit events: the broker's other events, and others' lines. */
  other: number;
  /** Of the broker, or JSON that ends too soon, and not to be read. */
  damaged: number;
  /** Of a later version of the form. */
  newer: number;
  /** Over a mebibyte. */
  tooLong: number;
  /** When the first and the last audit event were written, as they say themselves. */
  first?: Date;
  last?: Date;
}

/** Hands each audit event to `take`, in the order of the files. `-` is standard input. @throws UsageError for what cannot be read */
export async function readAuditLines(
  files: readonly string[],
  terminal: Pick<Terminal, "standardInput">,
  take: (line: AuditLine) => void,
): Promise<Counts> {
  const counts: Counts = { decisions: 0, refused: 0, other: 0, damaged: 0, newer: 0, tooLong: 0 };
  for (const file of files) {
    try {
      const chunks = file === "-" ? terminal.standardInput() : createReadStream(file);
      for await (const line of linesOf(unpacked(chunks))) count(line, counts, take);
    } catch (error) {
      if (!(error instanceof Error && "code" in error)) throw error;
      throw new UsageError(
        `${file} cannot be read to its end (${error.code}); name files of JSON lines, plain or packed with gzip`,
      );
    }
  }
  return counts;
}

/** Whether a line is missing that may have been one of the broker's. */
export function isIncomplete({ damaged, newer, tooLong }: Counts): boolean {
  return damaged + newer + tooLong > 0;
}

/** Unpacks what begins as gzip does (RFC 1952 section 2.3.1), whatever its name. */
async function* unpacked(chunks: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  const rest = chunks[Symbol.asyncIterator]();
  let start = Buffer.alloc(0);
  while (start.length < 2) {
    const { done, value } = await rest.next();
    if (done) break;
    start = Buffer.concat([start, value]);
  }
  async function* whole(): AsyncGenerator<Uint8Array> {
    yield start;
    yield* { [Symbol.asyncIterator]: () => rest };
  }
  if (start[0] !== 0x1f || start[1] !== 0x8b) {
    yield* whole();
    return;
  }
  const gunzip = createGunzip();
  const source = Readable.from(whole(), { objectMode: false });
  source.once("error", (error) => gunzip.destroy(error));
  yield* source.pipe(gunzip);
}

/** Each line without its end; undefined for one that is too long, of which nothing is kept. */
async function* linesOf(chunks: AsyncIterable<Uint8Array>): AsyncGenerator<string | undefined> {
  let kept: Uint8Array[] = [];
  let length = 0;
  const take = (part: Uint8Array) => {
    length += part.length;
    if (length > LONGEST_LINE_BYTES) kept = [];
    else kept.push(part);
  };
  const ended = () => {
    const line = length > LONGEST_LINE_BYTES ? undefined : Buffer.concat(kept).toString("utf8");
    [kept, length] = [[], 0];
    return line;
  };
  for await (const chunk of chunks) {
    let from = 0;
    for (let end = chunk.indexOf(10); end !== -1; end = chunk.indexOf(10, from)) {
      take(chunk.subarray(from, end));
      yield ended();
      from = end + 1;
    }
    take(chunk.subarray(from));
  }
  if (length > 0) yield ended();
}

function count(text: string | undefined, counts: Counts, take: (line: AuditLine) => void): void {
  if (text?.trim() === "") return;
  const line = text === undefined ? "tooLong" : auditLine(text);
  if (typeof line === "string") {
    counts[line]++;
    return;
  }
  counts[line.event === "decision" ? "decisions" : "refused"]++;
  const time = new Date(line.time);
  if (counts.first === undefined || time < counts.first) counts.first = time;
  if (counts.last === undefined || time > counts.last) counts.last = time;
  take(line);
}

function auditLine(text: string): AuditLine | "other" | "damaged" | "newer" {
  if (!text.trimStart().startsWith("{")) return "other";
  const outer = parsed(text);
  if (outer === undefined) return "damaged";
  const event = typeof outer["event"] === "string" ? outer : inner(outer);
  if (event === undefined) return "damaged";
  const form = event["event"] === "decision" ? DecisionLine : event["event"] === "refused" ? RefusedLine : undefined;
  if (form === undefined) return "other";
  if (typeof event["version"] === "number" && event["version"] > 1) return "newer";
  const read = form.safeParse(event);
  // 30 February has the form of a day.
  return read.success && !Number.isNaN(Date.parse(read.data.time)) ? read.data : "damaged";
}

/** The line as the log service exports it: in a field of a record of its own, `content`, or `message` of Function Compute's. Once, not again within. */
function inner(record: Record<string, unknown>): Record<string, unknown> | undefined {
  const text = [record["content"], record["message"]].find((field) => typeof field === "string");
  return typeof text === "string" && text.trimStart().startsWith("{") ? parsed(text) : {};
}

function parsed(text: string): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === "object" && value !== null ? (value as Record<string, unknown>) : undefined;
  } catch {
    return undefined;
  }
}
