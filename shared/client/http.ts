/** One small request and its answer: a time limit, a size limit, no redirects, and errors that name the host and never a body. */

import { ConnectionError } from "./errors.ts";
import type { Outside } from "./outside.ts";

/** The broker answers within 8 s of upstream's time, and after a cold start. */
const LONGEST_ATTEMPT_MS = 15_000;
/** A hundred scopes fit into less. */
const LARGEST_BYTES = 64 * 1024;

export interface Peer {
  /** In messages: "the broker". */
  readonly name: string;
  readonly timeoutMs?: number;
}

export interface Answer {
  readonly status: number;
  readonly headers: Headers;
  readonly text: string;
}

/** @throws ConnectionError; the signal's reason when that is aborted */
export async function exchange(
  peer: Peer,
  url: URL,
  init: RequestInit,
  signal: AbortSignal,
  { fetch }: Pick<Outside, "fetch">,
): Promise<Answer> {
  signal.throwIfAborted();
  const { timeoutMs = LONGEST_ATTEMPT_MS } = peer;
  const attempt = new AbortController();
  const stop = () => attempt.abort();
  const timer = setTimeout(stop, timeoutMs);
  signal.addEventListener("abort", stop, { once: true });
  try {
    const response = await fetch(url.href, { ...init, redirect: "manual", signal: attempt.signal });
    if (response.type === "opaqueredirect" || (response.status >= 300 && response.status < 400)) {
      await response.body?.cancel();
      throw new ConnectionError(
        "bad_response",
        `${peer.name} at ${url.host} answered with a redirect, and a credential is not sent after one; configure the address that it leads to`,
        response.status === 0 ? {} : { status: response.status },
      );
    }
    return { status: response.status, headers: response.headers, text: await readText(response, peer, url) };
  } catch (error) {
    if (signal.aborted) throw signal.reason;
    if (error instanceof ConnectionError) throw error;
    const why = attempt.signal.aborted
      ? `did not answer within ${timeoutMs / 1000} s`
      : `could not be reached${reason(error)}`;
    throw new ConnectionError("network_error", `${peer.name} at ${url.host} ${why}`, { retryable: true });
  } finally {
    clearTimeout(timer);
    signal.removeEventListener("abort", stop);
  }
}

async function readText(response: Response, peer: Peer, url: URL): Promise<string> {
  const reader = response.body?.getReader();
  const decoder = new TextDecoder();
  let text = "";
  let bytes = 0;
  while (reader !== undefined) {
    const { done, value } = await reader.read();
    if (done) break;
    bytes += value.byteLength;
    if (bytes > LARGEST_BYTES) {
      await reader.cancel();
      throw new ConnectionError(
        "bad_response",
        `the answer of ${peer.name} at ${url.host} (status ${response.status}) is larger than ${LARGEST_BYTES} bytes; is that its address?`,
        { status: response.status },
      );
    }
    text += decoder.decode(value, { stream: true });
  }
  return text + decoder.decode();
}

/** The system's own code for it, as in ECONNREFUSED. The error's words are left out: they may quote a header. */
function reason(error: unknown): string {
  const { code, cause } = error as { code?: unknown; cause?: { code?: unknown } };
  const known = [cause?.code, code].find((value) => typeof value === "string" && /^[A-Z][A-Z0-9_]{2,40}$/.test(value));
  return known === undefined ? "" : ` (${known})`;
}

/** The answer's JSON object; undefined where it is none. */
export function jsonObject({ text }: Answer): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === "object" && value !== null && !Array.isArray(value)
      ? (value as Record<string, unknown>)
      : undefined;
  } catch {
    return undefined;
  }
}

/** Whether waiting may help: too many requests, or a gateway or a server in trouble. */
export function isPassing(status: number): boolean {
  return status === 429 || status === 502 || status === 503 || status === 504;
}

const LONGEST_WAIT_SECONDS = 31_536_000;

/** RFC 9110 section 10.2.3: seconds, or a date. Undefined where there is none that can be read. */
export function retryAfterSeconds(headers: Headers, now: Date): number | undefined {
  const text = headers.get("retry-after")?.trim() ?? "";
  // One of a year is a wait too, and no reason to come back at once.
  if (/^\d+$/.test(text)) return Math.min(Number(text), LONGEST_WAIT_SECONDS);
  const time = Date.parse(text);
  return Number.isNaN(time) ? undefined : Math.max(0, Math.ceil((time - now.getTime()) / 1000));
}

/** https, or the machine itself: a credential goes over no wire in the clear. */
export function isPrivate({ protocol, hostname }: URL): boolean {
  return protocol === "https:" || (protocol === "http:" && isLoopback(hostname));
}

export function isLoopback(hostname: string): boolean {
  return hostname === "localhost" || hostname === "[::1]" || /^127(?:\.\d{1,3}){3}$/.test(hostname);
}
