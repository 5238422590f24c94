/** What is made from the schema of broker.yaml is up to date, and leaves nothing out. */

import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { policyReference } from "../../docs/policy-reference.ts";
import { editorSchema } from "../../shared/config/schema.ts";

const file = (name: string) => readFileSync(new URL(`../../docs/${name}`, import.meta.url), "utf8");

test("docs/broker.schema.json and docs/policy-reference.md are up to date; if not: npm run docs", () => {
  expect(JSON.parse(file("broker.schema.json"))).toEqual(JSON.parse(JSON.stringify(editorSchema())));
  expect(file("policy-reference.md")).toBe(policyReference(editorSchema()));
});

interface Node {
  readonly properties?: Readonly<Record<string, Node>>;
  readonly required?: readonly string[];
  readonly [keyword: string]: unknown;
}

/** Every schema in it, itself included, whatever keyword leads to it. */
function* nodes(value: unknown): Generator<Node> {
  if (typeof value !== "object" || value === null) return;
  if (!Array.isArray(value)) yield value as Node;
  for (const inner of Object.values(value)) yield* nodes(inner);
}

/** The page's tables: what stands in each field's row. */
function tablesOf(page: string): Map<string, string>[] {
  return page.split(/^## /m).map((section) => {
    const rows = section.matchAll(/^\| `([^`]+)` \|(.*)\|$/gm);
    return new Map([...rows].map(([, name = "", row = ""]) => [name, row.replaceAll(/\\(.)/g, "$1")]));
  });
}

function isMap(node: Node): node is Node & { properties: Readonly<Record<string, Node>> } {
  return node["type"] === "object" && node.properties !== undefined;
}

describe("docs/policy-reference.md", () => {
  const tables = tablesOf(policyReference(editorSchema()));
  const maps = [...nodes(editorSchema())].filter(isMap);

  test("has each field of each map, whether it is required, and all that the schema says of it", () => {
    expect(maps.length).toBeGreaterThan(8);
    for (const { properties, required = [] } of maps) {
      const fields = Object.keys(properties);
      const table = tables.find((one) => [...one.keys()].join() === fields.join());
      for (const [name, property] of Object.entries(properties)) {
        const row = table?.get(name);
        expect(row, fields.join()).toContain(required.includes(name) ? " required |" : " optional |");
        for (const said of saidOf(property)) expect(row, name).toContain(said);
      }
    }
  });
});

/** What a row must have: words, values, bounds and patterns, of the field and of what is in it short of another map with fields. */
function saidOf(node: Node): string[] {
  if (isMap(node)) return typeof node["description"] === "string" ? [node["description"]] : [];
  const inner = [
    node["items"],
    node["additionalProperties"],
    node["propertyNames"],
    node["anyOf"],
    node["oneOf"],
  ].flat();
  const own = [
    node["description"],
    node["const"],
    node["minimum"],
    node["maximum"],
    node["pattern"],
    node["enum"],
  ].flat();
  return [
    ...own
      .filter((value) => typeof value === "string" || typeof value === "number")
      .map((value) => unescaped(String(value))),
    ...inner.filter((value) => typeof value === "object").flatMap((value) => saidOf(value as Node)),
  ];
}

/** As the rows are read above: without what escapes in Markdown. */
function unescaped(text: string): string {
  return text.replaceAll(/\\(.)/g, "$1");
}

test("a keyword that the page has no words for is shown as it is", () => {
  const page = policyReference({
    type: "object",
    dependentRequired: { a: ["b"] },
    not: { minProperties: 5 },
    anyOf: [{ required: ["a"] }, { required: ["b"], properties: { a: { const: 1 } } }],
    properties: {
      a: { type: "integer", multipleOf: 5, default: 10 },
      b: { type: "array", prefixItems: [{ type: "string" }], maxItems: 2 },
      c: { type: "string", minLength: 1, maxLength: 9 },
    },
  });
  for (const text of [
    'dependentRequired `{"a":["b"]}`',
    'not `{"minProperties":5}`',
    'At least one of: `a`; `b`, with `a` as in `{"const":1}`',
    "whole number, default `10`, multipleOf `5`",
    'list, at most 2 entries: anything, prefixItems `[{"type":"string"}]`',
    "text, 1 to 9 characters",
  ]) {
    expect(page.toLowerCase()).toContain(text.toLowerCase());
  }
});
