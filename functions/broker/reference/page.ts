/** The API's description as one HTML page that asks for nothing else: made with the document by `npm run build`. */

import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { ERROR_STATUS, type ErrorCode } from "../../../shared/error.ts";
import { TITLES } from "../problem.ts";
import type { OpenApi, Operation, Schema } from "./document.ts";

export interface Page {
  readonly html: string;
  /** Names the page's own style and script by their digests, and allows nothing else. */
  readonly contentSecurityPolicy: string;
}

export function page(api: OpenApi): Page {
  const style = asset("page.css");
  const script = asset("page.js");
  return {
    html: html(api, style, script),
    contentSecurityPolicy: [
      "default-src 'none'",
      `style-src ${digest(style)}`,
      `script-src ${digest(script)}`,
      "img-src data:",
      "base-uri 'none'",
      "form-action 'none'",
      "frame-ancestors 'none'",
      "require-trusted-types-for 'script'",
    ].join("; "),
  };
}

function asset(name: string): string {
  return readFileSync(new URL(name, import.meta.url), "utf8");
}

function digest(text: string): string {
  return `'sha256-${createHash("sha256").update(text).digest("base64")}'`;
}

function html(api: OpenApi, style: string, script: string): string {
  const { info } = api;
  const sections = api.tags.map((tag) => ({ ...tag, operations: operationsOf(api, tag.name) }));
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>${escaped(info.title)}: the HTTP API</title>
<link rel="icon" href="data:,">
<style>${style}</style>
</head>
<body>
<a class="skip" href="#main">Skip to the content</a>
<header>
<h1>${escaped(info.title)}</h1>
<p>The HTTP API of version ${escaped(info.version)}. <a href="/openapi.json">OpenAPI 3.1 document</a></p>
</header>
<nav aria-label="Contents">
<ul>
<li><a href="#curl">Make a curl line</a></li>
${sections.map(({ name, operations }) => `<li>${escaped(name)}<ul>${operations.map(link).join("")}</ul></li>`).join("\n")}
<li><a href="#errors">Errors</a></li>
</ul>
</nav>
<main id="main" tabindex="-1">
<p class="lead">${prose(String(info["description"]))}</p>
${curlForm(api)}
${sections
  .map(
    ({ name, description, operations }) =>
      `<section aria-labelledby="${anchor(name)}"><h2 id="${anchor(name)}">${escaped(name)}</h2><p>${prose(description)}</p>
${operations.map((one) => article(api, one)).join("\n")}</section>`,
  )
  .join("\n")}
${authentication(api)}
${errors()}
</main>
<script>${script}</script>
</body>
</html>
`;
}

interface Placed {
  readonly path: string;
  readonly method: string;
  readonly operation: Operation;
}

function operationsOf({ paths }: OpenApi, tag: string): Placed[] {
  return Object.entries(paths).flatMap(([path, methods]) =>
    Object.entries(methods)
      .filter(([, { tags }]) => tags.includes(tag))
      .map(([method, operation]) => ({ path, method: method.toUpperCase(), operation })),
  );
}

function link({ method, path, operation }: Placed): string {
  return `<li><a href="#${operation.operationId}"><span class="method">${method}</span> ${pathText(path)}</a></li>`;
}

/** A path may break after each slash, and nowhere else unless it must. */
function pathText(path: string): string {
  return escaped(path).replaceAll("/", "/<wbr>");
}

function article(api: OpenApi, { path, method, operation }: Placed): string {
  const { operationId, summary, description, security, requestBody, responses } = operation;
  const body = requestBody === undefined ? [] : Object.values(requestBody.content);
  const request = body[0] && resolve(api, body[0].schema);
  const succeeding = responses["200"];
  return `<article id="${operationId}" aria-labelledby="${operationId}-title">
<h3 id="${operationId}-title">${escaped(summary)}</h3>
<p class="route"><span class="method">${method}</span> <code>${pathText(path)}</code></p>
<p>${prose(description)}</p>
<p class="note">${security === undefined ? "No identity needed in a header." : 'Needs <a href="#authentication">a token</a>.'}${
    requestBody === undefined ? "" : ` Body: ${Object.keys(requestBody.content).map(code).join(" or ")}.`
  }${operation.parameters === undefined ? "" : " Or all of it in the query."}</p>
${request === undefined ? "" : `<h4>Fields of the request</h4>${fields(api, request)}`}
<h4>Answer</h4>
${Object.entries(succeeding?.content ?? {})
  .map(([type, { schema }]) => answer(api, type, schema))
  .join("\n")}
<details><summary>Errors of ${escaped(path)}</summary>
<dl class="fields">${Object.entries(responses)
    .filter(([status]) => status !== "200")
    .map(([status, { content }]) => `<dt>${status}</dt><dd>${codesOf(content).map(code).join(", ")}</dd>`)
    .join("")}</dl></details>
</article>`;
}

function codesOf(content: Operation["responses"][string]["content"]): string[] {
  return Object.values(content ?? {}).flatMap(({ schema }) => (schema.properties?.["code"]?.enum ?? []).map(String));
}

function answer(api: OpenApi, type: string, schema: Schema): string {
  const forms = (schema.oneOf ?? [schema]).map((one) => ({
    name: one.$ref?.split("/").at(-1),
    schema: resolve(api, one),
  }));
  return forms
    .map(({ name, schema: { properties, type: kind } }) => {
      const title = `<p class="note">${code(type)}${forms.length > 1 && name !== undefined ? `, ${escaped(spaced(name))}` : ""}${
        properties === undefined && kind === "string" ? ", text" : ""
      }</p>`;
      return properties === undefined ? title : `${title}${fields(api, { properties })}`;
    })
    .join("\n");
}

function resolve({ components }: OpenApi, schema: Schema): Schema {
  const name = schema.$ref?.split("/").at(-1);
  return name === undefined ? schema : (components.schemas[name] as Schema);
}

function fields(api: OpenApi, { properties = {}, required = [] }: Schema): string {
  const rows = Object.entries(properties).map(([name, property]) => {
    const must = required.includes(name) ? ' <span class="must">required</span>' : "";
    return `<dt>${code(name)}${must}</dt><dd><span class="type">${escaped(typeOf(property))}</span>${
      property.description === undefined ? "" : ` ${prose(property.description)}`
    }${values(property)}${within(api, property)}</dd>`;
  });
  return `<dl class="fields">${rows.join("")}</dl>`;
}

/** The fields of an object in a field, or of the objects in a list. */
function within(api: OpenApi, schema: Schema): string {
  const inner =
    schema.items ?? (typeof schema.additionalProperties === "object" ? schema.additionalProperties : schema);
  // Only answers have such, and nobody has to send those.
  return inner.properties === undefined ? "" : fields(api, { properties: inner.properties });
}

function typeOf(schema: Schema): string {
  const { type, items, anyOf, additionalProperties } = schema;
  if (anyOf !== undefined) return anyOf.map(typeOf).join(" or ");
  if (type === "array") return `list of ${items?.type === "object" ? "objects" : `${items?.type ?? "value"}s`}`;
  if (type === "object" && typeof additionalProperties === "object") return "object, by name";
  if (type === undefined) return schema.const === undefined ? "any" : typeof schema.const;
  return typeof type === "string" ? type : type.join(" or ");
}

function values({ enum: allowed, const: only, default: usual, minimum }: Schema): string {
  const said = [
    ...(allowed === undefined ? [] : [`One of ${allowed.map((value) => code(String(value))).join(", ")}`]),
    ...(only === undefined ? [] : [`Always ${code(String(only))}`]),
    ...(usual === undefined ? [] : [`Else ${code(String(usual))}`]),
    ...(minimum === undefined ? [] : [`At least ${minimum}`]),
  ];
  return said.length === 0 ? "" : ` <span class="values">${said.join(". ")}.</span>`;
}

function authentication({ components }: OpenApi): string {
  const ways = Object.values(components.securitySchemes).map(
    ({ name, description }) =>
      `<dt>${name === undefined ? code("Authorization: Bearer <token>") : code(name)}</dt><dd>${prose(String(description))}</dd>`,
  );
  return `<section aria-labelledby="authentication"><h2 id="authentication">Authentication</h2><dl class="fields">${ways.join("")}</dl></section>`;
}

function errors(): string {
  const rows = Object.entries(ERROR_STATUS).map(
    ([name, status]) => `<dt>${status} ${code(name)}</dt><dd>${escaped(TITLES[name as ErrorCode])}</dd>`,
  );
  return `<section aria-labelledby="errors"><h2 id="errors">Errors</h2>
<p>${code("application/problem+json")} (RFC 9457), but RFC 6749's errors from ${code("/oauth2/token")}. The code is stable, the detail says what to change. Where waiting helps there is ${code("Retry-After")}.</p>
<dl class="fields">${rows.join("")}<dt>500 ${code("internal_error")}</dt><dd>A defect of the broker</dd></dl></section>`;
}

/** Without a script there is nothing to make a line of fields, but an example. */
function curlForm(api: OpenApi): string {
  const formats = api.components.schemas["TokenRequest"]?.properties?.["format"]?.enum ?? [];
  const option = (value: string, text = value) => `<option value="${escaped(value)}">${escaped(text)}</option>`;
  return `<section aria-labelledby="curl"><h2 id="curl">Make a curl line</h2>
<p>The line takes the token from <code>$ACR_BROKER_TOKEN</code>. This page never asks for a token, and sends nothing anywhere.</p>
<form id="curl-form" hidden autocomplete="off">
<p><label for="call">What to do</label><select id="call">
${[
  option("token", "Get a credential"),
  option("exchange", "Exchange a token (RFC 8693)"),
  option("explain", "Explain a decision"),
  option("whoami", "See who you are here"),
].join("\n")}
</select></p>
<p data-for="token exchange explain"><label for="registry">Registry <span class="hint">may be empty where there is only one</span></label><input id="registry" placeholder="prod" spellcheck="false" autocapitalize="none"></p>
<fieldset data-for="token exchange explain"><legend>Ask for</legend>
<label class="choice"><input type="radio" name="wanted" value="scope" checked> scopes</label>
<label class="choice"><input type="radio" name="wanted" value="grant"> all that a grant gives</label>
</fieldset>
<p data-for="token exchange explain" data-wanted="scope"><label for="scope">Scopes <span class="hint">one a line</span></label><textarea id="scope" rows="3" spellcheck="false" autocapitalize="none">repository:web/app:pull,push</textarea></p>
<p data-for="token exchange explain" data-wanted="grant"><label for="grant">Grant</label><input id="grant" placeholder="web-main" spellcheck="false" autocapitalize="none"></p>
<p data-for="token exchange explain"><label for="ttl">Lifetime in seconds <span class="hint">empty: as long as the grants allow</span></label><input id="ttl" type="number" min="900" step="1" inputmode="numeric" placeholder="900"></p>
<p data-for="token"><label for="format">Format</label><select id="format">${formats.map((name) => option(String(name))).join("")}</select></p>
<p data-for="exchange"><label for="kind">The token is</label><select id="kind">${option("jwt", "an OpenID Connect token")}${option("access_token", "an API key or a signed identity")}</select></p>
<p class="wide"><span id="line-label">The line</span></p>
<pre class="wide" tabindex="0" role="region" aria-labelledby="line-label"><code id="line"></code></pre>
<p class="wide"><button type="button" id="copy">Copy the line</button> <span id="copied" role="status"></span></p>
</form>
<noscript><pre tabindex="0"><code>curl -fsS "$ACR_BROKER_URL/v1/token" \\
  -H "Authorization: Bearer $ACR_BROKER_TOKEN" \\
  -d registry=prod -d scope=repository:web/app:pull</code></pre></noscript>
</section>`;
}

function anchor(name: string): string {
  return name.toLowerCase().replaceAll(" ", "-");
}

/** DockerConfig is read as "docker config". */
function spaced(name: string): string {
  return name.replace(/(?<=.)[A-Z]/g, " $&").toLowerCase();
}

/** As much of CommonMark as the descriptions have: what stands between backticks is code. */
function prose(text: string): string {
  return escaped(text).replace(/`([^`]+)`/g, "<code>$1</code>");
}

function code(text: string): string {
  return `<code>${escaped(text)}</code>`;
}

function escaped(text: string): string {
  const entities: Readonly<Record<string, string>> = {
    "&": "&amp;",
    "<": "&lt;",
    ">": "&gt;",
    '"': "&quot;",
    "'": "&#39;",
  };
  return text.replace(/[&<>"']/g, (character) => entities[character] as string);
}
