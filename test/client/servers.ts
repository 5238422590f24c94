/** Small servers that play what answers a client: well, badly, late, or not at all. */

import { once } from "node:events";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { afterAll } from "vitest";

export interface Played {
  readonly url: string;
  /** `METHOD /path?query` of each request so far. */
  readonly requests: string[];
  close(): Promise<void>;
}

export type Play = (request: IncomingMessage, response: ServerResponse, count: number) => void;

/** Ends with the test file. */
export async function serve(play: Play): Promise<Played> {
  const requests: string[] = [];
  const server = createServer((request, response) => {
    requests.push(`${request.method} ${request.url}`);
    play(request, response, requests.length);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const close = async () => {
    if (!server.listening) return;
    server.close();
    server.closeAllConnections();
    await once(server, "close");
  };
  afterAll(close);
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, requests, close };
}

export async function bodyOf(request: IncomingMessage): Promise<string> {
  let body = "";
  for await (const chunk of request.setEncoding("utf8")) body += chunk;
  return body;
}

export function json(
  response: ServerResponse,
  status: number,
  body: unknown,
  headers: Record<string, string> = {},
): void {
  response.writeHead(status, { "content-type": "application/json", ...headers }).end(JSON.stringify(body));
}

/** An error as the broker sends it. */
export function problem(
  response: ServerResponse,
  status: number,
  code: string,
  headers: Record<string, string> = {},
  detail = `the detail of ${code}`,
): void {
  json(
    response,
    status,
    { code, detail, request_id: "request-77" },
    { "content-type": "application/problem+json", ...headers },
  );
}

/** What `POST /v1/token` answers, for credentials that live `lifeSeconds` from now. */
export function tokenAnswer(password: string, lifeSeconds = 900, change: Record<string, unknown> = {}) {
  const issuedAt = Date.now();
  const at = (seconds: number) => new Date(issuedAt + seconds * 1000).toISOString();
  return {
    username: "cr_temp_user",
    password,
    registry: "prod",
    endpoints: ["acme-registry.cn-hangzhou.cr.aliyuncs.com"],
    scope: ["repository:web/app:pull"],
    grants: ["web-main"],
    issued_at: at(0),
    expires_at: at(lifeSeconds),
    expires_in: lifeSeconds,
    refresh_after: at((lifeSeconds * 2) / 3),
    token_fingerprint: "sha256:00",
    request_id: "request-78",
    ...change,
  };
}

/** A clock in a test's hands, and no waiting: each pause is noted and over at once. */
export function testTime() {
  const time = { wallMs: Date.now(), monotonicMs: 1_000, pauses: [] as number[] };
  const forward = (ms: number) => {
    time.wallMs += ms;
    time.monotonicMs += ms;
  };
  return {
    time,
    forward,
    outside: {
      now: () => new Date(time.wallMs),
      monotonicMs: () => time.monotonicMs,
      random: () => 0.5,
      sleep: async (ms: number, signal: AbortSignal) => {
        signal.throwIfAborted();
        time.pauses.push(ms);
        forward(ms);
      },
    },
  };
}
