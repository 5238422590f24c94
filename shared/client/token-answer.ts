/** Reads what the broker answered: well, ill, or not the broker at all. */

import { ConnectionError, RefusedError } from "./errors.ts";
import { type Answer, isPassing, jsonObject, retryAfterSeconds } from "./http.ts";
import type { Discovery, TokenAnswer } from "./wire.ts";

type Form = "secret" | "text" | "texts" | "host" | "hosts" | "seconds" | "time";

const TOKEN_ANSWER: Readonly<Record<keyof TokenAnswer, Form>> = {
  username: "text",
  password: "secret",
  registry: "text",
  endpoints: "hosts",
  scope: "texts",
  grants: "texts",
  issued_at: "time",
  expires_at: "time",
  expires_in: "seconds",
  refresh_after: "time",
  token_fingerprint: "text",
  request_id: "text",
};

const DISCOVERY: Readonly<Record<keyof Discovery, Form>> = { audience: "text", sts_host: "host" };

/** Longer than STS lets any session live (12 h): what claims more would be kept for good. */
const LONGEST_LIFE_SECONDS = 86_400;

/** What reading an answer takes beside it. */
export interface Reading {
  /** For messages. */
  readonly host: string;
  /** The broker's time. */
  readonly now: Date;
  /** What was sent; whoever sends it back does not get it into a message. */
  readonly token?: string;
}

/** @throws RefusedError, ConnectionError bad_response */
export function readTokenAnswer(answer: Answer, reading: Reading): TokenAnswer {
  return read<TokenAnswer>(answer, TOKEN_ANSWER, reading);
}

/** As `readTokenAnswer`. */
export function readDiscovery(answer: Answer, reading: Reading): Discovery {
  return read<Discovery>(answer, DISCOVERY, reading);
}

/** As `readTokenAnswer`, whatever is in it. */
export function readAnswer(answer: Answer, reading: Reading): Record<string, unknown> {
  return read(answer, {}, reading);
}

function read<T>(answer: Answer, fields: Readonly<Record<string, Form>>, reading: Reading): T {
  const { host, now } = reading;
  if (answer.status !== 200) throw refusal(answer, reading);
  const object = jsonObject(answer);
  if (object === undefined) throw stranger(answer, host, now);
  const wrong = Object.entries(fields).find(([name, form]) => !hasForm(object[name], form));
  if (wrong !== undefined) {
    const message = `the answer of ${host} is not the broker's: its ${wrong[0]} is missing or of another type; check the url`;
    throw new ConnectionError("bad_response", message, { status: answer.status });
  }
  return object as T;
}

function hasForm(value: unknown, form: Form): boolean {
  switch (form) {
    case "secret":
      return typeof value === "string" && value !== "";
    // It goes into files and messages: nothing that would end a line, or move a terminal's cursor.
    case "text":
      return typeof value === "string" && /^[^\p{Cc}\p{Cf}\p{Zl}\p{Zp}]+$/u.test(value);
    case "texts":
      return Array.isArray(value) && value.every((one) => hasForm(one, "text"));
    case "host":
      return typeof value === "string" && /^[A-Za-z0-9.-]{1,253}(?::\d{1,5})?$/.test(value);
    case "hosts":
      return Array.isArray(value) && value.length > 0 && value.every((one) => hasForm(one, "host"));
    case "seconds":
      return Number.isSafeInteger(value) && (value as number) >= 0 && (value as number) <= LONGEST_LIFE_SECONDS;
    case "time":
      return typeof value === "string" && !Number.isNaN(Date.parse(value));
  }
}

function refusal(answer: Answer, { host, now, token = "" }: Reading): RefusedError | ConnectionError {
  const { status, headers } = answer;
  const { code, detail, request_id: requestId } = jsonObject(answer) ?? {};
  const isProblem = headers.get("content-type")?.startsWith("application/problem+json") === true;
  if (!isProblem || typeof code !== "string" || !/^[a-z][a-z_]{1,63}$/.test(code) || typeof detail !== "string") {
    return stranger(answer, host, now);
  }
  return new RefusedError(code, without(token, detail), {
    status,
    requestId:
      typeof requestId === "string" && /^[A-Za-z0-9._-]{1,128}$/.test(requestId)
        ? without(token, requestId)
        : undefined,
    retryAfterSeconds: retryAfterSeconds(headers, now),
    // A cloud that refused will refuse again; all other failures of these kinds pass.
    retryable: isPassing(status) && code !== "upstream_rejected",
  });
}

/** Types that are worth a word: whatever else stands in that header is the other side's own. */
const TYPES = ["text/html", "text/plain", "application/json", "application/xml"];

/** An answer of something else: a gateway's page, another service. Of its body a code at most, in a code's form. */
function stranger(answer: Answer, host: string, now: Date): ConnectionError {
  const { status, headers } = answer;
  const { Code, ErrorCode } = jsonObject(answer) ?? {};
  const type =
    TYPES.find((known) => headers.get("content-type")?.startsWith(known)) ?? "of a type that the broker never sends";
  const code = [Code, ErrorCode].find((one) => typeof one === "string" && /^[A-Z][A-Za-z.]{1,63}$/.test(one));
  const named = code === undefined ? "" : `, ${code}`;
  const advice =
    status === 401 || status === 403
      ? "; if its HTTP trigger demands a signature (authType: function), configure functionCompute with the caller's RAM keys"
      : isPassing(status)
        ? ""
        : "; check the url";
  return new ConnectionError(
    "bad_response",
    `the answer of ${host} is not the broker's (status ${status}, ${type}${named})${advice}`,
    { status, retryAfterSeconds: retryAfterSeconds(headers, now), retryable: isPassing(status) },
  );
}

/** Text without the token, and without the longer of its parts. */
function without(token: string, text: string): string {
  const parts = [token, ...token.split(".")].filter((part) => part.length >= 16);
  return parts.reduce((left, part) => left.replaceAll(part, "(token)"), text);
}
