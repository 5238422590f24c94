/** Requests as other clients than fetch send them: bodies of unknown length, slow bodies, none, and connections that end. */

import { once } from "node:events";
import { type ClientRequest, type IncomingMessage, request } from "node:http";
import { text } from "node:stream/consumers";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { type Harness, policy, startHarness } from "./harness.ts";

let h: Harness;
beforeAll(async () => {
  h = await startHarness();
});
afterEach(() => {
  h.clock.aheadMs = 0;
});
afterAll(() => h.close());

const SCOPE = "scope=repository:web/app:pull&registry=prod";

/** Sends the headers at once and the body when told. */
function open(method: string, path: string, headers: Record<string, string>, to = h): ClientRequest {
  const sent = request(to.url + path, { method, headers });
  sent.flushHeaders();
  return sent;
}

async function answer(sent: ClientRequest): Promise<{ status: number; body: string }> {
  const [response] = (await once(sent, "response")) as [IncomingMessage];
  return { status: response.statusCode ?? 0, body: await text(response) };
}

const form = async (token?: string) => ({
  authorization: `Bearer ${token ?? (await h.mint())}`,
  "content-type": "application/x-www-form-urlencoded",
});

describe("without a length", () => {
  test("a chunked form is read", async () => {
    const sent = open("POST", "/v1/token", { ...(await form()), "transfer-encoding": "chunked" });
    sent.end(SCOPE);
    expect((await answer(sent)).status).toBe(200);
  });

  test("no body at all is none: the fields are in the query", async () => {
    const sent = request(`${h.url}/v1/token?${SCOPE}`, {
      method: "POST",
      headers: { authorization: `Bearer ${await h.mint()}` },
    });
    sent.removeHeader("content-length");
    sent.useChunkedEncodingByDefault = false;
    sent.end();
    expect((await answer(sent)).status).toBe(200);
  });

  test.each([
    ["OPTIONS", "/v1/token", 405],
    ["DELETE", "/v1/token", 405],
    ["DELETE", "/nope", 404],
    ["POST", "/healthz", 405],
    ["POST", "/initialize", 200],
  ])("%s %s: %i", async (method, path, status) => {
    const sent = open(method, path, { "transfer-encoding": "chunked" });
    sent.end();
    expect((await answer(sent)).status).toBe(status);
  });

  test("a body in more than 256 pieces is refused, however small they are", async () => {
    const sent = open("POST", "/v1/token", { ...(await form()), "transfer-encoding": "chunked" });
    sent.on("error", () => {}); // as below
    for (let n = 0; n <= 256; n++) sent.write("x");
    expect((await answer(sent)).status).toBe(413);
    sent.destroy();
  });

  test("a chunked body beyond 16 KiB is refused", async () => {
    const sent = open("POST", "/v1/token", { ...(await form()), "transfer-encoding": "chunked" });
    sent.on("error", () => {}); // the rest of the body is not waited for
    sent.write("x".repeat(20_000));
    expect((await answer(sent)).status).toBe(413);
    sent.destroy();
  });
});

describe("a slow body", () => {
  const length = { "content-length": String(SCOPE.length) };

  test("does not outlast its token", async () => {
    const sent = open("POST", "/v1/token", { ...(await form()), ...length });
    await arrived(h);
    h.clock.aheadMs = 400_000; // the token lived 300 s, and 60 s are forgiven
    sent.end(SCOPE);
    expect(JSON.parse((await answer(sent)).body)).toMatchObject({ code: "token_expired" });
  });

  test("does not make one token serve twice", async () => {
    const once = (cloud: string, issuer: string) =>
      policy(cloud, issuer).replace(`issuer: "${issuer}" }`, `issuer: "${issuer}", replay: once }`);
    const strict = await startHarness({ policy: once });
    const headers = { ...(await form(await strict.mint())), ...length };
    const sent = [1, 2, 3].map(() => open("POST", "/v1/token", headers, strict));
    await arrived(strict, 3);
    const answers = sent.map(answer);
    for (const one of sent) one.end(SCOPE);
    const codes = (await Promise.all(answers)).map(({ status }) => status);
    expect(codes.sort()).toEqual([200, 401, 401]);
    await strict.close();
  });
});

test("a caller who hangs up is no defect of the broker", async () => {
  const sent = open("POST", "/v1/token", { ...(await form()), "content-length": "1000" });
  sent.on("error", () => {});
  await arrived(h);
  const logged = h.logged().length;
  sent.destroy();
  while (h.logged().length === logged) await new Promise(setImmediate);
  expect(h.logged().at(-1)).toMatchObject({ event: "request", status: 400, code: "invalid_request" });
});

test("a path that does not exist is not logged, whatever becomes of the request", async () => {
  const sent = open("POST", "/abk_nightly_SECRET-IN-A-PATH", { "content-length": "20000" });
  sent.on("error", () => {});
  expect((await answer(sent)).status).toBe(404);
  sent.destroy();
  expect(h.output.join()).not.toContain("SECRET-IN-A-PATH");
});

test("a form of many names costs no more than one of few", async () => {
  const many = Array.from({ length: 3_000 }, (_, index) => `k${index}=`)
    .join("&")
    .slice(0, 16_000);
  const sent = open("POST", "/v1/token", { ...(await form()), "content-length": String(many.length) });
  sent.end(many);
  expect(JSON.parse((await answer(sent)).body).detail).toContain('"k0" is no field');
});

/** When `count` requests are under way. */
async function arrived({ broker }: Harness, count = 1): Promise<void> {
  while (broker.health.inFlight < count) await new Promise(setImmediate);
}
