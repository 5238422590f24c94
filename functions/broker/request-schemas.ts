/**
 * What requests may hold, as schemas for the API's description. Requests are not read with them (token-request.ts does that by hand,
 * and a test holds both equal): loading and making them would be a good part of a start.
 */

import * as z from "zod/mini";
import { SHORTEST_LIFETIME_SECONDS } from "../../shared/policy/grant.ts";
import { ACCESS_TOKEN, GRANT_TYPE, SUBJECT_TOKEN_TYPES } from "./token-exchange-request.ts";
import { FORMATS, LONGEST_NAME, TTL_TOO_SHORT } from "./token-request.ts";

const name = z
  .string()
  .check(z.minLength(1, "must not be empty"), z.maxLength(LONGEST_NAME, "is longer than a name may be"));
const seconds = z.int("must be a whole number of seconds");

export const tokenRequestSchema = z.strictObject({
  registry: z.optional(name),
  scope: z.optional(z.array(z.string())),
  grant: z.optional(name),
  ttl: z.optional(seconds.check(z.minimum(SHORTEST_LIFETIME_SECONDS, TTL_TOO_SHORT))),
  min_ttl: z.optional(seconds.check(z.minimum(0, "must not be negative"))),
  format: z._default(z.enum(FORMATS, `must be one of ${FORMATS.join(", ")}`), "json"),
});

/** The fields as a caller writes them. */
export type TokenRequestFields = z.input<typeof tokenRequestSchema>;

const { grant, ttl, min_ttl } = tokenRequestSchema.shape;

export const tokenExchangeSchema = z.object({
  grant_type: z.literal(GRANT_TYPE),
  subject_token: z.string(),
  subject_token_type: z.enum(SUBJECT_TOKEN_TYPES, `must be one of ${SUBJECT_TOKEN_TYPES.join(", ")}`),
  audience: z.optional(z.string()),
  scope: z.optional(z.string()),
  requested_token_type: z.optional(z.literal(ACCESS_TOKEN, `must be ${ACCESS_TOKEN}; nothing else is issued here`)),
  client_id: z.optional(z.string()),
  grant,
  ttl,
  min_ttl,
});

export type TokenExchangeFields = z.input<typeof tokenExchangeSchema>;
