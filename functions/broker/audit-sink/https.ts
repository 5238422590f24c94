/** Audit events to a collector of logs: each batch is one POST of JSON lines, taken when its status is 200 to 299. */

import { LONGEST_PUT_MS, type Put } from "../../../shared/audit/sink.ts";
import type { Fetch } from "../../../shared/identity/bounded-fetch.ts";

/** Of an answer, whose words are of no use: so that the connection can be used again. */
const MOST_READ_BYTES = 64 * 1024;

/** `authorization`: the whole header. */
export function httpsSink(fetch: Fetch, url: string, authorization: string | undefined): Put {
  const headers = {
    // No registered type; what collectors know JSON lines by.
    "content-type": "application/x-ndjson",
    ...(authorization === undefined ? {} : { authorization }),
  };
  return async (text) => {
    if (text === "") return undefined;
    try {
      const signal = AbortSignal.timeout(LONGEST_PUT_MS);
      const { status, body } = await fetch(url, { method: "POST", headers, body: text, signal });
      void readThrough(body);
      return status >= 200 && status < 300 ? undefined : `status ${status}`;
    } catch (error) {
      return reason(error);
    }
  };
}

async function readThrough(body: AsyncIterable<Uint8Array> | null): Promise<void> {
  let bytes = 0;
  try {
    for await (const chunk of body ?? []) {
      bytes += chunk.byteLength;
      if (bytes > MOST_READ_BYTES) return;
    }
  } catch {
    // It has answered.
  }
}

/** Never the collector's words. */
function reason(error: unknown): string {
  if (error instanceof Error && error.name === "TimeoutError") return `no answer within ${LONGEST_PUT_MS / 1000} s`;
  const { code } = ((error as Error).cause ?? {}) as NodeJS.ErrnoException;
  return code ?? "the connection failed or was redirected";
}
