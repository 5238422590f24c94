/** Events to real collectors over HTTP and TLS, well and ill. */

import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import type { RequestListener } from "node:http";
import { createServer as createPlainServer, type Server as HttpServer, request as plainRequest } from "node:http";
import { createServer, request } from "node:https";
import type { AddressInfo, Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { afterEach, describe, expect, test } from "vitest";
import { httpsSink } from "../../../functions/broker/audit-sink/https.ts";
import { nodeFetch } from "../../../functions/broker/http/fetch.ts";
import { type Certificate, makeCa } from "../../certificates.ts";
import { haveTools } from "../../e2e/tools.ts";
import { FAULTS } from "../../faults/faults.ts";
import { startProxy } from "../../faults/proxy.ts";
import { freePort } from "../../store/redis-server.ts";

const ca = makeCa();

const servers: HttpServer[] = [];
afterEach(() => {
  for (const server of servers.splice(0)) {
    server.closeAllConnections();
    server.close();
  }
});

async function serve(listener: RequestListener, certificate?: Certificate): Promise<string> {
  const server = certificate === undefined ? createPlainServer(listener) : createServer(certificate, listener);
  servers.push(server.listen(0, "127.0.0.1"));
  await once(server, "listening");
  const scheme = certificate === undefined ? "http" : "https";
  return `${scheme}://localhost:${(server.address() as AddressInfo).port}/events`;
}

const { fetchAgain } = nodeFetch(async (protocol) => (protocol === "https:" ? request : plainRequest));
const sinkFor = (url: string, authorization?: string, trusted?: string[]) =>
  httpsSink(fetchAgain(trusted), url, authorization);

const status =
  (code: number, headers: Record<string, string> = {}): RequestListener =>
  (asked, response) => {
    asked.resume();
    response.writeHead(code, headers).end("words of its own");
  };

test("each batch is one POST of JSON lines, with the whole header that was given, over connections that are kept", async () => {
  const seen: unknown[] = [];
  const sockets = new Set<Socket>();
  const url = await serve(async (asked, response) => {
    sockets.add(asked.socket);
    const { "content-type": type, "content-length": length, authorization } = asked.headers;
    seen.push([asked.method, asked.url, type, authorization, length, await text(asked)]);
    response.writeHead(204).end();
  });
  const put = sinkFor(url, "Splunk 0123");
  expect([await put(""), await put('{"a":"é"}\n')]).toEqual([undefined, undefined]);
  for (const batch of ["b\nc\n", "d\n", "e\n"]) expect(await put(batch)).toBeUndefined();
  const kind = ["POST", "/events", "application/x-ndjson", "Splunk 0123"];
  expect(seen).toEqual([
    [...kind, "11", '{"a":"é"}\n'],
    [...kind, "4", "b\nc\n"],
    [...kind, "2", "d\n"],
    [...kind, "2", "e\n"],
  ]);
  // Two, where the end of an answer came after the next batch.
  expect(sockets.size).toBeLessThanOrEqual(2);
});

test.skipIf(!haveTools(["busybox"]))(
  "a server that nobody here wrote, which closes each connection, has them",
  async () => {
    const folder = mkdtempSync(join(tmpdir(), "collector-"));
    mkdirSync(join(folder, "cgi-bin"));
    const script = '#!/bin/sh\nhead -c "$CONTENT_LENGTH" >> ../events.jsonl\nprintf "Status: 200 OK\\r\\n\\r\\n"\n';
    writeFileSync(join(folder, "cgi-bin/events"), script, { mode: 0o755 });
    const port = await freePort();
    const httpd = spawn("busybox", ["httpd", "-f", "-p", `127.0.0.1:${port}`, "-h", folder], { stdio: "ignore" });
    const put = sinkFor(`http://127.0.0.1:${port}/cgi-bin/events`);
    while ((await put("a\n")) === "ECONNREFUSED");
    expect([await put("b\n"), await put("c\n")]).toEqual([undefined, undefined]);
    expect(readFileSync(join(folder, "events.jsonl"), "utf8")).toBe("a\nb\nc\n");
    httpd.kill();
    await once(httpd, "exit");
    rmSync(folder, { recursive: true });
  },
);

test("without a header none is sent", async () => {
  let headers: object = {};
  const put = sinkFor(
    await serve((asked, response) => {
      headers = asked.headers;
      status(200)(asked, response);
    }),
  );
  await put("a\n");
  expect(headers).not.toHaveProperty("authorization");
});

test("a connection that was closed meanwhile is no failure: the batch is sent again, whole, over another", async () => {
  const bodies: string[] = [];
  let last: Socket | undefined;
  const url = await serve(async (asked, response) => {
    last = asked.socket;
    bodies.push(await text(asked));
    response.end();
  });
  const put = sinkFor(url);
  expect(await put("a\n")).toBeUndefined();
  // Gone without a word that has come here before the next batch is written.
  last?.resetAndDestroy();
  expect([await put("b\n"), bodies]).toEqual([undefined, ["a\n", "b\n"]]);
});

test("a refusal is told by its status, and nothing of its words", async () => {
  expect(await sinkFor(await serve(status(401)))("a\n")).toBe("status 401");
});

/** What it says of each fault that an upstream over HTTP can have; undefined where the events were taken. */
const SAYS: Readonly<Record<string, string | undefined>> = {
  "nobody listens": "ECONNREFUSED",
  "its name is not found": "ENOTFOUND",
  "the connection is reset": "ECONNRESET",
  "the connection is reset in the answer": undefined,
  "it takes the question and says nothing": "no answer within 2 s",
  "it answers a byte at a time": undefined,
  "it answers a little late": undefined,
  "the answer is cut off": undefined,
  "the answer never ends": undefined,
  "an error page never ends": "status 503",
  "the answer is HTML": undefined,
  "the answer is of another protocol": "HPE_INVALID_CONSTANT",
  "it sends us elsewhere": "the connection failed or was redirected",
  "an error page each time": "status 503",
  "it answers 429": "status 429",
};

test.each(
  Object.entries(FAULTS).flatMap(([name, fault]) =>
    fault.at.includes("issuer") && !fault.tls && !name.includes("clock") ? [{ name, fault }] : [],
  ),
)("$name", async ({ name, fault }) => {
  const proxy = await startProxy(Number(new URL(await serve(status(200))).port));
  const put = sinkFor(`http://localhost:${proxy.port}/events`);
  expect(await put("a\n")).toBeUndefined();
  const heal = fault.strike({ proxy, clocks: { theirs: () => {}, ours: () => {} } });
  const begun = performance.now();
  expect(Object.keys(SAYS)).toContain(name);
  expect(await put("b\n")).toBe(SAYS[name]);
  expect(performance.now() - begun).toBeLessThan(3_000);
  heal?.();
  await proxy.close();
});

describe("over TLS", () => {
  test("with a certificate of the CA that is named, also when the connection is used again", async () => {
    const put = sinkFor(await serve(status(200), ca.server("localhost")), undefined, [ca.cert]);
    expect([await put("a\n"), await put("b\n")]).toEqual([undefined, undefined]);
  });

  test.each([
    ["of a CA that is not named", () => ca.server("localhost"), undefined, "UNABLE_TO_VERIFY_LEAF_SIGNATURE"],
    ["of another CA", () => makeCa().server("localhost"), [ca.cert], "UNABLE_TO_GET_ISSUER_CERT_LOCALLY"],
    ["that has expired", () => ca.server("localhost", -1), [ca.cert], "CERT_HAS_EXPIRED"],
    ["for another host", () => ca.server("elsewhere.example"), [ca.cert], "ERR_TLS_CERT_ALTNAME_INVALID"],
  ])("a certificate %s is not believed, and nothing is sent", async (_, certificate, trusted, why) => {
    let asked = 0;
    const url = await serve((request, response) => {
      asked++;
      status(200)(request, response);
    }, certificate());
    expect([await sinkFor(url, "Bearer secret", trusted)("a\n"), asked]).toEqual([why, 0]);
  });

  test("a connection made for one CA is not used for another", async () => {
    const url = await serve(status(200), ca.server("localhost"));
    expect(await sinkFor(url, undefined, [ca.cert])("a\n")).toBeUndefined();
    expect(await sinkFor(url, undefined, [makeCa().cert])("a\n")).toMatch(/UNABLE_TO/);
    expect(await sinkFor(url)("a\n")).toMatch(/UNABLE_TO/);
  });
});
