/** What was read once is remembered by its texts, and must be what reading it again would give. */

import { expect, test } from "vitest";
import { tokenRequest } from "../../functions/broker/token-request.ts";

const ask = (text: string, { query = "", type = "application/json" }: { query?: string; type?: string | null } = {}) =>
  tokenRequest(
    new Request(`http://broker/v1/token${query}`, {
      method: "POST",
      ...(type === null ? {} : { headers: { "content-type": type } }),
    }),
    text,
  );
const body = JSON.stringify({ scope: ["repository:web/app:pull"], ttl: 900 });

test("the same texts are the same request, read once", () => {
  expect(ask(body)).toMatchObject({
    wanted: { scopes: [{ namespace: "web", repository: "app", actions: ["pull"] }] },
    ttlSeconds: 900,
  });
  expect(ask(body)).toBe(ask(body));
});

test("a body that was read is not read the same as another type, or with another query", () => {
  ask(body);
  expect(() => ask(body, { type: "application/x-www-form-urlencoded" })).toThrow("the body is JSON, sent as a form");
  expect(() => ask(body, { type: null })).toThrow("of no declared type");
  expect(() => ask(body, { query: "?ttl=900" })).toThrow('"ttl" stands in the body and in the query');
  expect(ask(body, { query: "?min_ttl=60" })).toMatchObject({ minTtlSeconds: 60, ttlSeconds: 900 });
  expect(ask(body, { query: "?format=env" }).format).toBe("env");
  expect(ask(body).format).toBe("json");
});

test("a query is not taken for a body, nor a body for a query", () => {
  const form = "scope=repository%3Aweb%2Fapp%3Apull";
  expect(ask("", { query: `?${form}`, type: null }).wanted).toEqual(
    ask(form, { type: "application/x-www-form-urlencoded" }).wanted,
  );
  expect(() => ask("", { type: null })).toThrow("nothing was asked for");
});

test("what was refused is refused again", () => {
  const twice = '{"scope":["repository:web/app:pull"],"scope":["repository:web/*:push"]}';
  for (const _ of [1, 2]) expect(() => ask(twice)).toThrow("stands twice");
});

test("long requests are read each time", () => {
  const long = JSON.stringify({ scope: Array.from({ length: 50 }, (_, index) => `repository:web/app-${index}:pull`) });
  expect(ask(long)).toEqual(ask(long));
  expect(ask(long)).not.toBe(ask(long));
});
