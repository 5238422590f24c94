/**
 * From `node:http` to an app of web standards and back, with no more of the standards than the broker uses. Syntax, sizes and time
 * limits of HTTP are node:http's; here a request's target and Host are looked at, and nothing of either decides where a request goes
 * but the path.
 */

import type { IncomingMessage, RequestListener, ServerResponse } from "node:http";
import { BrokerError } from "../../../shared/error.ts";
import { problem } from "../problem.ts";
import { Answer, HeaderFields, ReadyAnswer } from "./answer.ts";

/** What an app is given beside the request. */
export interface Connection {
  readonly incoming: IncomingMessage;
  /** Where somebody has begun to answer before: when that was, in ms since the epoch, and the body, which is read once. */
  begunAt?: number;
  body?: Promise<string>;
}

export type App = (request: Request, connection: Connection) => Response | Promise<Response>;

/** The broker's URLs begin with it, whatever the caller calls the broker. */
export const ORIGIN = "http://broker";

/** How long the rest of a body that nobody read is waited for, so that the answer is not lost by closing too soon. */
const LONGEST_REST_MS = 500;

/** Requests that name nothing here never reach the app; `newRequestId` is for the refusal of those. */
export function listener(app: App, newRequestId: () => string): RequestListener {
  return (incoming, outgoing) => {
    outgoing.once("finish", () => discardRest(incoming));
    respond(incoming, outgoing, app, newRequestId).catch(() => {
      // Of headers that cannot be sent, too: nothing that is half of an answer may look like one.
      if (outgoing.headersSent) outgoing.destroy();
      else outgoing.writeHead(500).end();
    });
  };
}

async function respond(
  incoming: IncomingMessage,
  outgoing: ServerResponse,
  app: App,
  newRequestId: () => string,
): Promise<void> {
  const request = requestOf(incoming);
  const response = request === undefined ? malformed(newRequestId()) : await app(request, { incoming });
  // Hono makes one of Node's for HEAD.
  const isOurs = response instanceof Answer || response instanceof ReadyAnswer;
  const body = isOurs ? response.body : Buffer.from(await response.arrayBuffer());
  const fields = response instanceof ReadyAnswer ? response.fields : [...response.headers].flat();
  if (body === null || body.length === 0) {
    outgoing.writeHead(response.status, fields).end();
  } else {
    fields.push("content-length", String(Buffer.byteLength(body)));
    outgoing.writeHead(response.status, fields).end(body);
  }
}

function malformed(requestId: string): Response {
  const why =
    "the request's target or its Host header is none; send an absolute path (RFC 9112 section 3.2) and one Host";
  return problem(new BrokerError("invalid_request", why), requestId);
}

/** The address at the other end of the connection that a request came by. */
export function socketAddress({ env }: { readonly env: unknown }): string | undefined {
  return (env as Connection).incoming.socket.remoteAddress;
}

/** Undefined where the request names no resource of ours: RFC 9112 section 3.2. */
function requestOf(incoming: IncomingMessage): Request | undefined {
  const { method = "", url: target = "", rawHeaders } = incoming;
  const headers = new HeaderFields();
  for (let index = 0; index < rawHeaders.length; index += 2) {
    headers.append(rawHeaders[index] as string, rawHeaders[index + 1] as string);
  }
  const url = urlOf(target);
  if (url === undefined || !isHost(headers.get("host"))) return undefined;
  const body = method === "GET" || method === "HEAD" ? null : { [Symbol.asyncIterator]: () => bytesOf(incoming) };
  return { method, url, headers, body } as unknown as Request;
}

/** Leaving it early does not end the connection: the refusal still has to go out. */
function bytesOf(incoming: IncomingMessage): AsyncIterator<unknown> {
  return incoming.iterator({ destroyOnReturn: false })[Symbol.asyncIterator]();
}

/** Of a path that needs no work it is the path as it stands; all others are written as the URL standard writes them. */
function urlOf(target: string): string | undefined {
  const isPath = target.startsWith("/");
  if (isPath && /^[\w\-.~!$&'()*+,;=:@/?%]*$/.test(target) && !/\/\.|%2e/i.test(target)) return ORIGIN + target;
  // A proxy's way of writing it. Who it says that we are means nothing here.
  if (!isPath && !/^https?:\/\//i.test(target)) return undefined;
  const path = target.split("?", 1)[0] as string;
  if (path.includes("\\")) return undefined;
  const written = isPath ? ORIGIN + target : target;
  if (!URL.canParse(written)) return undefined;
  const { pathname, search } = new URL(written);
  return ORIGIN + pathname + search;
}

/** One host with or without a port, by its characters; also none, which HTTP/1.0 allows. */
function isHost(host: string | null): boolean {
  return host === null || /^(?:[\w\-.~!$&'()*+;=%]+|\[[\da-f:.]+\])(?::\d{0,5})?$/i.test(host);
}

/** Of a request that has its answer: it is read on for a while, and then the connection is closed. */
export function discardRest(incoming: IncomingMessage): void {
  if (incoming.complete) return;
  const { socket } = incoming;
  const timer = setTimeout(() => socket.destroySoon(), LONGEST_REST_MS);
  timer.unref();
  incoming.once("close", () => clearTimeout(timer));
  incoming.once("end", () => clearTimeout(timer));
  incoming.resume();
}
