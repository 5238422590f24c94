/** The shape of a policy test file: a list of cases, claims in, allow or deny out. */

import * as z from "zod/mini";
import { normalAddress } from "../../shared/address.ts";
import { ruled } from "../../shared/config/schema.ts";
import { dateTime } from "../../shared/config/values.ts";

const name = (description: string) =>
  z.string().check(z.minLength(1, `is empty; write ${description}`), z.describe(description));

const list = (description: string) =>
  z
    .array(z.string())
    .check(z.minLength(1, "is an empty list; name at least one, or take the key out"), z.describe(description));

export const PolicyTestFile = z
  .array(
    z
      .strictObject({
        name: name("what the case shows, in words"),
        issuer: z.optional(name("the name of a configured issuer")),
        claims: z.optional(z.record(z.string(), z.unknown()).check(z.describe("the caller's claims, as in its token"))),
        api_key: z.optional(name("the name of a configured API key")),
        address: z.optional(
          ruled(
            (value) => (normalAddress(value) === value ? undefined : "is not an IP address as it is usually written"),
            "the address that the request comes from",
          ),
        ),
        time: z.optional(ruled(dateTime, "when it is made, a date and time with its zone: 2027-06-30T00:00:00Z")),
        scope: z.optional(
          z.union([z.string(), list("the scopes that are asked for")]).check(z.describe("a scope or a list of scopes")),
        ),
        grant: z.optional(name("the name of a grant, for all that it gives")),
        registry: z.optional(name("the name of a configured registry")),
        expect: z.enum(["allow", "deny"]).check(z.describe("what the broker should answer")),
        grants: z.optional(list("exactly the grants that it should rest on")),
        ttl: z.optional(z.int().check(z.describe("how many seconds the credential may live, exactly"))),
        reason: z.optional(
          z
            .enum(["condition", "scope", "roles", "denied", "ceiling", "stranger"])
            .check(z.describe("why it should be denied")),
        ),
        claim: z.optional(name("the claim whose condition should fail, of the nearest grant")),
        limit: z.optional(
          z.enum(["network", "time"]).check(z.describe("the limit that should not be kept, of the nearest grant")),
        ),
      })
      .check(z.describe("a case: a map with name, claims, scope and expect")),
  )
  .check(z.minLength(1, "has no case; write at least one"), z.describe("a list of cases"));

export type PolicyTestCase = z.infer<typeof PolicyTestFile>[number];
