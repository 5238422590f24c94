/**
 * docs/policy-reference.md from the JSON Schema of broker.yaml. It knows JSON Schema, and nothing of the fields: a keyword that it
 * has no words for is shown as it is. https://json-schema.org/draft/2020-12/json-schema-validation
 */

type Schema = Readonly<Record<string, unknown>>;

interface Section {
  /** Where in the file, with `<name>` for a name of one's own. */
  readonly path: string;
  readonly schema: Schema;
}

const INTRODUCTION = `# \`broker.yaml\`: every field

Made from the schema by \`npm run docs\`; do not edit. One table for each map of the file, in the order of the file; \`<name>\` stands for a name or claim of your own choice. Unknown fields are refused everywhere.
What the fields mean, and what one demands of another: [configuration.md](configuration.md). For editors: [broker.schema.json](broker.schema.json).
`;

export function policyReference(schema: object): string {
  const sections = sectionsOf({ path: "", schema: { ...schema } });
  const links = new Map(sections.map(({ path, schema: of }) => [JSON.stringify(of), path]));
  return [INTRODUCTION, ...sections.map((section) => written(section, links))].join("\n");
}

/** Each map with fields of its own, before what is in it; one that stands at several places, once. */
function sectionsOf(root: Section): Section[] {
  const found = new Map<string, Section>();
  const visit = ({ path, schema }: Section): void => {
    const variants = alternatives(schema);
    for (const [index, variant] of variants.entries()) {
      const number = variants.filter(isMap).length > 1 ? ` (${index + 1} of ${variants.length})` : "";
      visit({ path: path + number, schema: variant });
    }
    const properties = propertiesOf(schema);
    if (properties.length > 0) {
      const key = JSON.stringify(schema);
      if (found.has(key)) return;
      found.set(key, { path, schema });
    }
    const inside = path.replace(/ \(\d+ of \d+\)$/, "");
    for (const [name, property] of properties)
      visit({ path: inside === "" ? name : `${inside}.${name}`, schema: property });
    if (isSchema(schema["additionalProperties"]))
      visit({ path: `${inside}.<name>`, schema: schema["additionalProperties"] });
    if (isSchema(schema["items"])) visit({ path: `${inside}[]`, schema: schema["items"] });
  };
  visit(root);
  return [...found.values()];
}

function written({ path, schema }: Section, links: ReadonlyMap<string, string>): string {
  const required = textsOf(schema["required"]);
  const rows = propertiesOf(schema).map(([name, property]) => {
    const cells = [
      `\`${name}\``,
      required.includes(name) ? "required" : "optional",
      formOf(property, links),
      describe(property),
    ];
    return `| ${cells.map((cell) => cell.replaceAll("|", "\\|")).join(" | ")} |`;
  });
  const rules = rulesOf(schema);
  return [
    `## ${titleOf(path)}`,
    "",
    ...(rules.length === 0 ? [] : [`${capital(rules.join("; "))}.`, ""]),
    "| field | | form | |",
    "| --- | --- | --- | --- |",
    ...rows,
    "",
  ].join("\n");
}

function titleOf(path: string): string {
  if (path === "") return "Top level";
  return path.replace(/^[^ ]+/, (place) => `\`${place}\``);
}

/** GitHub's anchor of a section's heading. */
function anchorOf(path: string): string {
  return (path === "" ? "Top level" : path)
    .toLowerCase()
    .replaceAll(/[^a-z0-9_ -]/g, "")
    .replaceAll(" ", "-");
}

/** What stands beside which field, or not. */
function rulesOf(schema: Schema): string[] {
  const [oneOf, anyOf] = [schemasOf(schema["oneOf"]).filter(isRule), schemasOf(schema["anyOf"]).filter(isRule)];
  const apart = isSchema(schema["not"]) ? [schema["not"], ...schemasOf(schema["not"]["anyOf"])].filter(isRule) : [];
  return [
    countOf(schema, "Properties", "field"),
    oneOf.length === 0 ? "" : `either ${oneOf.map(beside).join("; or ")}`,
    anyOf.length === 0 ? "" : `at least one of: ${anyOf.map(beside).join("; ")}`,
    ...apart.map((rule) => `not together: ${names(rule)}`),
    schema["not"] !== undefined && apart.length === 0 ? `not ${json(schema["not"])}` : "",
    ...unsaid(schema),
  ].filter((rule) => rule !== "");
}

/** What has no form of its own and only says what stands beside what. */
function isRule(schema: Schema): boolean {
  return schema["type"] === undefined && schema["required"] !== undefined;
}

function beside(rule: Schema): string {
  const others = Object.entries((rule["properties"] ?? {}) as Schema).map(([name, of]) =>
    of === false ? `without ${code(name)}` : `with ${code(name)} as in ${json(of)}`,
  );
  return [names(rule), ...others].join(", ");
}

function names(rule: Schema): string {
  return textsOf(rule["required"]).map(code).join(" and ");
}

/** Keywords that the words of a form, a rule or a description come from. */
const SAID = new Set([
  ...["$schema", "title", "description", "type", "properties", "required", "additionalProperties", "propertyNames"],
  ...["enum", "const", "anyOf", "oneOf", "not", "items", "uniqueItems", "minItems", "maxItems", "minProperties"],
  ...["maxProperties", "minimum", "maximum", "minLength", "maxLength", "pattern", "format", "default"],
]);

function unsaid(schema: Schema): string[] {
  return Object.entries(schema).flatMap(([keyword, value]) => (SAID.has(keyword) ? [] : [`${keyword} ${json(value)}`]));
}

function formOf(schema: Schema, links: ReadonlyMap<string, string>): string {
  const variants = alternatives(schema);
  const parts = [
    variants.length > 0 ? variants.map((variant) => described(variant, links)).join("; or ") : plainForm(schema, links),
    ...(schema["default"] === undefined ? [] : [`default ${json(schema["default"])}`]),
    // A map with a section of its own says it there.
    ...(isMap(schema) ? [] : unsaid(schema)),
  ];
  return parts.join(", ");
}

/** One of several forms, with its own description behind it. */
function described(schema: Schema, links: ReadonlyMap<string, string>): string {
  const description = describe(schema);
  return formOf(schema, links) + (description === "" ? "" : ` (${description})`);
}

function plainForm(schema: Schema, links: ReadonlyMap<string, string>): string {
  if (schema["const"] !== undefined) return json(schema["const"]);
  if (Array.isArray(schema["enum"])) return `one of ${schema["enum"].map(json).join(" ")}`;
  switch (schema["type"]) {
    case "array": {
      const of = isSchema(schema["items"]) ? described(schema["items"], links) : "anything";
      const unlike = schema["uniqueItems"] === true ? "no two alike" : "";
      const count = countOf(schema, "Items", "entry", "entries");
      return `${["list", count, unlike].filter(Boolean).join(", ")}: ${of}`;
    }
    case "object":
      return mapForm(schema, links);
    case "string":
      return textForm(schema);
    case "integer":
      return `whole number${rangeOf(schema["minimum"], schema["maximum"])}`;
    case "number":
      return `number${rangeOf(schema["minimum"], schema["maximum"])}`;
    case "boolean":
      return "`true` or `false`";
    default:
      return "anything";
  }
}

function mapForm(schema: Schema, links: ReadonlyMap<string, string>): string {
  const path = links.get(JSON.stringify(schema));
  if (path !== undefined) return `[${titleOf(path)}](#${anchorOf(path)})`;
  const keys = isSchema(schema["propertyNames"]) ? described(schema["propertyNames"], links) : "text";
  const values = isSchema(schema["additionalProperties"])
    ? described(schema["additionalProperties"], links)
    : "anything";
  const count = countOf(schema, "Properties", "entry", "entries");
  return `${["map", count].filter(Boolean).join(", ")}: ${keys} → ${values}`;
}

function textForm(schema: Schema): string {
  const [least, most] = [schema["minLength"], schema["maxLength"]];
  const length =
    typeof most === "number" ? `${least ?? 0} to ${most} characters` : least === undefined ? "" : "not empty";
  const like = typeof schema["pattern"] === "string" ? `like ${code(schema["pattern"])}` : "";
  const format = typeof schema["format"] === "string" ? schema["format"] : "";
  return ["text", length, format, like].filter(Boolean).join(", ");
}

function rangeOf(least: unknown, most: unknown): string {
  if (typeof least === "number" && typeof most === "number") return `, ${least} to ${most}`;
  if (typeof least === "number") return `, at least ${least}`;
  return typeof most === "number" ? `, at most ${most}` : "";
}

function countOf(schema: Schema, what: "Items" | "Properties", one: string, several = `${one}s`): string {
  const [least, most] = [schema[`min${what}`], schema[`max${what}`]];
  const noun = (count: unknown) => (count === 1 ? one : several);
  if (least !== undefined && least === most) return `exactly ${least} ${noun(least)}`;
  if (least !== undefined && most !== undefined) return `${least} to ${most} ${several}`;
  if (least !== undefined) return `at least ${least} ${noun(least)}`;
  return most === undefined ? "" : `at most ${most} ${noun(most)}`;
}

/** As text: nothing in it is Markdown's or HTML's. */
function describe(schema: Schema): string {
  const description = schema["description"];
  return typeof description === "string" ? description.replaceAll(/[\\`*<]|\b_|_\b/g, "\\$&") : "";
}

function alternatives(schema: Schema): readonly Schema[] {
  return [...schemasOf(schema["anyOf"]), ...schemasOf(schema["oneOf"])].filter((variant) => !isRule(variant));
}

function propertiesOf(schema: Schema): [name: string, property: Schema][] {
  return Object.entries((schema["properties"] ?? {}) as Schema).filter((entry): entry is [string, Schema] =>
    isSchema(entry[1]),
  );
}

function isMap(schema: Schema): boolean {
  return propertiesOf(schema).length > 0;
}

function schemasOf(value: unknown): readonly Schema[] {
  return Array.isArray(value) ? value.filter(isSchema) : [];
}

function textsOf(value: unknown): readonly string[] {
  return Array.isArray(value) ? value.map(String) : [];
}

function isSchema(value: unknown): value is Schema {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

const code = (text: string): string => `\`${text}\``;
const json = (value: unknown): string => code(typeof value === "string" ? value : JSON.stringify(value));
const capital = (text: string): string => text.charAt(0).toUpperCase() + text.slice(1);
