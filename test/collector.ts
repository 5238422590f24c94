/** Where traces are posted to: what came, as OTLP has it. */

import { once } from "node:events";
import { createServer, type IncomingHttpHeaders } from "node:http";
import type { AddressInfo } from "node:net";

export interface Span {
  readonly traceId: string;
  readonly spanId: string;
  readonly parentSpanId?: string;
  readonly name: string;
  /** 1 internal, 2 server, 3 client. https://github.com/open-telemetry/opentelemetry-proto, trace.proto */
  readonly kind: number;
  readonly startTimeUnixNano: string;
  readonly endTimeUnixNano: string;
  /** 2: an error. */
  readonly status: { readonly code: number; readonly message?: string };
  readonly attributes: readonly { readonly key: string; readonly value: Readonly<Record<string, unknown>> }[];
}

export interface Collector {
  /** Where to post. */
  readonly url: string;
  /** Each post as it came. */
  readonly posts: { readonly path: string; readonly headers: IncomingHttpHeaders; readonly body: string }[];
  spans(): Span[];
  /** What the sender is as a whole. */
  resource(): Span["attributes"];
  close(): Promise<void>;
}

/** `status`: what it answers; `hang`: nothing, ever. */
export async function startCollector(status: number | "hang" = 200): Promise<Collector> {
  const posts: Collector["posts"] = [];
  const server = createServer(async (request, response) => {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    posts.push({ path: request.url ?? "", headers: request.headers, body: Buffer.concat(chunks).toString() });
    if (status === "hang") return;
    response.writeHead(status, { "content-type": "application/json" }).end("{}");
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const resources = () =>
    posts.flatMap(
      ({ body }) =>
        (
          JSON.parse(body) as {
            resourceSpans: { resource: { attributes: Span["attributes"] }; scopeSpans: { spans: Span[] }[] }[];
          }
        ).resourceSpans,
    );
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/v1/traces`,
    posts,
    spans: () => resources().flatMap(({ scopeSpans }) => scopeSpans.flatMap(({ spans }) => spans)),
    resource: () => resources()[0]?.resource.attributes ?? [],
    async close() {
      server.close();
      server.closeAllConnections();
      await once(server, "close");
    },
  };
}
