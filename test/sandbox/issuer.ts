/**
 * An OpenID provider for tests and the sandbox: discovery, JWKS and signatures are those of `oauth2-mock-server`;
 * added are `POST /mint`, which signs any claims it is given, and key rotation.
 * It authenticates nobody. https://openid.net/specs/openid-connect-discovery-1_0.html
 */
import { randomUUID } from "node:crypto";
import { once } from "node:events";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { type JWK, OAuth2Issuer, OAuth2Service } from "oauth2-mock-server";
import { plantCanaries } from "../canaries.ts";

export interface IssuerOptions {
  /** 0 or absent: any free port. */
  readonly port?: number;
  readonly now?: () => Date;
  /** `aud` of tokens whose claims name none. */
  readonly audience?: string;
}

/** Claims of a token; `null` leaves a default claim out. */
export type Claims = Readonly<Record<string, unknown>>;

export interface Issuer {
  /** The exact issuer string, `http://127.0.0.1:PORT`. */
  readonly url: string;
  /** `header` beside the library's own fields of it, or in their place. */
  mint(claims?: Claims, header?: Claims): Promise<string>;
  /** Signs with a new key from now on. The previous key stays published, as with real providers; older ones are gone. */
  rotateKeys(): Promise<void>;
  close(): Promise<void>;
}

const DEFAULT_AUDIENCE = "https://acr-broker.example.com";
const TOKEN_LIFETIME_SECONDS = 300;
const MINT_BODY_LIMIT_BYTES = 64 * 1024;
// Leaving a body unread must not close the connection: the refusal still has to reach the client.
const KEEP_OPEN = { destroyOnReturn: false };

/** The provider with the key it signs with now. The library's key store cannot forget a key, so rotation makes a new one. */
export interface Provider {
  readonly issuer: OAuth2Issuer;
  readonly service: OAuth2Service;
  readonly key: JWK;
}

export async function startIssuer(options: IssuerOptions = {}): Promise<Issuer> {
  const { port = 0, now = () => new Date(), audience = DEFAULT_AUDIENCE } = options;
  // The key comes first: making one takes up to seconds, and no request may meet a provider without it.
  let provider = await createProvider();

  const server = createServer((request, response) => {
    if (new URL(request.url ?? "/", "http://issuer").pathname === "/mint") void answerMint(request, response, mint);
    else provider.service.requestHandler(request, response);
  });
  server.listen(port, "127.0.0.1");
  await once(server, "listening");
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  provider.issuer.url = url;

  async function mint(claims: Claims = {}, header: Claims = {}): Promise<string> {
    return signed(provider, { ...defaultClaims(url, audience, now()), ...claims }, header);
  }

  return {
    url,
    mint,
    rotateKeys: async () => {
      const next = await createProvider(provider.key);
      next.issuer.url = url;
      provider = next;
    },
    close: async () => {
      const closed = once(server, "close");
      server.close();
      server.closeAllConnections();
      await closed;
    },
  };
}

/** A token of exactly these claims; `header` is put over the one that the library makes. */
export async function signed({ issuer, key }: Provider, claims: Claims, header: Claims = {}): Promise<string> {
  const token = await issuer.buildToken({
    kid: key.kid,
    scopesOrTransform: (made, payload) => {
      Object.assign(made, header);
      for (const name of Object.keys(payload)) delete payload[name];
      Object.assign(payload, Object.fromEntries(Object.entries(claims).filter(([, value]) => value !== null)));
    },
  });
  // The signature: header and claims are no secret, and alike in many tokens.
  plantCanaries([token.slice(token.lastIndexOf(".") + 1)]);
  return token;
}

/** A provider that has no URL yet. */
export async function createProvider(previousKey?: JWK): Promise<Provider> {
  const issuer = new OAuth2Issuer();
  if (previousKey) await issuer.keys.add(previousKey);
  const key = await issuer.keys.generate("RS256", { kid: randomUUID() });
  return { issuer, service: new OAuth2Service(issuer), key };
}

export function defaultClaims(issuer: string, audience: string, now: Date): Claims {
  const issuedAt = Math.floor(now.getTime() / 1000);
  return {
    iss: issuer,
    aud: audience,
    sub: "sandbox",
    iat: issuedAt,
    nbf: issuedAt,
    exp: issuedAt + TOKEN_LIFETIME_SECONDS,
    jti: randomUUID(),
  };
}

async function answerMint(
  request: IncomingMessage,
  response: ServerResponse,
  mint: (claims: Claims) => Promise<string>,
): Promise<void> {
  if (request.method !== "POST") return answer(response, 405, { error: "method_not_allowed" }, { allow: "POST" });
  const claims = await readClaims(request);
  if (!claims)
    return answer(response, 400, { error: "invalid_request", error_description: "send a JSON object of claims" });
  answer(response, 200, { token: await mint(claims) }, { "cache-control": "no-store" });
}

/** The claims in the body; an empty body asks for the defaults. `undefined` when it is no JSON object or too large. */
async function readClaims(request: IncomingMessage): Promise<Claims | undefined> {
  let body = "";
  try {
    for await (const chunk of request.setEncoding("utf8").iterator(KEEP_OPEN)) {
      body += chunk;
      if (body.length > MINT_BODY_LIMIT_BYTES) return undefined;
    }
    const claims: unknown = JSON.parse(body || "{}");
    return typeof claims === "object" && claims !== null && !Array.isArray(claims) ? (claims as Claims) : undefined;
  } catch {
    return undefined;
  }
}

function answer(response: ServerResponse, status: number, body: unknown, headers: Record<string, string> = {}): void {
  response.writeHead(status, { "content-type": "application/json", ...headers }).end(JSON.stringify(body));
}
