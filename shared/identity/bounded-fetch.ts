/** Small requests to places that the configuration names: no redirects, a time limit, a size limit. */

import { parseStrictJson } from "../json.ts";

const TIMEOUT_MS = 3_000;
/** 64 KiB: fifty RSA keys with certificate chains fit; more is an attack or a mistake. */
const LARGEST_BYTES = 64 * 1024;

export type Fetch = (url: string, init: RequestInit) => Promise<Response>;
/** One that believes servers with a certificate of these CAs (PEM) and no others. */
export type FetchWith = (certificates: readonly string[]) => Fetch;

/**
 * A JSON document of an issuer.
 * @throws Error with a message of ours: status, time, size or form; never the body.
 */
export async function fetchJson(fetch: Fetch, url: string): Promise<unknown> {
  const response = await boundedFetch(fetch, url, { headers: { accept: "application/json" } });
  if (response.status !== 200) {
    await response.body?.cancel();
    throw new Error(`status ${response.status}`);
  }
  return readJson(response);
}

/**
 * Whatever the status; the time limit counts on while `readJson` reads.
 * @throws Error named TimeoutError after 3 s; TypeError where there is no connection, or a redirect
 */
export function boundedFetch(fetch: Fetch, url: string, init: RequestInit): Promise<Response> {
  return fetch(url, { ...init, redirect: "error", signal: AbortSignal.timeout(TIMEOUT_MS) });
}

/**
 * The answer's JSON.
 * @throws Error, SyntaxError or TypeError that says which of size, form or UTF-8 was wrong; as `boundedFetch` where it breaks off
 */
export async function readJson(response: Response): Promise<unknown> {
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  for await (const chunk of response.body ?? []) {
    bytes += chunk.byteLength;
    if (bytes > LARGEST_BYTES) throw new Error(`more than ${LARGEST_BYTES} bytes`); // leaving the loop cancels the stream
    chunks.push(chunk);
  }
  return parseStrictJson(new TextDecoder("utf-8", { fatal: true }).decode(Buffer.concat(chunks)));
}
