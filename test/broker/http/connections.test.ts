/** What callers may hold of the process who send slowly, or nothing, or all at once. Node's time limits are shortened, all of them alike. */

import { once } from "node:events";
import { createServer, type RequestListener, type Server, type ServerOptions } from "node:http";
import { type AddressInfo, connect, type Socket } from "node:net";
import { afterEach, describe, expect, test } from "vitest";
import { CONNECTION_LIMITS, limitConnections } from "../../../functions/broker/http/connections.ts";
import { type Shedding, sheddingListener } from "../../../functions/broker/http/shedding.ts";

const GET = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
const servers: Server[] = [];
afterEach(() => {
  for (const server of servers.splice(0)) {
    server.closeAllConnections();
    server.close();
  }
});

async function listen(options: ServerOptions, listener: RequestListener, most?: number): Promise<number> {
  const server = createServer(options, listener);
  servers.push(server);
  limitConnections(server, most);
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return (server.address() as AddressInfo).port;
}

/** Sends this and no more. `all`: what came, when the server has closed it. */
function open(port: number, bytes = ""): { socket: Socket; first: Promise<unknown>; all: Promise<string> } {
  const socket = connect(port, "127.0.0.1");
  let got = "";
  socket.setEncoding("latin1").on("data", (chunk) => {
    got += chunk;
  });
  socket.on("error", () => {});
  if (bytes !== "") socket.write(bytes);
  const first = once(socket, "data");
  first.catch(() => {});
  return { socket, first, all: once(socket, "close").then(() => got) };
}

const served: RequestListener = (incoming, outgoing) => {
  incoming.resume().on("end", () => outgoing.end("served"));
  incoming.on("error", () => {});
};

describe("a connection is closed with 408", () => {
  // A hundredth of what it is.
  const short = {
    ...CONNECTION_LIMITS,
    headersTimeout: (CONNECTION_LIMITS.headersTimeout ?? 0) / 100,
    requestTimeout: (CONNECTION_LIMITS.requestTimeout ?? 0) / 100,
    connectionsCheckingInterval: (CONNECTION_LIMITS.connectionsCheckingInterval ?? 0) / 100,
  };

  test.each([
    ["that never sends anything", ""],
    ["whose headers do not come to an end", "GET / HTTP/1.1\r\nHost: a\r\nX-A"],
    ["whose body does not come", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nx"],
    [
      "whose chunks do not come to an end",
      "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n",
    ],
  ])("%s", async (_, bytes) => {
    const port = await listen(short, served);
    expect(await open(port, bytes).all).toMatch(/^HTTP\/1\.1 408 /);
  });
});

test("an idle connection that was answered before is kept, as Function Compute wants it", () => {
  expect(CONNECTION_LIMITS.keepAliveTimeout).toBe(0);
});

test("where all connections are taken by idle ones, those make room for the next caller", async () => {
  const port = await listen(CONNECTION_LIMITS, served, 3);
  const idle = [open(port, GET), open(port, GET), open(port, GET)];
  for (const { first } of idle) await first;

  expect(await open(port, GET).all).toBe("");
  for (const { all } of idle) expect(await all).toMatch(/served$/);
  const next = open(port, GET);
  expect(String(await next.first)).toMatch(/served$/);
});

test("one whose answer is under way is not closed for that", async () => {
  const answers: (() => void)[] = [];
  const port = await listen(CONNECTION_LIMITS, (_, outgoing) => void answers.push(() => outgoing.end("served")), 1);
  const first = open(port, GET);
  while (answers.length === 0) await new Promise(setImmediate);
  expect(await open(port, GET).all).toBe("");
  answers[0]?.();
  expect(String(await first.first)).toMatch(/served$/);
});

test("two thousand idle connections keep nobody from an answer", async () => {
  const port = await listen(CONNECTION_LIMITS, served);
  const idle: Socket[] = [];
  for (let count = 0; count < 2_000; count += 100) {
    const some = Array.from({ length: 100 }, () => open(port).socket);
    await Promise.all(some.map((socket) => once(socket, "connect")));
    idle.push(...some);
  }
  expect(String(await open(port, GET).first)).toMatch(/served$/);
  for (const socket of idle) socket.destroy();
});

test("requests sent in one piece on one connection, without end, are refused beyond so many under way", async () => {
  const most = 50;
  const answers: (() => void)[] = [];
  const rule: Shedding = { take: (underWay) => underWay < most, refuse: (carryOut) => carryOut() };
  const listener = sheddingListener(
    (_, outgoing) => void answers.push(() => outgoing.end("served")),
    rule,
    () => answers.length,
    () => "refused-1",
  );
  const port = await listen(CONNECTION_LIMITS, listener);
  const sent = 400;
  const { all } = open(port, GET.repeat(sent - 1) + GET.replace("\r\n\r\n", "\r\nConnection: close\r\n\r\n"));
  while (answers.length < most) await new Promise(setImmediate);
  for (const answer of answers) answer();
  const statuses = [...(await all).matchAll(/HTTP\/1\.1 (\d+)/g)].map(([, status]) => Number(status));
  expect(statuses).toEqual([...new Array<number>(most).fill(200), ...new Array<number>(sent - most).fill(503)]);
});
