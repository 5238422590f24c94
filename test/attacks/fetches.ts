/** Tokens of issuers that are configured and mean harm: what the broker is told to fetch it does not fetch. */

import { ask, refused } from "./attack.ts";
import type { Attacker } from "./attacker.ts";
import { HOSTILE } from "./hostile-issuers.ts";

/** One for each issuer; who signs does not matter, since no key is believed. */
export const fetches = refused(
  503,
  "issuer_unavailable",
  Object.fromEntries(
    HOSTILE.map((path) => [
      path.slice(1),
      (a: Attacker) => ask(a.sign(a.claims({ iss: a.hostile.origin + path }), {}, a.keys.strangerRsa)),
    ]),
  ),
);
