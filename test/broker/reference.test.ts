/** `GET /openapi.json` and `GET /docs` over real HTTP; what is in them is held to the routes by api-answers.test.ts. */

import { execFile } from "node:child_process";
import { createHash } from "node:crypto";
import { mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { Validator } from "@seriousme/openapi-schema-validator";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { type OpenApi, openApi } from "../../functions/broker/reference/document.ts";
import { reference } from "../../functions/broker/reference/reference.ts";
import { ERROR_STATUS } from "../../shared/error.ts";
import { type BrokerProcess, FUNCTION_ROLE, sandboxPolicy, startBrokerProcess } from "../sandbox/broker-process.ts";
import { type Harness, startHarness } from "./harness.ts";

let h: Harness;
beforeAll(async () => {
  h = await startHarness();
});
afterAll(() => h.close());

const document = async () => (await (await h.request("/openapi.json")).json()) as OpenApi;

describe("the document", () => {
  test("is valid OpenAPI 3.1", async () => {
    const validator = new Validator();
    const result = await validator.validate((await document()) as unknown as Record<string, unknown>);
    expect(result).toEqual({ valid: true });
    expect(validator.version).toBe("3.1");
  });

  test("has every route of the broker, and nothing else", async () => {
    const routes = h.broker.app.routes
      .filter(({ method }) => method !== "ALL")
      .map(({ method, path }) => `${method} ${path}`);
    const documented = Object.entries((await document()).paths).flatMap(([path, methods]) =>
      Object.keys(methods).map((method) => `${method.toUpperCase()} ${path}`),
    );
    expect(documented.sort()).toEqual(routes.sort());
  });

  test("has every code, with its status where an operation answers it", async () => {
    const { paths, components } = await document();
    const codes = [...Object.keys(ERROR_STATUS), "internal_error"];
    expect(components.schemas["Problem"]?.properties?.["code"]?.enum).toEqual(codes);
    const told = Object.values(paths).flatMap((methods) =>
      Object.values(methods).flatMap(({ responses }) =>
        Object.entries(responses).flatMap(([status, { content }]) =>
          (content?.["application/problem+json"]?.schema.properties?.["code"]?.enum ?? []).map(
            (code) => `${String(code)} ${status}`,
          ),
        ),
      ),
    );
    // What no path answers, and what a path answers to a method that it does not have, belongs to no operation.
    const elsewhere = ["not_found", "method_not_allowed"];
    const expected = Object.entries({ ...ERROR_STATUS, internal_error: 500 }).filter(
      ([code]) => !elsewhere.includes(code),
    );
    expect([...new Set(told)].sort()).toEqual(expected.map((pair) => pair.join(" ")).sort());
  });

  test("describes each field of a request and of what is most asked for", async () => {
    const { schemas } = (await document()).components;
    for (const name of ["TokenRequest", "TokenExchangeRequest", "Credential", "Explanation", "Problem"]) {
      const bare = Object.entries(schemas[name]?.properties ?? {}).filter(([, { description }]) => !description);
      // What says itself: the principal, and an id that other fields are about.
      expect([
        name,
        bare.map(([field]) => field).filter((field) => !["principal", "request_id"].includes(field)),
      ]).toEqual([name, []]);
    }
  });
});

describe.each([
  ["/openapi.json", "application/json"],
  ["/docs", "text/html; charset=utf-8"],
])("%s", (path, type) => {
  test("may be kept for five minutes, and is not sent again to whoever has it", async () => {
    const response = await h.request(path);
    expect(response.headers.get("content-type")).toBe(type);
    expect(response.headers.get("cache-control")).toBe("public, max-age=300");
    const etag = response.headers.get("etag") as string;
    expect(etag).toMatch(/^"[\w-]{27}"$/);
    for (const tag of [etag, `W/${etag}`, `"other", ${etag}`, "*"]) {
      const again = await h.request(path, { headers: { "if-none-match": tag } });
      expect([tag, again.status, again.headers.get("etag"), await again.text()]).toEqual([tag, 304, etag, ""]);
      expect(again.headers.get("cache-control")).toBe("public, max-age=300");
    }
    expect((await h.request(path, { headers: { "if-none-match": '"other"' } })).status).toBe(200);
  });

  test("answers HEAD with the headers of GET alone", async () => {
    const [head, get] = await Promise.all([h.request(path, { method: "HEAD" }), h.request(path)]);
    expect(head.status).toBe(200);
    expect(await head.text()).toBe("");
    for (const name of ["content-type", "etag", "cache-control", "content-security-policy"]) {
      expect([name, head.headers.get(name)]).toEqual([name, get.headers.get(name)]);
    }
  });
});

test("the page's policy lets in its own style and script by their digests, and nothing else", async () => {
  const response = await h.request("/docs");
  const html = await response.text();
  const digest = (tag: string) => {
    const [, text = ""] = new RegExp(`<${tag}>(.*?)</${tag}>`, "s").exec(html) ?? [];
    return `'sha256-${createHash("sha256").update(text).digest("base64")}'`;
  };
  expect(response.headers.get("content-security-policy")?.split("; ")).toEqual([
    "default-src 'none'",
    `style-src ${digest("style")}`,
    `script-src ${digest("script")}`,
    "img-src data:",
    "base-uri 'none'",
    "form-action 'none'",
    "frame-ancestors 'none'",
    "require-trusted-types-for 'script'",
  ]);
  expect(response.headers.get("x-content-type-options")).toBe("nosniff");
  const [, style = ""] = /<style>(.*?)<\/style>/s.exec(html) ?? [];
  expect(/\b(?:src|srcset|action)=|https?:\/\//.exec(html)).toBeNull();
  expect(/@import|url\(/.exec(style)).toBeNull();
});

describe("the built broker", () => {
  let built: BrokerProcess;
  beforeAll(async () => {
    built = await startBrokerProcess({
      policy: sandboxPolicy({ cloudUrl: h.cloud.url, issuerUrl: h.issuer.url, registryHost: h.cloud.host }),
      keys: h.cloud.functionRoleKeys(FUNCTION_ROLE),
    });
  });
  afterAll(() => built.stop());

  test("carries what the sources make", async () => {
    const { json, html } = reference();
    const served = await Promise.all(
      ["/openapi.json", "/docs"].map(async (path) => (await fetch(built.url + path)).text()),
    );
    // The texts are long: which of them is another is all that there is to see.
    expect(served.map((text, i) => text === [json, html][i])).toEqual([true, true]);
  });
});

/** With oazapfts, which nobody here wrote: from the document to TypeScript. */
describe("a client that a generator makes of it", () => {
  const ROOT = fileURLToPath(new URL("../../", import.meta.url));
  const run = promisify(execFile);
  let folder: string;
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), "generated-"));
    symlinkSync(join(ROOT, "node_modules"), join(folder, "node_modules"));
    writeFileSync(join(folder, "package.json"), '{"type":"module"}');
  });
  afterEach(() => rmSync(folder, { recursive: true }));

  const USE = `
import { defaults, discover, exchangeToken, issueCredential } from "./client.ts";

const token = (name: string) => process.env[name] ?? "";
defaults.baseUrl = token("URL");
const { data: found } = await discover();
const headers = { authorization: \`Bearer \${token("TOKEN")}\` };
const scope = ["repository:web/app:pull"];
const issued = await issueCredential({ registry: Object.keys(("registries" in found && found.registries) || {})[0], scope }, {}, { headers });
if (issued.status !== 200 || !("password" in issued.data)) throw new Error(JSON.stringify(issued));
const exchanged = await exchangeToken({
  grant_type: "urn:ietf:params:oauth:grant-type:token-exchange",
  subject_token: token("TOKEN"),
  subject_token_type: "urn:ietf:params:oauth:token-type:jwt",
  audience: "prod",
  scope: scope.join(" "),
});
const refused = await issueCredential({ registry: "nowhere", scope }, {}, { headers });
console.log(
  JSON.stringify({
    issued: { username: issued.data.username, password: issued.data.password, scope: issued.data.scope },
    exchanged: exchanged.status === 200 && exchanged.data.scope,
    refused: refused.status === 400 && refused.data.code,
  }),
);
`;

  test("compiles, gets a credential, and reads a refusal", async () => {
    await run(
      process.execPath,
      [join(ROOT, "node_modules/oazapfts/dist/cli.js"), `${h.url}/openapi.json`, "client.ts"],
      {
        cwd: folder,
      },
    );
    writeFileSync(join(folder, "use.ts"), USE);
    const options =
      "--noEmit --strict --target es2022 --module nodenext --skipLibCheck --allowImportingTsExtensions --types node";
    await run(process.execPath, [join(ROOT, "node_modules/typescript/bin/tsc"), ...options.split(" "), "use.ts"], {
      cwd: folder,
    });
    const env = { PATH: process.env["PATH"], URL: h.url, TOKEN: await h.mint() };
    const { stdout } = await run(process.execPath, [join(ROOT, "node_modules/tsx/dist/cli.mjs"), "use.ts"], {
      cwd: folder,
      env,
    });
    const { issued, ...others } = JSON.parse(stdout) as {
      issued: { username: string; password: string; scope: string[] };
    };
    expect(issued).toMatchObject({ username: "cr_temp_user", scope: ["repository:web/app:pull"] });
    expect(h.cloud.login(issued.username, issued.password)?.allows("pull", "web/app")).toBe(true);
    expect(others).toEqual({ exchanged: "repository:web/app:pull", refused: "unknown_registry" });
  });
});

test("the document does not hang on what is served", () => {
  expect(openApi("1.2.3").info.version).toBe("1.2.3");
});
