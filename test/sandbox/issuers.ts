/**
 * Several OpenID providers under paths of one server, each with keys of its own, over https where it is given a certificate;
 * and what they were asked for.
 */

import { once } from "node:events";
import { createServer } from "node:http";
import { createServer as createTlsServer } from "node:https";
import type { AddressInfo } from "node:net";
import { type Claims, createProvider, defaultClaims, type Provider, signed } from "./issuer.ts";

export interface Issuers {
  /** `http://127.0.0.1:PORT`, or `https://localhost:PORT`. */
  readonly origin: string;
  /** The path of each request that came, those that were answered and those that were not. */
  readonly asked: string[];
  /** A token of the issuer under `path`; `key` names the one that signs, where that is another's. */
  mint(path: string, claims?: Claims, key?: string): Promise<string>;
  close(): Promise<void>;
}

export interface IssuersOptions {
  readonly audience: string;
  /** PEM. */
  readonly tls?: { readonly key: string; readonly cert: string };
}

/** `paths` begin with a slash, and none begins another; "" is an issuer at the top. */
export async function startIssuers(paths: readonly string[], { audience, tls }: IssuersOptions): Promise<Issuers> {
  const made = await Promise.all(paths.map(async (path) => [path, await createProvider()] as const));
  const providers = new Map<string, Provider>(made);
  const asked: string[] = [];
  const server = tls === undefined ? createServer() : createTlsServer(tls);
  server.on("request", (request, response) => {
    const url = request.url ?? "/";
    asked.push(url);
    const path = paths.find((one) => url.startsWith(`${one}/`));
    if (path === undefined) {
      response.writeHead(404).end();
      return;
    }
    request.url = url.slice(path.length);
    providers.get(path)?.service.requestHandler(request, response);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  const origin = tls === undefined ? `http://127.0.0.1:${port}` : `https://localhost:${port}`;
  for (const [path, { issuer }] of providers) issuer.url = origin + path;

  return {
    origin,
    asked,
    mint(path, claims = {}, key = path) {
      const provider = providers.get(key);
      if (provider === undefined) throw new Error(`there is no issuer at ${key}`);
      return signed(provider, { ...defaultClaims(origin + path, audience, new Date()), ...claims });
    },
    close: async () => {
      const closed = once(server, "close");
      server.close();
      server.closeAllConnections();
      await closed;
    },
  };
}
