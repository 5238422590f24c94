/** What was good once: the same again, in other bytes, for something else, by the other way in. */

import { randomUUID } from "node:crypto";
import { credential } from "../identity/signing.ts";
import { type Attack, ask, askExchange, refused } from "./attack.ts";
import { type Attacker, BOUND, type Facts, ONCE } from "./attacker.ts";

/** The order of P-256 (FIPS 186-4, D.1.2.3). */
const ORDER = 0xffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551n;

/** The other signature that the same key and the same text have: r and order - s. */
function twin(token: string): string {
  const [header, payload, signature] = token.split(".") as [string, string, string];
  const bytes = Buffer.from(signature, "base64url");
  const s = ORDER - BigInt(`0x${bytes.subarray(32).toString("hex")}`);
  const other = Buffer.concat([bytes.subarray(0, 32), Buffer.from(s.toString(16).padStart(64, "0"), "hex")]);
  return `${header}.${payload}.${other.toString("base64url")}`;
}

const once = (a: Attacker, changed: Facts = {}) => a.sign(a.claims({ iss: ONCE, ...changed }));
const bound = (a: Attacker) => a.sign(a.claims({ iss: BOUND }));
const other = JSON.stringify({ registry: "prod", scope: ["repository:web/lib:pull"] });
const identity = (a: Attacker) => credential(a.signed());

export const used: Attack[] = [
  ...refused(401, "token_replayed", {
    "a token that is good once, again": async (a) => ask(await a.spend(once(a))),
    "it again for something else": async (a) => ask(await a.spend(once(a)), { body: other }),
    "it again with the other signature that it has": async (a) => ask(twin(await a.spend(once(a)))),
    "another token of the same id": async (a) => {
      const jti = randomUUID();
      await a.spend(once(a, { jti }));
      return ask(once(a, { jti, ref: "refs/heads/other" }));
    },
    "a token that is bound to its first use, for something else": async (a) =>
      ask(await a.spend(bound(a)), { body: other }),
    "a bound token for a whole namespace": async (a) =>
      ask(await a.spend(bound(a)), { body: '{"registry":"prod","scope":["repository:web/*:pull"]}' }),
    "a bound token's other signature, for something else": async (a) =>
      ask(twin(await a.spend(bound(a))), { body: other }),
    "a signed identity, again": async (a) => ask(await a.spend(identity(a))),
  }),
  ...refused(400, "token_replayed", {
    "a token that is good once, again by the exchange": async (a) => askExchange(await a.spend(once(a))),
    "a signed identity, again by the exchange": async (a) => askExchange(await a.spend(identity(a))),
  }),
  ...refused(401, "invalid_token", {
    "a token without an id, of an issuer whose tokens are good once": (a) => ask(once(a, { jti: undefined })),
    "a token of an empty id": (a) => ask(once(a, { jti: "" })),
    "a token whose id is a number": (a) => ask(once(a, { jti: 1 })),
    "a token whose id is a list": (a) => ask(once(a, { jti: ["1"] })),
  }),
];
