/** What is asked of a place that the configuration names, and what of its answer is read. Real connections: key-source.test.ts. */

import { expect, test } from "vitest";
import { fetchJson, readJson } from "../../shared/identity/bounded-fetch.ts";

const KIB = 1024;

test("a document is asked for by its type, without redirects, and for no longer than a signal says", async () => {
  const asked: [string, RequestInit][] = [];
  const document = await fetchJson(async (url, init) => {
    asked.push([url, init]);
    return new Response('{"keys":[]}');
  }, "https://issuer.example/jwks");
  expect(document).toEqual({ keys: [] });
  expect(asked).toEqual([
    [
      "https://issuer.example/jwks",
      { headers: { accept: "application/json" }, redirect: "error", signal: expect.any(AbortSignal) },
    ],
  ]);
});

test.each([201, 304, 404, 500])("of an answer of status %d nothing is read", async (status) => {
  let cancelled = 0;
  const body = { cancel: async () => void cancelled++ };
  const answer = async () => ({ status, body }) as unknown as Response;
  await expect(fetchJson(answer, "https://issuer.example")).rejects.toThrow(`status ${status}`);
  expect(cancelled).toBe(1);
});

test("nor of one without a body", async () => {
  const answer = async () => new Response(null, { status: 404 });
  await expect(fetchJson(answer, "https://issuer.example")).rejects.toThrow("status 404");
  await expect(readJson(new Response(null))).rejects.toThrow(SyntaxError);
});

test("64 KiB are read, in whatever pieces, and not a byte more", async () => {
  const pieces = (bytes: number) =>
    new Response(
      new ReadableStream({
        start(controller) {
          const text = `"${"a".repeat(bytes - 2)}"`;
          for (let at = 0; at < bytes; at += 1000) controller.enqueue(Buffer.from(text.slice(at, at + 1000)));
          controller.close();
        },
      }),
    );
  expect(await readJson(pieces(64 * KIB))).toHaveLength(64 * KIB - 2);
  await expect(readJson(pieces(64 * KIB + 1))).rejects.toThrow("more than 65536 bytes");
});

test("what is no UTF-8, no JSON, or has a name twice, is not read", async () => {
  await expect(readJson(new Response(Buffer.from([0x22, 0xff, 0x22])))).rejects.toThrow(TypeError);
  await expect(readJson(new Response("{"))).rejects.toThrow(SyntaxError);
  await expect(readJson(new Response('{"a":1,"a":2}'))).rejects.toThrow("twice");
});
