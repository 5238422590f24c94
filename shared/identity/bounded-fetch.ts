/** Fetches a small JSON document of an issuer: no redirects, a time limit, a size limit. */

import { parseStrictJson } from "../json.ts";

const TIMEOUT_MS = 3_000;
/** 64 KiB: fifty RSA keys with certificate chains fit; more is an attack or a mistake. */
const LARGEST_BYTES = 64 * 1024;

export type Fetch = (url: string, init: RequestInit) => Promise<Response>;

/** @throws Error with a message of ours: status, time, size or form; never the body. */
export async function fetchJson(fetch: Fetch, url: string): Promise<unknown> {
  const response = await fetch(url, {
    redirect: "error",
    headers: { accept: "application/json" },
    signal: AbortSignal.timeout(TIMEOUT_MS),
  });
  if (response.status !== 200) {
    await response.body?.cancel();
    throw new Error(`status ${response.status}`);
  }
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  for await (const chunk of response.body ?? []) {
    bytes += chunk.byteLength;
    if (bytes > LARGEST_BYTES) throw new Error(`more than ${LARGEST_BYTES} bytes`); // leaving the loop cancels the stream
    chunks.push(chunk);
  }
  return parseStrictJson(new TextDecoder("utf-8", { fatal: true }).decode(Buffer.concat(chunks)));
}
