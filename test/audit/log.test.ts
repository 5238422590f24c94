import { expect, test } from "vitest";
import { jsonLog, type LogEvent } from "../../shared/audit/log.ts";

const written = (...args: Parameters<ReturnType<typeof jsonLog>>) => {
  const lines: string[] = [];
  jsonLog(
    (line) => lines.push(line),
    () => new Date("2026-06-01T12:00:00Z"),
  )(...args);
  return lines;
};

const decision: LogEvent = {
  event: "decision",
  version: 1,
  request_id: "request-1",
  outcome: "allow",
  issuer: "ci",
  subject: 'job "\n{}',
  registry: "prod",
  scope: ["repository:web/app:pull"],
  policy_digest: "sha256:0",
  grants: [{ name: "web", line: 1 }],
};

test("an event is one line of JSON, the time first", () => {
  const lines = written(decision);
  expect(lines).toEqual([`${JSON.stringify({ time: "2026-06-01T12:00:00.000Z", ...decision })}\n`]);
});

test("what has come of a decision stands at the end of its line", () => {
  const outcome = { issued: true, cache: "hit", session_name: "ci,job}" } as const;
  const lines = written(decision, outcome);
  expect(lines).toEqual([`${JSON.stringify({ time: "2026-06-01T12:00:00.000Z", ...decision, ...outcome })}\n`]);
});
