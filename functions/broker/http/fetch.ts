/**
 * `fetch` as far as it is used here (small answers of issuers and of STS), on node:http and node:https: Node's own takes a fresh
 * process half as long to load as its start took, and takes no CA. No redirects, whatever `init` says; nothing is unpacked, and nothing
 * is asked for packed. The audit sink's collector gets its events by it, too.
 */

import type { IncomingMessage } from "node:http";
import type { RequestOptions, request } from "node:https";
import type { Fetch, FetchWith } from "../../../shared/identity/bounded-fetch.ts";

/** `request` of the module for `https:` or `http:`, loaded when it is first needed. */
export type RequestOf = (protocol: string) => Promise<typeof request>;

/** Fetch standard, section 2.2.3: these have no body. */
const NO_BODY = [204, 205, 304];
const REDIRECT = [301, 302, 303, 307, 308];

export interface NodeFetch {
  /** For servers that Node believes by itself. */
  readonly fetch: Fetch;
  /** For those of a private CA, with no connection kept, and over https only. */
  readonly fetchWith: FetchWith;
  /** For either, and for what may be sent twice, whatever its method: over a connection that is kept. */
  readonly fetchAgain: (certificates?: readonly string[]) => Fetch;
}

export function nodeFetch(requestOf: RequestOf): NodeFetch {
  return {
    fetch: async (url, init) => {
      const send = await requestOf(new URL(url).protocol);
      // One that asks for something twice must be safe to; a connection for the other is its own.
      if (init.method !== undefined && init.method !== "GET") return answerTo(send, url, init, { agent: false });
      return answerTo(send, url, init, {}, true);
    },
    fetchWith: (certificates) => async (url, init) =>
      answerTo(await requestOf("https:"), url, init, { ...believing(certificates), agent: false }),
    fetchAgain: (certificates) => async (url, init) =>
      answerTo(await requestOf(new URL(url).protocol), url, init, certificates ? believing(certificates) : {}, true),
  };
}

function believing(certificates: readonly string[]): RequestOptions {
  // An intermediate CA may be the one that is trusted.
  return { ca: [...certificates], allowPartialTrustChain: true };
}

/** `again`: once more where the kept connection that it was sent over had been closed. @throws TypeError, or the signal's reason */
async function answerTo(
  send: typeof request,
  url: string,
  { method = "GET", headers, body, signal }: RequestInit,
  options: RequestOptions,
  again = false,
): Promise<Response> {
  const failed = (cause: unknown): unknown =>
    signal?.aborted ? signal.reason : new TypeError("fetch failed", { cause });
  let mayBeStale = false;
  try {
    const answer = await new Promise<IncomingMessage>((resolve, reject) => {
      const sent = send(url, {
        ...options,
        method,
        headers: { ...(headers as Record<string, string>), "accept-encoding": "identity" },
        // Whatever NODE_TLS_REJECT_UNAUTHORIZED says.
        rejectUnauthorized: true,
        ...(signal ? { signal } : {}),
      });
      sent.once("response", resolve);
      // Also one that comes after the answer has begun, which its body then tells.
      sent.on("error", (error) => {
        mayBeStale = sent.reusedSocket && ["ECONNRESET", "EPIPE"].includes((error as NodeJS.ErrnoException).code ?? "");
        reject(error);
      });
      sent.end(body ?? undefined);
    });
    return responseOf(answer, failed);
  } catch (error) {
    if (again && mayBeStale && !signal?.aborted) {
      return answerTo(send, url, { method, headers, body, signal } as RequestInit, { ...options, agent: false });
    }
    throw error instanceof TypeError ? error : failed(error);
  }
}

/** As much of a Response as is read of one. @throws TypeError for a redirect */
function responseOf(answer: IncomingMessage, failed: (cause: unknown) => unknown): Response {
  const { statusCode: status = 0 } = answer;
  if (REDIRECT.includes(status) || NO_BODY.includes(status)) {
    // Of a 204 nothing can come, and its connection is good for more.
    if (status === 204) answer.resume();
    else answer.destroy();
    if (REDIRECT.includes(status)) throw failed(undefined);
    return { status, body: null } as Response;
  }
  async function* chunks(): AsyncGenerator<Uint8Array> {
    try {
      // Left early, it ends the connection.
      for await (const chunk of answer) yield chunk as Uint8Array;
    } catch (error) {
      throw failed(error);
    }
  }
  const body = Object.assign(chunks(), { cancel: async () => void answer.destroy() });
  return { status, body } as unknown as Response;
}
