/** The fetch for private CAs over real TLS: what it believes, and that it has the limits of the other one. */

import { spawn } from "node:child_process";
import { once } from "node:events";
import {
  createServer as createPlainServer,
  type Server as HttpServer,
  request as plainRequest,
  type RequestListener,
} from "node:http";
import { createServer, request, type Server } from "node:https";
import type { AddressInfo } from "node:net";
import { text } from "node:stream/consumers";
import { afterEach, describe, expect, test } from "vitest";
import { nodeFetch } from "../../../functions/broker/http/fetch.ts";
import { fetchJson } from "../../../shared/identity/bounded-fetch.ts";
import { type Certificate, makeCa } from "../../certificates.ts";

const ca = makeCa();
const intermediate = ca.intermediate();
const certificates = {
  good: ca.server("localhost"),
  expired: ca.server("localhost", -1),
  elsewhere: ca.server("issuer.example"),
  below: intermediate.server("localhost"),
};

let server: Server | undefined;
afterEach(() => {
  server?.closeAllConnections();
  server?.close();
});

async function serve(listener: RequestListener, certificate: Certificate = certificates.good): Promise<string> {
  server = createServer(certificate, listener).listen(0, "127.0.0.1");
  await once(server, "listening");
  return `https://localhost:${(server.address() as AddressInfo).port}/`;
}

const get = (url: string, ...trusted: string[]) =>
  fetchJson(nodeFetch(async () => request).fetchWith(trusted.length === 0 ? [ca.cert] : trusted), url);
const answers: RequestListener = (_, response) => response.end('{"keys":[]}');

describe("a server is believed", () => {
  test("with a certificate of a CA that is named", async () => {
    expect(await get(await serve(answers))).toEqual({ keys: [] });
    expect(await get(await serve(answers), makeCa().cert, ca.cert)).toEqual({ keys: [] });
  });

  test("where the named one is an intermediate CA, with what that CA signed and not with what others did", async () => {
    expect(await get(await serve(answers, certificates.below), intermediate.cert)).toEqual({ keys: [] });
    await expect(get(await serve(answers), intermediate.cert)).rejects.toMatchObject({
      cause: { code: "UNABLE_TO_GET_ISSUER_CERT_LOCALLY" },
    });
  });

  test.each([
    ["of another CA", "good", "UNABLE_TO_GET_ISSUER_CERT_LOCALLY"],
    ["that has expired", "expired", "CERT_HAS_EXPIRED"],
    ["for another host", "elsewhere", "ERR_TLS_CERT_ALTNAME_INVALID"],
  ] as const)("never with one %s", async (_, which, code) => {
    const trusted = which === "good" ? makeCa().cert : ca.cert;
    const attempt = get(await serve(answers, certificates[which]), trusted);
    await expect(attempt).rejects.toMatchObject({ name: "TypeError", cause: { code } });
  });

  test("never for what NODE_TLS_REJECT_UNAUTHORIZED says", async () => {
    const url = await serve(answers, certificates.expired);
    const script = `
      import { request } from "node:https";
      import { nodeFetch } from ${JSON.stringify(new URL("../../../functions/broker/http/fetch.ts", import.meta.url).href)};
      nodeFetch(async () => request).fetchWith([process.env.CA])(process.env.URL, {}).then(
        () => console.log("believed"),
        ({ cause }) => console.log(cause.code),
      );`;
    const child = spawn(process.execPath, ["--import", "tsx", "--input-type=module", "-e", script], {
      env: { NODE_TLS_REJECT_UNAUTHORIZED: "0", CA: ca.cert, URL: url },
      stdio: ["ignore", "pipe", "ignore"],
    });
    expect((await text(child.stdout)).trim()).toBe("CERT_HAS_EXPIRED");
  });

  test("never over http", async () => {
    await expect(get("http://127.0.0.1:2/")).rejects.toThrow();
  });
});

describe("as with any other issuer", () => {
  test.each([301, 302, 303, 307, 308])("a redirect (%d) is not followed", async (status) => {
    const visited: unknown[] = [];
    const url = await serve((received, response) => {
      visited.push(received.url);
      response.writeHead(status, { location: "/elsewhere" }).end();
    });
    await expect(get(url)).rejects.toBeInstanceOf(TypeError);
    expect(visited).toEqual(["/"]);
  });

  test.each([204, 304, 404, 500])(
    "an answer of status %d is not read, and its connection is closed",
    async (status) => {
      const url = await serve((_, response) => {
        response.writeHead(status).flushHeaders();
        response.write("secret");
      });
      const connection = once(server as Server, "secureConnection");
      await expect(get(url)).rejects.toThrow(`status ${status}`);
      const [socket] = await connection;
      if (!socket.destroyed) await once(socket, "close");
    },
  );

  test("an endless body is cut off, and its connection is closed", async () => {
    const url = await serve((_, response) => {
      const more = (): void => {
        while (response.write("x".repeat(16_384)));
        response.once("drain", more);
      };
      more();
    });
    const connection = once(server as Server, "secureConnection");
    await expect(get(url)).rejects.toThrow("more than 65536 bytes");
    const [socket] = await connection;
    if (!socket.destroyed) await once(socket, "close");
  });

  test("a body that breaks off is a failure", async () => {
    const url = await serve((_, response) => {
      response.writeHead(200, { "content-length": "100" }).write("{", () => response.destroy());
    });
    await expect(get(url)).rejects.toBeInstanceOf(TypeError);
  });

  test.each([
    ["no answer", () => {}],
    ["a body that does not end", (_: unknown, response: { write(text: string): void }) => response.write("{")],
  ] as [string, RequestListener][])("%s is waited for no longer than three seconds", async (_, listener) => {
    await expect(get(await serve(listener))).rejects.toMatchObject({ name: "TimeoutError" });
  });

  test("a packed answer is not asked for", async () => {
    let asked: unknown;
    const url = await serve((received, response) => {
      asked = received.headers;
      answers(received, response);
    });
    await get(url);
    expect(asked).toMatchObject({ accept: "application/json", "accept-encoding": "identity" });
  });
});

describe("for issuers that Node believes by itself", () => {
  const { fetch } = nodeFetch(async () => plainRequest);
  let plain: HttpServer;
  afterEach(() => {
    plain.closeAllConnections();
    plain.close();
  });

  /** Counts connections; `listener` is told the number of the request. */
  async function servePlain(listener: (count: number, ...told: Parameters<RequestListener>) => void) {
    const counts = { requests: 0, connections: 0 };
    plain = createPlainServer((received, response) => listener(++counts.requests, received, response));
    plain.on("connection", () => counts.connections++);
    plain.listen(0, "127.0.0.1");
    await once(plain, "listening");
    return { url: `http://127.0.0.1:${(plain.address() as AddressInfo).port}/`, counts };
  }

  test("a connection serves for what is fetched next, as discovery and keys are", async () => {
    const { url, counts } = await servePlain((_, __, response) => response.end("{}"));
    expect([await fetchJson(fetch, url), await fetchJson(fetch, url)]).toEqual([{}, {}]);
    expect(counts).toEqual({ requests: 2, connections: 1 });
  });

  test("one that had died meanwhile is no failure", async () => {
    const { url, counts } = await servePlain((count, received, response) =>
      count === 2 ? received.socket.resetAndDestroy() : response.end("{}"),
    );
    await fetchJson(fetch, url);
    expect(await fetchJson(fetch, url)).toEqual({});
    expect(counts).toEqual({ requests: 3, connections: 2 });
  });

  test("a new one that dies is one, and is not asked again", async () => {
    const { url, counts } = await servePlain((_, received) => received.socket.resetAndDestroy());
    await expect(fetchJson(fetch, url)).rejects.toMatchObject({ name: "TypeError", cause: { code: "ECONNRESET" } });
    expect(counts.requests).toBe(1);
  });

  test("what must be sent once is, over a connection of its own", async () => {
    const { url, counts } = await servePlain((count, received, response) =>
      count === 2 ? received.socket.resetAndDestroy() : response.end("{}"),
    );
    await fetchJson(fetch, url);
    await expect(fetch(url, { method: "POST", body: "a" })).rejects.toMatchObject({ cause: { code: "ECONNRESET" } });
    expect(counts).toEqual({ requests: 2, connections: 2 });
  });
});
