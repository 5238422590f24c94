/**
 * `GET /openapi.json` and `GET /docs`: the API's description, for programs and for people. Made by the build and carried compressed;
 * nothing of it is touched before somebody asks.
 */

import { createHash } from "node:crypto";
import type { Context } from "hono";
import type { Broker } from "../app.ts";
import { answer } from "../http/answer.ts";
import type { Reference } from "../reference/reference.ts";

/** It changes with a deployment only, as what `/.well-known/acr-broker` says does. */
const CACHE_SECONDS = 300;

/** Set by `npm run build`: base64 of a gzipped Reference. Undefined in code that is run unbuilt, which makes it anew. */
declare const ACR_BROKER_REFERENCE: string | undefined;

export function referenceRoutes(app: Broker["app"]): void {
  let loading: Promise<Reference> | undefined;
  const load = () => {
    loading ??= loadReference();
    return loading;
  };
  app.get("/openapi.json", async (c) => {
    const { json } = await load();
    return tagged(c, json, { "content-type": "application/json" });
  });
  app.get("/docs", async (c) => {
    const { html, contentSecurityPolicy } = await load();
    return tagged(c, html, {
      "content-type": "text/html; charset=utf-8",
      "content-security-policy": contentSecurityPolicy,
      "cross-origin-opener-policy": "same-origin",
      "referrer-policy": "no-referrer",
    });
  });
}

async function loadReference(): Promise<Reference> {
  if (typeof ACR_BROKER_REFERENCE === "undefined") return (await import("../reference/reference.ts")).reference();
  const { gunzipSync } = await import("node:zlib");
  return JSON.parse(gunzipSync(Buffer.from(ACR_BROKER_REFERENCE, "base64")).toString()) as Reference;
}

/** 304 for whoever has this very text (RFC 9110 section 13.1.2: the comparison is weak, since gateways weaken tags). */
function tagged(c: Context, body: string, headers: Readonly<Record<string, string>>): Response {
  const etag = `"${createHash("sha256").update(body).digest("base64url").slice(0, 27)}"`;
  const kept = { etag, "cache-control": `public, max-age=${CACHE_SECONDS}` };
  const known = c.req.header("if-none-match")?.split(",") ?? [];
  if (known.some((tag) => [etag, "*"].includes(tag.trim().replace(/^W\//, "")))) {
    return answer(null, 304, kept);
  }
  return answer(body, 200, { ...headers, ...kept });
}
