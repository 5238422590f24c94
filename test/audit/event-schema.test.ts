/** docs/audit-event.schema.json is the form of what the broker writes, no more and no less. */

import { readFileSync } from "node:fs";
import { Ajv2020 } from "ajv/dist/2020.js";
import { afterAll, beforeAll, expect, expectTypeOf, test } from "vitest";
import { type DecisionLine, eventSchema, type RefusedLine } from "../../shared/audit/event-schema.ts";
import type { DecisionEvent, RefusedEvent } from "../../shared/audit/log.ts";
import { type Harness, startHarness } from "../broker/harness.ts";

const isValid = (schema: object) => new Ajv2020({ strict: false, validateFormats: false }).compile(schema);

let h: Harness;
beforeAll(async () => {
  h = await startHarness();
});
afterAll(() => h.close());

test("the schema in docs/ is that of the code", () => {
  const file = new URL("../../docs/audit-event.schema.json", import.meta.url);
  expect(JSON.parse(readFileSync(file, "utf8"))).toEqual(JSON.parse(JSON.stringify(eventSchema())));
});

test("the schema has the fields of the types by which the broker writes, and takes all that they allow", () => {
  expectTypeOf<Exclude<keyof DecisionLine, "time">>().toEqualTypeOf<keyof DecisionEvent>();
  expectTypeOf<Exclude<keyof RefusedLine, "time">>().toEqualTypeOf<keyof RefusedEvent>();
  expectTypeOf<DecisionEvent>().toExtend<Readonly<Omit<DecisionLine, "time" | "scope" | "grants">>>();
  expectTypeOf<RefusedEvent>().toExtend<Readonly<Omit<RefusedLine, "time">>>();
});

test("each event of a broker that allows, denies, fails, explains and refuses is of the schema, and has no field beside it", async () => {
  const scope = ["repository:web/app:pull"];
  const explained = async () =>
    h.request("/v1/explain", {
      method: "POST",
      headers: { authorization: `Bearer ${await h.mint()}`, "content-type": "application/json" },
      body: JSON.stringify({ registry: "prod", scope }),
    });
  const statuses = [
    await h.ask({ registry: "prod", scope }),
    await h.ask({ registry: "prod", scope }, await h.mint({ ref: "refs/heads/other", jti: "one" })),
    await h.ask({ registry: "prod", scope }, await h.mint({ sub: "untrusting" })),
    await explained(),
    await h.ask({ registry: "prod", scope }, "no.token.atall"),
    await h.ask({ registry: "nowhere", scope }),
  ].map(({ status }) => status);
  expect(statuses).toEqual([200, 403, 502, 200, 401, 400]);
  const events = h.logged().filter(({ event }) => event === "decision" || event === "refused");
  expect(events.map(({ event }) => event)).toEqual([...Array(4).fill("decision"), ...Array(2).fill("refused")]);
  const check = isValid(eventSchema({ strict: true }));
  for (const event of events) {
    expect(check(event), JSON.stringify([event, check.errors])).toBe(true);
  }
});

test("a reader lets pass what a later broker adds, but not another version", () => {
  const check = isValid(eventSchema());
  const refused = {
    ...{ time: "2026-06-01T12:00:00.000Z", event: "refused", version: 1, request_id: "one", route: "/v1/token" },
    ...{ status: 401, code: "invalid_token", policy_digest: `sha256:${"0".repeat(64)}`, duration_ms: 1 },
  };
  expect([check({ ...refused, added: 1 }), check({ ...refused, version: 2 })]).toEqual([true, false]);
});

test("docs/audit.md's queries ask for fields of the event that they are about", () => {
  const page = readFileSync(new URL("../../docs/audit.md", import.meta.url), "utf8");
  const { oneOf } = eventSchema() as { oneOf: { title: string; properties: object }[] };
  const queries = [...page.matchAll(/`(event: [^`]*)`/g)].flatMap(([, query = ""]) =>
    query.includes(" and ") ? [query] : [],
  );
  expect(queries.length).toBeGreaterThanOrEqual(5);
  for (const query of queries) {
    const [search = "", analysis = ""] = query.split(" \\| ");
    const [, title] = /^event: (\w+)/.exec(search) ?? [];
    const named = [
      ...[...search.matchAll(/(\w+): /g)].map(([, field]) => field),
      ...[...analysis.matchAll(/[a-z_]+(?=[ ,])/g)]
        .map(([field]) => field)
        .filter((word) => !/^(?:denials|refused|count)$/.test(word)),
    ];
    const fields = Object.keys(oneOf.find((form) => form.title === title)?.properties ?? {});
    expect(
      named.filter((field) => !fields.includes(String(field))),
      query,
    ).toEqual([]);
  }
});

test("docs/audit.md has a row for each field, with the schema's own words", () => {
  const page = readFileSync(new URL("../../docs/audit.md", import.meta.url), "utf8");
  const { oneOf } = eventSchema() as {
    oneOf: { title: string; properties: Record<string, { description: string }> }[];
  };
  for (const { title, properties } of oneOf) {
    const section = page.split("\n## ").find((part) => part.startsWith(`\`${title}\``)) ?? "";
    const rows = [...section.matchAll(/^\| `(\w+)` \| \w* ?\| (.*) \|$/gm)].map(([, name, words]) => [name, words]);
    expect(rows).toEqual(Object.entries(properties).map(([name, { description }]) => [name, description]));
  }
});
