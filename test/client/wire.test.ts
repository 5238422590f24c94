/** The SDK's types of what goes over the wire are those that the broker's schema takes and its answer is made of. */

import { expectTypeOf, test } from "vitest";
import type { TokenRequestFields } from "../../functions/broker/request-schemas.ts";
import type { TokenResponseBody } from "../../functions/broker/token-response.ts";
import type { TokenAnswer, TokenFields } from "../../shared/client/wire.ts";

/** As whoever only reads it sees it. */
type Read<T> = { readonly [Name in keyof T]: T[Name] extends readonly (infer Item)[] ? readonly Item[] : T[Name] };

// Held by `npm run typecheck`: a field that is added, dropped or changed on one side fails there.
test("the SDK asks in the fields of the broker's schema", () => {
  expectTypeOf<TokenFields>().toEqualTypeOf<Omit<TokenRequestFields, "format">>();
});

test("the SDK reads the fields of the broker's answer", () => {
  expectTypeOf<TokenAnswer>().toEqualTypeOf<Read<TokenResponseBody>>();
});
