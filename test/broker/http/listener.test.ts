/**
 * The broker's own adapter from node:http, under requests that no client library writes. What it shall do with those that name a
 * resource is what @hono/node-server does, which is asked beside it.
 */

import { once } from "node:events";
import { createServer, type RequestListener } from "node:http";
import { type AddressInfo, connect, type Socket } from "node:net";
import { getRequestListener } from "@hono/node-server";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { listener } from "../../../functions/broker/http/listener.ts";
import { type Harness, startHarness } from "../harness.ts";

let h: Harness;
let ours: number;
let theirs: number;
const servers: ReturnType<typeof createServer>[] = [];

async function listen(answer: RequestListener): Promise<number> {
  const server = createServer({ maxHeaderSize: 32 * 1024 }, answer);
  servers.push(server);
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return (server.address() as AddressInfo).port;
}

beforeAll(async () => {
  h = await startHarness();
  ours = await listen(listener(h.broker.app.fetch, () => "refused-1"));
  const app = async (request: Request, connection: object): Promise<Response> => {
    const { body, status, headers } = await h.broker.app.fetch(request, connection);
    return new Response(body, { status, headers: [...headers] });
  };
  theirs = await listen(getRequestListener(app, { overrideGlobalObjects: false }));
});
afterAll(async () => {
  for (const server of servers) {
    server.closeAllConnections();
    server.close();
  }
  await h.close();
});

/** All that comes back for these bytes until the connection is closed. */
async function raw(port: number, text: string, more?: (socket: Socket) => void): Promise<string> {
  const socket = connect(port, "127.0.0.1");
  socket.on("error", () => {});
  let got = "";
  socket.setEncoding("latin1").on("data", (chunk) => {
    got += chunk;
  });
  socket.write(text, "latin1");
  more?.(socket);
  await once(socket, "close");
  return got;
}

const get = (target: string, headers = "") =>
  `GET ${target} HTTP/1.1\r\nHost: a\r\n${headers}Connection: close\r\n\r\n`;
const post = (body: string, headers = "") =>
  `POST /v1/token HTTP/1.1\r\nHost: a\r\nConnection: close\r\n${headers}Content-Length: ${body.length}\r\n\r\n${body}`;

/** Without what differs from one request to the next; the order of different header fields means nothing. */
function comparable(answer: string): string {
  const [head = "", ...body] = answer.split("\r\n\r\n");
  const [status, ...fields] = head.split("\r\n").filter((line) => !/^date: /i.test(line));
  return [status, ...fields.sort(), "", ...body].join("\n").replaceAll(/request-\d+/g, "request-N");
}

test.each<[string, string]>([
  ["a path", get("/healthz")],
  ["a path with a query", get("/healthz?a=b&__proto__=c")],
  ["a path with a dot in it", get("/.well-known/acr-broker")],
  ["dot segments", get("/v1/../healthz")],
  ["dot segments, encoded", get("/v1/%2e%2E/healthz")],
  ["dot segments beyond the root", get("/../../healthz")],
  ["an encoded slash", get("/v1%2Ftoken")],
  ["an encoded letter", get("/%68ealthz")],
  ["a broken percent sign", get("/healthz%")],
  ["a path that begins as a host does", get("//evil.example/healthz")],
  ["a path that begins as a host does, with dot segments", get("//evil.example/../healthz")],
  ["three slashes", get("///healthz")],
  ["a URL for a path", get("/http://evil.example/healthz")],
  ["a user in a path", get("/@evil.example/healthz")],
  ["a fragment", get("/healthz#/v1/token")],
  ["quotes and pipes", get('/"<a>|^`{}')],
  ["bytes that are no ASCII", get("/h\xe9\xff")],
  ["a backslash in the query", get("/healthz?a=\\b")],
  ["an absolute URL", get("http://evil.example/healthz")],
  ["an absolute URL with a user and a port", get("http://user:word@evil.example:1/healthz?x=1")],
  ["an absolute URL without a path", get("http://evil.example")],
  ["HEAD", "HEAD /healthz HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"],
  ["HEAD of what is not there", "HEAD /nothing HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"],
  ["TRACE", "TRACE /healthz HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"],
  ["a method of WebDAV", "PROPFIND /v1/token HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"],
  ["a method that is none", "BREW /v1/token HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"],
  ["a method in small letters", "get /healthz HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"],
  ["CONNECT", "CONNECT /v1/token HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"],
  ["an upgrade", get("/healthz", "Upgrade: websocket\r\n")],
  ["no Host", "GET /healthz HTTP/1.1\r\nConnection: close\r\n\r\n"],
  ["a Host with a port", "GET /healthz HTTP/1.1\r\nHost: a.example:8443\r\nConnection: close\r\n\r\n"],
  ["a Host of IPv6", "GET /healthz HTTP/1.1\r\nHost: [::1]:9000\r\nConnection: close\r\n\r\n"],
  ["two Authorizations", post("", "Authorization: Bearer a\r\nAuthorization: Bearer b\r\n")],
  ["an Authorization with spaces around", post("", "Authorization:   Bearer a  \r\n")],
  ["names of Object.prototype", get("/v1/whoami", "__proto__: a\r\nconstructor: b\r\nhasOwnProperty: c\r\n")],
  ["two request ids", get("/healthz", "X-Request-Id: aaaaaaaa\r\nX-Request-Id: bbbbbbbb\r\n")],
  ["a header of 16 KiB", get("/healthz", `X-A: ${"a".repeat(16 * 1024)}\r\n`)],
  ["headers beyond 32 KiB", get("/healthz", `X-A: ${"a".repeat(33 * 1024)}\r\n`)],
  ["a header with bytes that are no ASCII", get("/v1/whoami", "Authorization: Bearer \xe9\r\n")],
  ["a folded header", get("/healthz", "X-A: a\r\n b\r\n")],
  ["a header with a NUL", get("/healthz", "X-A: a\0b\r\n")],
  ["a space before the colon", get("/healthz", "X-A : a\r\n")],
  ["a body of no declared type", post("scope=a", "Authorization: Bearer a\r\n")],
  ["a body larger than is taken", post("x".repeat(20_000))],
  ["a body that is no UTF-8", post("\xff\xfe")],
  ["a GET with a body", get("/healthz", "Content-Length: 3\r\n").concat("abc")],
  ["the pages", get("/docs")],
  // Smuggling: where two readers would see two different requests.
  ["a length and chunks", post("0\r\n\r\n", "Transfer-Encoding: chunked\r\n")],
  ["two lengths", post("abc", "Content-Length: 2\r\n")],
  ["a length with a sign", get("/healthz", "Content-Length: +0\r\n")],
  ["a transfer coding that is unknown", get("/healthz", "Transfer-Encoding: xchunked\r\n")],
  ["chunked not as the last", get("/healthz", "Transfer-Encoding: chunked, identity\r\n")],
  [
    "a chunk's size with a sign",
    post("", "Transfer-Encoding: chunked\r\n").replace(/Content-Length: 0\r\n\r\n/, "\r\n-1\r\nabc"),
  ],
  ["a line that ends with CR alone", "GET /healthz HTTP/1.1\rHost: a\rConnection: close\r\r"],
  ["HTTP/2.0", "GET /healthz HTTP/2.0\r\nHost: a\r\nConnection: close\r\n\r\n"],
  ["what is no HTTP", "\x16\x03\x01\x02\x00\r\n\r\n"],
])("%s: answered as @hono/node-server does", async (_, text) => {
  const [one, other] = await Promise.all([raw(ours, text), raw(theirs, text)]);
  expect(other).toMatch(/^(?:HTTP\/1\.1 \d{3} |$)/);
  expect(comparable(one)).toBe(comparable(other));
});

describe("refused with what to change", () => {
  test.each([
    ["a backslash in the path", get("/\\evil.example/healthz")],
    ["a backslash in an absolute URL", get("http://evil.example/\\healthz")],
    ["OPTIONS of the server", "OPTIONS * HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"],
    ["another scheme", get("ftp://evil.example/healthz")],
    ["an absolute URL that is none", get("http://[evil/healthz")],
    ["two Hosts", "GET /healthz HTTP/1.1\r\nHost: a\r\nHost: b\r\nConnection: close\r\n\r\n"],
    ["an empty Host", "GET /healthz HTTP/1.1\r\nHost:\r\nConnection: close\r\n\r\n"],
    ["a Host with a path", "GET /healthz HTTP/1.1\r\nHost: a/b\r\nConnection: close\r\n\r\n"],
    ["a Host with a user", "GET /healthz HTTP/1.1\r\nHost: a@b\r\nConnection: close\r\n\r\n"],
    ["a Host with a space", "GET /healthz HTTP/1.1\r\nHost: a b\r\nConnection: close\r\n\r\n"],
  ])("%s", async (_, text) => {
    const [head, body] = (await raw(ours, text)).split("\r\n\r\n") as [string, string];
    expect(head).toMatch(/^HTTP\/1\.1 400 /);
    expect(JSON.parse(body)).toMatchObject({ code: "invalid_request", detail: expect.stringContaining("send an") });
  });
});

test("HTTP/1.0 without a Host is answered: some health checks ask like that", async () => {
  expect(await raw(ours, "GET /healthz HTTP/1.0\r\n\r\n")).toMatch(/^HTTP\/1\.1 200 .*"ok"/s);
});

test("requests in one write are answered in order, on one connection", async () => {
  const kept = (path: string) => `GET ${path} HTTP/1.1\r\nHost: a\r\n\r\n`;
  const got = await raw(ours, kept("/healthz") + kept("/nothing") + post("scope=x"));
  expect([...got.matchAll(/HTTP\/1\.1 (\d+)/g)].map(([, status]) => status)).toEqual(["200", "404", "401"]);
});

test("a refused body does not stand in the way of the next request", async () => {
  const large = post("x".repeat(20_000)).replace("Connection: close\r\n", "");
  const got = await raw(ours, large + get("/healthz"));
  expect([...got.matchAll(/HTTP\/1\.1 (\d+)/g)].map(([, status]) => status)).toEqual(["413", "200"]);
});

test("a refused body that does not come is not waited for", async () => {
  const got = await raw(ours, "POST /v1/token HTTP/1.1\r\nHost: a\r\nContent-Length: 20000\r\n\r\nabc");
  expect(got).toMatch(/^HTTP\/1\.1 413 /);
});

describe("whatever the app does", () => {
  /** The answer of an app to one request. */
  async function answerOf(app: Parameters<typeof listener>[0]): Promise<string> {
    return raw(await listen(listener(app, () => "refused-1")), get("/"));
  }

  test("one of Node's own responses is sent whole, each cookie in a field of its own", async () => {
    const headers = new Headers({ "x-a": "b" });
    headers.append("set-cookie", "a=1");
    headers.append("set-cookie", "b=2");
    const got = await answerOf(() => new Response("töxt", { status: 201, headers }));
    expect(got).toMatch(/^HTTP\/1\.1 201 /);
    expect(got.toLowerCase()).toContain("set-cookie: a=1\r\nset-cookie: b=2\r\n");
    expect(got).toContain("content-length: 5\r\n");
  });

  test.each<[string, () => Response | Promise<Response>]>([
    [
      "throws",
      () => {
        throw new Error("canary");
      },
    ],
    ["fails", () => Promise.reject(new Error("canary"))],
    [
      "answers with a header that cannot be sent",
      () =>
        ({
          status: 200,
          headers: [["x", "a\r\nb: c"]],
          arrayBuffer: async () => new ArrayBuffer(0),
        }) as unknown as Response,
    ],
    [
      "answers with a body that breaks off",
      () => new Response(new ReadableStream({ pull: (c) => c.error(new Error("canary")) })),
    ],
  ])("one that %s is 500, and no word of why", async (_, app) => {
    const got = await answerOf(app);
    expect(got).toMatch(/^HTTP\/1\.1 500 /);
    expect(got).not.toContain("canary");
  });
});
