/**
 * HTTP/1.1 as an attacker writes it: any bytes to a socket, and the answers that came back, taken apart here, since an HTTP
 * client would neither send the one nor show the other.
 */

import { once } from "node:events";
import { connect } from "node:net";

export interface Answer {
  readonly status: number;
  /** Status line and headers, as they came. */
  readonly head: string;
  readonly body: string;
}

export interface Exchange {
  /** In the order in which they came; none where the connection was only closed. */
  readonly answers: readonly Answer[];
  readonly milliseconds: number;
}

/** Every attack ends with the connection's end; one that leaves the server waiting is none that can be told. */
const LONGEST_MS = 8_000;

/** Sends the bytes on a connection of their own and reads until the server closes it. */
export async function exchange(url: string, bytes: string | Buffer): Promise<Exchange> {
  const { hostname, port } = new URL(url);
  const begun = performance.now();
  const socket = connect({ host: hostname, port: Number(port), noDelay: true });
  const chunks: Buffer[] = [];
  let waited = false;
  socket.on("data", (chunk) => chunks.push(chunk));
  // A server that refuses a body unread may reset the connection; what it said before has been read.
  socket.on("error", () => {});
  socket.setTimeout(LONGEST_MS, () => {
    waited = true;
    socket.destroy();
  });
  socket.write(bytes);
  await once(socket, "close");
  if (waited)
    throw new Error(`no end after ${LONGEST_MS} ms; so far ${JSON.stringify(Buffer.concat(chunks).toString())}`);
  return { answers: answersIn(Buffer.concat(chunks)), milliseconds: performance.now() - begun };
}

function answersIn(bytes: Buffer): Answer[] {
  const answers: Answer[] = [];
  let rest = bytes;
  while (rest.length > 0) {
    const end = rest.indexOf("\r\n\r\n");
    const head = rest.subarray(0, end === -1 ? rest.length : end).toString("latin1");
    const status = Number(/^HTTP\/1\.1 (\d{3})/.exec(head)?.[1]);
    if (Number.isNaN(status)) throw new Error(`not an answer: ${JSON.stringify(rest.toString())}`);
    const behind = end === -1 ? Buffer.alloc(0) : rest.subarray(end + 4);
    const { body, length } = bodyOf(head, status, behind);
    answers.push({ status, head, body: body.toString() });
    rest = behind.subarray(length);
  }
  return answers;
}

function bodyOf(head: string, status: number, behind: Buffer): { body: Buffer; length: number } {
  if (status < 200 || status === 204 || status === 304) return { body: Buffer.alloc(0), length: 0 };
  if (/^transfer-encoding: chunked$/im.test(head)) return unchunked(behind);
  const length = Number(/^content-length: (\d+)$/im.exec(head)?.[1] ?? behind.length);
  return { body: behind.subarray(0, length), length };
}

function unchunked(bytes: Buffer): { body: Buffer; length: number } {
  const chunks: Buffer[] = [];
  let at = 0;
  for (;;) {
    const line = bytes.indexOf("\r\n", at);
    if (line === -1) return { body: Buffer.concat(chunks), length: bytes.length };
    const size = Number.parseInt(bytes.subarray(at, line).toString(), 16);
    chunks.push(bytes.subarray(line + 2, line + 2 + size));
    at = line + 2 + size + 2;
    if (size === 0) return { body: Buffer.concat(chunks), length: at };
  }
}

/** A request as it should be, but for what an attack puts in its place. */
export interface Written {
  readonly method?: string;
  readonly target?: string;
  /** In their order, as often as they stand there; bytes are those of Latin-1. */
  readonly headers?: readonly (readonly [name: string, value: string])[];
  readonly body?: string | Buffer;
  readonly host?: string;
  /** Whether the connection is to stay open, for another request behind this one. */
  readonly more?: boolean;
}

export function written({
  method = "POST",
  target = "/v1/token",
  headers = [],
  body,
  host = "broker",
  more,
}: Written): Buffer {
  const has = (name: string) => headers.some(([one]) => one.toLowerCase() === name);
  const lines = [
    `${method} ${target} HTTP/1.1`,
    ...(has("host") ? [] : [`Host: ${host}`]),
    ...headers.map(([name, value]) => `${name}: ${value}`),
    ...(more || has("connection") ? [] : ["Connection: close"]),
    ...(body === undefined || has("content-length") || has("transfer-encoding")
      ? []
      : [`Content-Length: ${Buffer.byteLength(body)}`]),
  ];
  return Buffer.concat([Buffer.from(`${lines.join("\r\n")}\r\n\r\n`, "latin1"), Buffer.from(body ?? "")]);
}
