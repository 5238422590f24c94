/**
 * Run by the build, once under each Node that is to have a cache: starts the broker, has it answer what a first caller asks, and
 * writes what V8 has compiled by then. What was never run is left out, and compiled when it is needed.
 * `node warm-up.cjs FOLDER OUT TOKEN TOKEN TOKEN`, with the broker's environment; FOLDER has the code, and
 * a token can be used once.
 */

import { once } from "node:events";
import { mkdirSync, writeFileSync } from "node:fs";
import { type IncomingMessage, request } from "node:http";
import { dirname, join } from "node:path";
import { cacheFile, code } from "./load.ts";

declare const module: { require(name: string): unknown };

const FORM = "application/x-www-form-urlencoded";
const SCOPE = "repository:web/app:pull,push";

async function warmUp(folder: string, out: string, tokens: readonly string[]): Promise<void> {
  // The port, when the log says that it listens. Nothing else of the log matters.
  const listening = new Promise<number>((resolve) => {
    process.stdout.write = (lines: string | Uint8Array, ...rest: unknown[]) => {
      const port = /"started".*?:(\d+), policy/.exec(String(lines))?.[1];
      if (port !== undefined) resolve(Number(port));
      // The broker waits for it: what is not written is not issued.
      for (const written of rest) if (typeof written === "function") written();
      return true;
    };
  });
  const { load, loaded } = code(folder, {}, (name) => module.require(name));
  const { serve } = load("broker.cjs") as typeof import("../server.ts");
  await serve(false);
  const port = await listening;

  const [first, second, third = ""] = tokens;
  const form = { "content-type": FORM, authorization: `Bearer ${first}` };
  const json = { "content-type": "application/json", authorization: `Bearer ${second}` };
  const exchange = new URLSearchParams({
    grant_type: "urn:ietf:params:oauth:grant-type:token-exchange",
    subject_token: third,
    subject_token_type: "urn:ietf:params:oauth:token-type:jwt",
    scope: SCOPE,
  });
  await expectAnswer(200, port, "GET", "/healthz", {}, "");
  await expectAnswer(401, port, "POST", "/v1/token", { "content-type": FORM }, `scope=${SCOPE}`);
  await expectAnswer(403, port, "POST", "/v1/token", json, '{"scope":["repository:other/app:pull"]}');
  await expectAnswer(200, port, "POST", "/v1/token", form, `scope=${SCOPE}`);
  await expectAnswer(200, port, "POST", "/v1/token", json, JSON.stringify({ scope: [SCOPE] }));
  await expectAnswer(200, port, "POST", "/oauth2/token", { "content-type": FORM }, String(exchange));
  await expectAnswer(200, port, "POST", "/initialize", {}, "");

  for (const [name, { script }] of loaded) {
    const file = join(out, cacheFile(name));
    mkdirSync(dirname(file), { recursive: true });
    writeFileSync(file, script.createCachedData());
  }
}

async function expectAnswer(
  status: number,
  port: number,
  method: string,
  path: string,
  headers: Readonly<Record<string, string>>,
  body: string,
): Promise<void> {
  const sent = request({ host: "127.0.0.1", port, method, path, headers }).end(body);
  const [answer] = (await once(sent, "response")) as [IncomingMessage];
  let text = "";
  for await (const chunk of answer.setEncoding("utf8")) text += chunk;
  if (answer.statusCode !== status)
    throw new Error(`${method} ${path}: ${answer.statusCode} instead of ${status}: ${text}`);
}

const [folder = "", out = "", ...tokens] = process.argv.slice(2);
warmUp(folder, out, tokens).then(
  () => process.exit(0),
  (error: unknown) => {
    process.stderr.write(`${error instanceof Error ? error.stack : error}\n`);
    process.exit(1);
  },
);
