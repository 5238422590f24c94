/** The fields of a request are read by hand, and described by schemas: both say the same of all of them. */

import fc from "fast-check";
import { expect, test } from "vitest";
import { tokenExchangeSchema, tokenRequestSchema } from "../../functions/broker/request-schemas.ts";
import { EXCHANGE_FIELDS } from "../../functions/broker/token-exchange-request.ts";
import { checkedFields, FIELDS } from "../../functions/broker/token-request.ts";

const text = fc.oneof(fc.string(), fc.constantFrom("", "web", "x".repeat(63), "x".repeat(64), "json", "env"));
const number = fc.oneof(
  fc.integer({ min: -1, max: 1000 }),
  fc.constantFrom(899, 900, 0.5, 900.5, 2 ** 53, -0, Number.NaN, Number.POSITIVE_INFINITY),
);
const value = fc.oneof(text, number, fc.array(fc.oneof(text, number)), fc.constantFrom(null, true, {}, [], undefined));
const likely = fc.record(
  { registry: text, scope: fc.array(text), grant: text, ttl: number, min_ttl: number, format: text },
  { requiredKeys: [] },
);
const unlikely = fc.dictionary(
  fc.oneof(fc.constantFrom<string>(...FIELDS, "constructor", "toString"), fc.string()),
  value,
);

/** What is refused first: the field, and where that is unknown to whom. */
function refusedBySchema(fields: object): string | undefined {
  const [issue] = tokenRequestSchema.safeParse(fields).error?.issues ?? [];
  if (issue === undefined) return undefined;
  return issue.code === "unrecognized_keys" ? "no field" : issue.path.join(".");
}

function refusedByHand(fields: Record<string, unknown>): string | undefined {
  try {
    checkedFields(fields);
    return undefined;
  } catch (error) {
    const { message } = error as Error;
    return message.includes("is no field of this request") ? "no field" : message.slice(0, message.indexOf(" "));
  }
}

test("of any fields the same one is refused, or none", () => {
  fc.assert(
    fc.property(fc.oneof(likely, unlikely), (fields) => {
      expect(refusedByHand(fields as Record<string, unknown>)).toBe(refusedBySchema(fields));
    }),
    { numRuns: 2_000, seed: 1 },
  );
});

test("both know the same fields", () => {
  expect(FIELDS).toEqual(Object.keys(tokenRequestSchema.shape));
  expect(EXCHANGE_FIELDS).toEqual(Object.keys(tokenExchangeSchema.shape));
});
