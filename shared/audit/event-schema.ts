/**
 * The form of the audit trail's events, version 1: what `acr-broker audit` reads, and docs/audit-event.schema.json (`npm run docs`).
 * The broker itself writes by the types of log.ts, and a test holds the two together: what checks shapes is not loaded to write one.
 *
 * A reader of version 1 skips fields that it does not know; a field that goes, or comes to mean something else, makes version 2.
 */

import * as z from "zod/mini";

const text = (description: string) => z.string().check(z.describe(description));
const words = (description: string) => z.string().check(z.regex(/^[A-Za-z_]+$/, "is no word"), z.meta({ description }));
const instant = (description: string) =>
  z
    .string()
    .check(
      z.regex(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,9})?Z$/, "is no time in UTC"),
      z.meta({ description, format: "date-time" }),
    );
const count = (description: string) => z.int().check(z.describe(description));
const digest = (description: string) =>
  z.string().check(z.regex(/^sha256:[0-9a-f]{64}$/, "is no digest"), z.meta({ description }));

const common = {
  time: instant("when it was written, UTC"),
  version: z.literal(1).check(z.describe("of this form")),
  request_id: text("the broker's request id; the caller has it too"),
  trace_id: z.optional(text("the trace that the request is part of, where one is kept (W3C Trace Context)")),
  address: z.optional(text("where the request came from, where that is known for certain")),
  issuer: z.optional(text("the configured issuer that vouches for the caller")),
  issuer_member: z.optional(text("of a templated issuer, which one")),
  api_key: z.optional(text("instead of issuer: the configured API key")),
};

export const DecisionLine = z
  .object({
    ...common,
    event: z.literal("decision").check(z.describe("decided, and what came of it")),
    outcome: z.enum(["allow", "deny"]).check(z.describe("what the policy says")),
    explain: z.optional(z.literal(true).check(z.describe("only asked about (/v1/explain): nothing was to be issued"))),
    subject: text(
      "the issuer's name for the caller, or the API key's name; of a token its sub, which may hold any character",
    ),
    token_id: z.optional(text("the token's jti")),
    registry: text("the configured registry"),
    scope: z.array(z.string()).check(z.describe("what was asked for, canonical; where it was issued, exactly that")),
    policy_file: z.optional(text("the file that the lines of grants are of, as the broker was told it")),
    policy_digest: digest("the policy's digest; acr-broker check prints it"),
    grants: z
      .array(z.object({ name: z.string(), line: z.int() }))
      .check(z.describe("the grants that it rests on, with their lines; of a denial the nearest, or those that match")),
    reason: z.optional(words("of a denial: its kind")),
    failed_claim: z.optional(text("of a denial: the claim of the nearest grant that does not fit; never its value")),
    failed_limit: z.optional(words("of a denial: network or time")),
    block: z.optional(text("of a denial, or of access_denied: the block that stands against it")),
    quota: z.optional(words("of rate_limited: which of the policy's limits; none where STS's budget is used up")),
    issued: z.optional(
      z.boolean().check(z.describe("whether a credential was issued; the line is written before it leaves")),
    ),
    code: z.optional(words("where none was issued: why, as the caller was told")),
    role_arn: z.optional(text("the RAM role")),
    session_name: z.optional(text("the role session name, as ActionTrail has it")),
    cache: z.optional(
      words("where the credential came from; renewal: not given out, but made beside for those who come next"),
    ),
    budget_wait_ms: z.optional(count("how long it waited for a turn at STS")),
    token_fingerprint: z.optional(text("sha256: and the SHA-256 of the credential's password; never the password")),
    expires_at: z.optional(instant("when the credential ends, UTC")),
    lifetime_seconds: z.optional(count("how much of its life was left, seconds")),
    duration_ms: z.optional(count("from the request's arrival to this event; not of a renewal")),
    assume_role_request_id: z.optional(text("STS's request id")),
    authorization_token_request_id: z.optional(text("ACR's request id")),
    upstream_code: z.optional(text("where the cloud refused: its code")),
  })
  .check(z.meta({ title: "decision" }));

export const RefusedLine = z
  .object({
    ...common,
    event: z.literal("refused").check(z.describe("ended before anything was decided")),
    route: text("the path that was asked"),
    status: count("the HTTP status of the answer"),
    code: words("why, as the caller was told"),
    quota: z.optional(words("of rate_limited: which of the policy's limits; none where the broker is full")),
    subject: z.optional(text("the caller, where all of its credential was verified")),
    policy_digest: digest("the policy's digest"),
    duration_ms: count("from the request's arrival to this event"),
  })
  .check(z.meta({ title: "refused" }));

export type DecisionLine = z.infer<typeof DecisionLine>;
export type RefusedLine = z.infer<typeof RefusedLine>;

/** JSON Schema, draft 2020-12, for readers: it lets fields pass that it does not know. `strict`: it does not. */
export function eventSchema({ strict = false } = {}): object {
  const line = z
    .discriminatedUnion("event", [DecisionLine, RefusedLine])
    .check(z.meta({ title: "acr-token-broker audit event, version 1" }));
  return z.toJSONSchema(line, { io: strict ? "output" : "input" });
}
