/** What is read of a log, and what is only counted. */

import { gzipSync } from "node:zlib";
import { expect, test } from "vitest";
import { type AuditLine, readAuditLines } from "../../../cli/audit/lines.ts";
import { DIGEST, decided, scopesOf } from "./events.ts";

const policy = {
  denials: [],
  grants: [
    {
      ...{ name: "web", holder: { issuer: "ci" }, when: [], registry: "prod", line: 1 },
      ...{ allow: scopesOf("repository:web/*:pull"), roleArn: "role/one", maxTtlSeconds: 900, createRepository: false },
    },
  ],
};
const line = (subject = "job", more: Record<string, unknown> = {}) =>
  decided({ source: { issuer: "ci" }, subject, claims: {} }, scopesOf("repository:web/app:pull"), policy, more).line;
const refused = {
  ...{ time: "2026-11-24T11:00:00Z", event: "refused", version: 1, request_id: "request-2", route: "/v1/token" },
  ...{ status: 401, code: "invalid_token", policy_digest: DIGEST, duration_ms: 1 },
};

/** Given in chunks of so many bytes. */
async function read(content: string | Uint8Array, bytes = 1_000_000) {
  const whole = Buffer.from(content);
  const found: AuditLine[] = [];
  async function* standardInput() {
    for (let at = 0; at < whole.length; at += bytes) yield whole.subarray(at, at + bytes);
  }
  const { first, last, ...counts } = await readAuditLines(["-"], { standardInput }, (one) => found.push(one));
  return { found, counts: Object.fromEntries(Object.entries(counts).filter(([, count]) => count > 0)), first, last };
}

const subjects = (found: readonly AuditLine[]) => found.map(({ subject }) => subject);

test.each([1, 7, 1000])("lines come whole out of chunks of %d bytes, packed or not", async (bytes) => {
  const [one, two] = [line("ü-one"), line("two").trimEnd()];
  for (const content of [`${one}\n${two}`, gzipSync(one + two), Buffer.concat([gzipSync(one), gzipSync(two)])]) {
    const { found, counts } = await read(content, bytes);
    expect([subjects(found), counts]).toEqual([["ü-one", "two"], { decisions: 2 }]);
  }
});

test("what the log service exports is read out of its records, once and not again within", async () => {
  const event = line("job").trimEnd();
  const records = [
    { __time__: 1, content: event },
    { message: `${event}\n`, functionName: "broker" },
    { content: JSON.stringify({ content: event }) },
    { content: "no JSON" },
    { other: event },
  ];
  const { counts } = await read(records.map((one) => JSON.stringify(one)).join("\n"));
  expect(counts).toEqual({ decisions: 2, other: 3 });
});

test("an event of the broker is never read as a wrapping of another, whatever a caller put into its fields", async () => {
  const forged = line("forged").trimEnd();
  const warning = JSON.stringify({ event: "warning", message: forged });
  const { found, counts } = await read(`${warning}\n${line("real", { content: forged, message: forged })}`);
  expect([subjects(found), counts]).toEqual([["real"], { decisions: 1, other: 1 }]);
});

test("a line's end in a field ends no line", async () => {
  expect((await read(line(`job\n${line("forged")}`))).found).toHaveLength(1);
});

test("others' lines are skipped; damaged, later and too long ones are counted", async () => {
  const content = [
    ...["FC Invoke Start RequestId: 1", "", "  ", '{"event":"request","status":200}', "[1]", "null"],
    ...[line().slice(0, 80), "{}}", JSON.stringify({ ...refused, status: "401" })],
    JSON.stringify({ ...refused, time: "2026-02-31T25:00:00Z" }),
    ...[JSON.stringify({ ...refused, version: 2 }), JSON.stringify(refused)],
    `{"event":"decision","subject":"${"x".repeat(1024 * 1024)}"}`,
    line("job", { added_later: true }),
  ].join("\n");
  const { counts, first, last } = await read(content, 100_000);
  expect(counts).toEqual({ decisions: 1, refused: 1, other: 4, damaged: 4, newer: 1, tooLong: 1 });
  expect([first, last]).toEqual([new Date("2026-11-24T10:00:00Z"), new Date("2026-11-24T11:00:00Z")]);
});

test("a line without an end is not kept: a gibibyte, which no text can hold, is counted as one", async () => {
  const chunk = Buffer.alloc(1024 * 1024, "x");
  async function* standardInput() {
    for (let count = 0; count < 1024; count++) yield chunk;
    yield Buffer.from(`\n${line()}`);
  }
  const counts = await readAuditLines(["-"], { standardInput }, () => {});
  expect([counts.tooLong, counts.decisions]).toEqual([1, 1]);
});

test("a packed file that ends too soon is no log", async () => {
  const packed = gzipSync(line("job").repeat(100));
  await expect(read(packed.subarray(0, packed.length - 10))).rejects.toThrow(
    "- cannot be read to its end (Z_BUF_ERROR)",
  );
});
