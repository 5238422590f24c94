/** What an attack is: a rule, the request that tries to break it, and how it must be refused. The corpus is lists of these, by kind. */

import type { Attacker } from "./attacker.ts";
import { type Written, written } from "./socket.ts";

export interface Refusal {
  readonly status: number;
  /** Left out where Node's own parser refuses, which has no words for it. */
  readonly code?: string;
  /** What is as good: where it is the HTTP server's choice whether it refuses by itself or hands the request on. */
  readonly or?: Refusal;
}

export interface Attack {
  /** Its name: what holds because it is refused. */
  readonly rule: string;
  /** The bytes to send; `attacker.canary` is in them where it must not come out again. */
  readonly send: (attacker: Attacker) => Buffer | string | Promise<Buffer | string>;
  /** One for each answer that comes. */
  readonly answers: readonly Refusal[];
  /** Which of the brokers it is for: one inside Function Compute, or one outside. */
  readonly inside?: boolean;
}

export interface Kind {
  readonly kind: string;
  readonly attacks: readonly Attack[];
}

export const OK: Refusal = { status: 200 };
export const FIELDS = { registry: "prod", scope: ["repository:web/app:pull"] };
export const JSON_TYPE = ["Content-Type", "application/json"] as const;
export const FORM_TYPE = ["Content-Type", "application/x-www-form-urlencoded"] as const;
const TYPE = "urn:ietf:params:oauth:token-type:";

/** A request with what would get a credential if nothing in it were wrong. */
export function ask(token: string, request: Written = {}): Buffer {
  const { headers = [], ...rest } = request;
  return written({
    body: JSON.stringify(FIELDS),
    ...rest,
    headers: [["Authorization", `Bearer ${token}`], ...(headers.length === 0 ? [JSON_TYPE] : headers)],
  });
}

/** The same as a token exchange. `fields` may have a name twice. */
export function askExchange(
  token: string,
  fields: Readonly<Record<string, string>> | string = {},
  request: Written = {},
): Buffer {
  const form = new URLSearchParams({
    grant_type: "urn:ietf:params:oauth:grant-type:token-exchange",
    subject_token: token,
    subject_token_type: TYPE + (/^(?:abk_|acs1\.)/.test(token) ? "access_token" : "jwt"),
    audience: "prod",
    scope: "repository:web/app:pull",
    ...(typeof fields === "string" ? {} : fields),
  });
  const body = typeof fields === "string" ? `${form}&${fields}` : form.toString();
  return written({ target: "/oauth2/token", headers: [FORM_TYPE], body, ...request });
}

/** Attacks of one code, each with the bytes that it sends. */
export function refused(
  status: number,
  code: string,
  cases: Readonly<Record<string, Attack["send"]>>,
  more: Partial<Attack> = {},
): Attack[] {
  return Object.entries(cases).map(([rule, send]) => ({ rule, send, answers: [{ status, code }], ...more }));
}

/** Attacks by a token alone: refused in the header, and as a subject_token, where the status of OAuth 2.0 is 400. */
export function tokens(
  status: number,
  code: string,
  cases: Readonly<Record<string, (attacker: Attacker) => string | Promise<string>>>,
): Attack[] {
  return Object.entries(cases).flatMap(([rule, make]) => [
    { rule, send: async (attacker: Attacker) => ask(await make(attacker)), answers: [{ status, code }] },
    {
      rule: `${rule}, exchanged`,
      send: async (attacker: Attacker) => askExchange(await make(attacker)),
      answers: [{ status: 400, code }],
    },
  ]);
}
