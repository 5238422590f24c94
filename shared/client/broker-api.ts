/** The broker's two routes that a client needs, spoken to over HTTP; behind Function Compute's own signature where that is asked for. */

import type { Clock } from "./clock.ts";
import { IdentityError } from "./errors.ts";
import { functionComputeHeaders } from "./function-compute.ts";
import { exchange, isLoopback } from "./http.ts";
import type { Outside } from "./outside.ts";
import { keysFrom, type RamKeySource } from "./ram/keys.ts";
import { readAnswer, readDiscovery, readTokenAnswer } from "./token-answer.ts";
import type { Discovery, TokenAnswer, TokenFields } from "./wire.ts";

const PEER = { name: "the broker" };
/** The document may be cached for five minutes: docs/api.md. */
const DISCOVERY_MS = 300_000;

export interface BrokerApi {
  /** @throws RefusedError, ConnectionError, IdentityError of the keys that sign for Function Compute */
  token(fields: TokenFields, credential: string, signal: AbortSignal): Promise<TokenAnswer>;
  /** As `token`. Remembered for five minutes. */
  discovery(signal: AbortSignal): Promise<Discovery>;
  /** Another route that takes the same credential: `body` is posted, without one it is asked for. As `token`. */
  ask(
    path: string,
    credential: string,
    body: object | undefined,
    signal: AbortSignal,
  ): Promise<Record<string, unknown>>;
}

export function brokerApi(
  base: URL,
  functionCompute: RamKeySource | undefined,
  clock: Clock,
  outside: Outside,
): BrokerApi {
  let remembered: { document: Discovery; ageMs: () => number } | undefined;

  /** A signature is made by the clock, which the broker's first answer may correct: then it is made once more. */
  async function send(
    path: string,
    method: string,
    headers: Record<string, string>,
    body: string,
    signal: AbortSignal,
  ) {
    const url = new URL(base.pathname.replace(/\/$/, "") + path, base);
    const once = async () => {
      const all = { accept: "application/json", ...headers, ...(await signature(method, url, signal)) };
      const answer = await exchange(
        PEER,
        url,
        { method, headers: all, ...(body === "" ? {} : { body }) },
        signal,
        outside,
      );
      const before = clock.now().getTime();
      clock.learn(answer.headers);
      return { answer, corrected: Math.abs(clock.now().getTime() - before) > 30_000 };
    };
    const { answer, corrected } = await once();
    const refused = answer.status === 401 || answer.status === 403 || answer.status === 400;
    return corrected && refused && functionCompute !== undefined ? (await once()).answer : answer;
  }

  async function signature(method: string, url: URL, signal: AbortSignal): Promise<Record<string, string>> {
    if (functionCompute === undefined) return {};
    const keys = await keysFrom(functionCompute, { now: clock.now, signal, outside });
    return functionComputeHeaders(method, url, keys, clock.now());
  }

  async function withCredential(path: string, credential: string, body: object | undefined, signal: AbortSignal) {
    const header = functionCompute === undefined ? "authorization" : "x-acr-broker-authorization";
    const headers = { [header]: `Bearer ${credential}`, "content-type": "application/json" };
    const [method, text] = body === undefined ? ["GET", ""] : ["POST", JSON.stringify(body)];
    const answer = await send(path, method, headers, text, signal);
    return { answer, reading: { host: base.host, now: clock.now(), token: credential } };
  }

  return {
    async token(fields, credential, signal) {
      const { answer, reading } = await withCredential("/v1/token", credential, fields, signal);
      return readTokenAnswer(answer, reading);
    },
    async ask(path, credential, body, signal) {
      const { answer, reading } = await withCredential(path, credential, body, signal);
      return readAnswer(answer, reading);
    },
    async discovery(signal) {
      if (remembered === undefined || remembered.ageMs() > DISCOVERY_MS) {
        const ageMs = clock.begin();
        const answer = await send("/.well-known/acr-broker", "GET", {}, "", signal);
        remembered = { document: readDiscovery(answer, { host: base.host, now: clock.now() }), ageMs };
      }
      return remembered.document;
    },
  };
}

/**
 * The audience that the broker names for itself, if it is its own. A token made for another's audience would work there, in
 * the hands of whoever runs this one: that takes the word of the user.
 * @throws IdentityError untrusted_audience
 */
export function ownAudience({ audience }: Discovery, base: URL): string {
  const own = URL.canParse(audience) && new URL(audience).host === base.host;
  if (own || isLoopback(base.hostname)) return audience;
  throw new IdentityError(
    "untrusted_audience",
    `the broker at ${base.host} asks for tokens for ${JSON.stringify(audience)}, which is not its own address; if that is right, configure audience with it`,
  );
}
