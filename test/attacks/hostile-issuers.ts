/** Issuers that are configured and mean harm: what they answer would send the broker elsewhere, or make it read without end. */

import { once } from "node:events";
import { createServer, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { gzipSync } from "node:zlib";

/** The ECS instance metadata service: https://www.alibabacloud.com/help/en/ecs/user-guide/view-instance-metadata */
const METADATA = "http://100.100.100.200/latest/meta-data/ram/security-credentials/";

/** A public key that anybody has the private half of: the generator of P-256. */
const EC = {
  kty: "EC",
  crv: "P-256",
  kid: "ec",
  x: "axfR8uEsQkf4vOblY6RA8ncDfYEt6zOg9KE5RdiYwpY",
  y: "T-NC4v4af5uO5-tKfA-eFivOM1drMV7Oy7ZAaDe_UfU",
};
const BOMB = gzipSync(Buffer.alloc(20_000_000));

/** Answers with a status, headers and a body; `origin` is this server's, `issuer` the issuer's whole URL. */
type Serve = (response: ServerResponse, at: { readonly origin: string; readonly issuer: string }) => void;

const json =
  (value: (at: Parameters<Serve>[1]) => unknown): Serve =>
  (response, at) => {
    const said = value(at);
    response.writeHead(200, { "content-type": "application/json" });
    response.end(typeof said === "string" ? said : JSON.stringify(said));
  };
const redirect =
  (status: number, location: (origin: string) => string): Serve =>
  (response, { origin }) => {
    response.writeHead(status, { location: location(origin) }).end();
  };
const plain =
  (status: number, headers: Record<string, string>, body: string | Buffer = ""): Serve =>
  (response) => {
    response.writeHead(status, headers).end(body);
  };
/** A discovery document as it should be, but for where the keys are. */
const keysAt = (url: (origin: string) => unknown) => json(({ origin, issuer }) => ({ issuer, jwks_uri: url(origin) }));
const ownKeys = json(({ issuer }) => ({ issuer, jwks_uri: `${issuer}/keys` }));

const DISCOVERY: Readonly<Record<string, Serve>> = {
  "/to-metadata": redirect(302, () => METADATA),
  "/to-loopback": redirect(301, (origin) => `${origin}/trap/discovery`),
  "/to-file": redirect(307, () => "file:///etc/passwd"),
  "/keys-to-metadata": ownKeys,
  "/keys-to-loopback": ownKeys,
  "/keys-at-metadata": keysAt(() => METADATA),
  "/keys-at-other-port": keysAt(() => "http://127.0.0.1:1/trap"),
  "/keys-at-file": keysAt(() => "file:///etc/passwd"),
  "/keys-by-userinfo": keysAt((origin) => `${origin}@127.0.0.1:1/trap`),
  "/keys-no-text": keysAt((origin) => [`${origin}/trap/list`]),
  "/keys-inside": keysAt(() => `data:application/json,${JSON.stringify({ keys: [EC] })}`),
  "/named-otherwise": json(({ origin }) => ({ issuer: "https://pinned.example", jwks_uri: `${origin}/trap/named` })),
  "/named-twice": json(({ origin, issuer }) => `{"issuer":"x","issuer":"${issuer}","jwks_uri":"${origin}/trap/twice"}`),
  "/huge": json(() => " ".repeat(70_000)),
  "/bomb": plain(200, { "content-type": "application/json", "content-encoding": "gzip" }, BOMB),
  "/deep": json(() => "[".repeat(30_000)),
  "/many-keys": ownKeys,
  "/weak-keys": ownKeys,
  "/private-keys": ownKeys,
  "/secret-keys": ownKeys,
  "/page": plain(200, { "content-type": "text/html" }, "<html>"),
  "/broken": plain(200, { "content-length": "1" }, "{"),
  "/nothing": plain(204, {}),
  "/error": plain(500, {}, "string-to-sign"),
};
const KEYS: Readonly<Record<string, Serve>> = {
  "/keys-to-metadata": redirect(302, () => METADATA),
  "/keys-to-loopback": redirect(308, (origin) => `${origin}/trap/keys`),
  "/many-keys": json(() => ({ keys: Array.from({ length: 51 }, () => EC) })),
  "/weak-keys": json(() => ({ keys: [{ kty: "RSA", kid: "rsa", e: "AQ", n: "w".repeat(342) }] })),
  "/private-keys": json(() => ({ keys: [{ ...EC, d: "AAAA" }] })),
  "/secret-keys": json(() => ({ keys: [{ kty: "oct", kid: "ec", alg: "RS256", k: "AAAA" }] })),
};

/** The path of each. */
export const HOSTILE = Object.keys(DISCOVERY);

export interface HostileIssuers {
  readonly origin: string;
  /** Requests for what only a redirect, or a URL out of a document or a token, leads to. */
  readonly trapped: string[];
  close(): Promise<void>;
}

export async function hostileIssuers(): Promise<HostileIssuers> {
  const trapped: string[] = [];
  let origin = "";
  const server = createServer((request, response) => {
    const url = request.url ?? "/";
    const [, path = "", rest] = /^(\/[^/]+)(\/.*)$/.exec(url) ?? [];
    const serve =
      rest === "/.well-known/openid-configuration" ? DISCOVERY[path] : rest === "/keys" ? KEYS[path] : undefined;
    if (serve !== undefined) return serve(response, { origin, issuer: origin + path });
    trapped.push(url);
    response.writeHead(404).end();
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  return {
    origin,
    trapped,
    close: async () => {
      server.closeAllConnections();
      server.close();
      await once(server, "close");
    },
  };
}
