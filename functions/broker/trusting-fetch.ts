/**
 * The global `fetch` as far as keys of issuers need it (GET over https), for servers whose certificate is of a private CA:
 * `fetch` itself takes no CA. No redirects, no connection or TLS session kept for the next request.
 */

import type { IncomingMessage } from "node:http";
import type { request as httpsRequest } from "node:https";
import type { FetchWith } from "../../shared/identity/bounded-fetch.ts";

/** Fetch standard, section 2.2.3: these have no body, and Response takes none. */
const NO_BODY = [204, 205, 304];
const REDIRECT = [301, 302, 303, 307, 308];

export const fetchTrusting =
  (request: typeof httpsRequest): FetchWith =>
  (certificates) =>
  async (url, init) => {
    const { signal } = init;
    const failed = (cause: unknown): unknown =>
      signal?.aborted ? signal.reason : new TypeError("fetch failed", { cause });
    const answer = await new Promise<IncomingMessage>((resolve, reject) => {
      const sent = request(url, {
        // Unpacking is not done here.
        headers: { ...Object.fromEntries(new Headers(init.headers)), "accept-encoding": "identity" },
        ca: [...certificates],
        // An intermediate CA may be the one that is trusted.
        allowPartialTrustChain: true,
        // Whatever NODE_TLS_REJECT_UNAUTHORIZED says.
        rejectUnauthorized: true,
        agent: false,
        ...(signal ? { signal } : {}),
      });
      sent.once("response", resolve);
      // Also one that comes after the answer has begun, which its body then tells.
      sent.on("error", (error) => reject(failed(error)));
      sent.end();
    });
    const { statusCode: status = 0 } = answer;
    if (REDIRECT.includes(status)) {
      answer.destroy();
      throw failed(undefined);
    }
    if (NO_BODY.includes(status)) {
      answer.destroy();
      return new Response(null, { status });
    }
    const chunks = answer[Symbol.asyncIterator]();
    const body = new ReadableStream<Uint8Array>({
      async pull(controller) {
        try {
          const { done, value } = await chunks.next();
          if (done) controller.close();
          else controller.enqueue(value as Uint8Array);
        } catch (error) {
          controller.error(failed(error));
        }
      },
      cancel: () => void answer.destroy(),
    });
    return new Response(body, { status });
  };
