/**
 * The token realm of a registry: turns a login into a short bearer token for some repositories.
 * Authentication is the cloud's (`cloud.login`), enforcement the registry's; here only the intersection is made.
 * https://distribution.github.io/distribution/spec/auth/token/, .../oauth/ and .../jwt/
 */
import { createPublicKey, generateKeyPairSync, type KeyObject, randomUUID, X509Certificate } from "node:crypto";
import type { IncomingMessage, ServerResponse } from "node:http";
import { jwtVerify, SignJWT } from "jose";
import type { Cloud, HttpHandler, RegistryLogin } from "./cloud.ts";

export interface RealmOptions {
  /** `iss` of the tokens. */
  readonly issuer: string;
  /** `aud` of the tokens: the registry's name of itself. */
  readonly service: string;
  /** RSA private key; a fresh one unless given. */
  readonly key?: KeyObject;
  /** PEM. Goes into the `x5c` header, by which Debian's docker-registry finds the key. */
  readonly certificate?: string;
  /**
   * The clock of the registry that reads the tokens; the real time unless given. Apart from the cloud's, so that a test
   * may move that one and a real registry still finds the tokens valid, or rightly gets none.
   */
  readonly now?: () => Date;
}

export interface Realm {
  readonly service: string;
  /** Answers `/token`. */
  readonly handler: HttpHandler;
  /** What the token grants; undefined when it is expired, forged or meant for another service. */
  verify(token: string): Promise<readonly Access[] | undefined>;
}

/** One element of the token's `access` claim. */
export interface Access {
  readonly type: string;
  readonly name: string;
  readonly actions: readonly string[];
}

// auth/token: `expires_in` is 60 when absent, so every client copes with 60; longer would outlive a moved clock in tests.
const TOKEN_LIFETIME_SECONDS = 60;
const FORM_LIMIT_BYTES = 16 * 1024;
// Leaving a body unread must not close the connection: the refusal still has to reach the client.
const KEEP_OPEN = { destroyOnReturn: false };

/** What a client asked for, by whichever of the two methods. */
interface TokenRequest {
  readonly service: string | null;
  readonly scopes: readonly string[];
  readonly username: string;
  readonly password: string;
}

export function createRealm(options: RealmOptions): Realm {
  const { issuer, service, certificate, now = () => new Date() } = options;
  const { privateKey, publicKey } = keyPair(options.key);
  const x5c = certificate ? [new X509Certificate(certificate).raw.toString("base64")] : undefined;

  return {
    service,
    handler: async (request, response, cloud) => {
      const url = new URL(request.url ?? "/", cloud.url);
      if (url.pathname !== "/token") return false;
      if (request.method === "GET") await grant(response, cloud, readQuery(request, url));
      else if (request.method === "POST") await grant(response, cloud, await readForm(request));
      else refuse(response, 405, "UNSUPPORTED", "the realm answers GET and POST", { allow: "GET, POST" });
      return true;
    },
    verify: async (token) => {
      try {
        const rules = { issuer, audience: service, algorithms: ["RS256"], currentDate: now() };
        const { payload } = await jwtVerify<{ access: Access[] }>(token, publicKey, rules);
        return payload.access;
      } catch {
        return undefined;
      }
    },
  };

  async function grant(response: ServerResponse, cloud: Cloud, asked: TokenRequest | undefined): Promise<void> {
    if (!asked) return refuse(response, 400, "UNSUPPORTED", "only grant_type=password is supported");
    const login = cloud.login(asked.username, asked.password);
    if (!login) {
      const challenge = { "www-authenticate": `Basic realm="${service}"` };
      return refuse(response, 401, "UNAUTHORIZED", "unknown, wrong or expired credentials", challenge);
    }
    if (asked.service !== service) return refuse(response, 400, "UNSUPPORTED", "unknown service");

    const access = allowedAccess(asked.scopes, login);
    const remainingSeconds = Math.floor((login.expiresAt.getTime() - cloud.now().getTime()) / 1000);
    const lifetimeSeconds = Math.min(TOKEN_LIFETIME_SECONDS, remainingSeconds);
    const issuedAt = Math.floor(now().getTime() / 1000);
    const token = await new SignJWT({ access })
      .setProtectedHeader({ typ: "JWT", alg: "RS256", ...(x5c && { x5c }) })
      .setIssuer(issuer)
      .setAudience(service)
      .setSubject(login.arn)
      .setIssuedAt(issuedAt)
      .setNotBefore(issuedAt)
      .setExpirationTime(issuedAt + lifetimeSeconds)
      .setJti(randomUUID())
      .sign(privateKey);
    answer(response, 200, {
      token,
      access_token: token,
      expires_in: lifetimeSeconds,
      issued_at: new Date(issuedAt * 1000).toISOString(),
      scope: access.map(({ name, actions }) => `repository:${name}:${actions.join(",")}`).join(" "),
    });
  }
}

function keyPair(privateKey: KeyObject | undefined): { privateKey: KeyObject; publicKey: KeyObject } {
  if (!privateKey) return generateKeyPairSync("rsa", { modulusLength: 2048 });
  return { privateKey, publicKey: createPublicKey(privateKey) };
}

function readQuery(request: IncomingMessage, url: URL): TokenRequest {
  return {
    service: url.searchParams.get("service"),
    scopes: splitScopes(url.searchParams.getAll("scope")),
    ...basicCredentials(request.headers.authorization),
  };
}

/** The OAuth2 form of the same, which containerd tries first. Undefined for other grants than the password's. */
async function readForm(request: IncomingMessage): Promise<TokenRequest | undefined> {
  let text = "";
  for await (const chunk of request.setEncoding("utf8").iterator(KEEP_OPEN)) {
    text += chunk;
    if (text.length > FORM_LIMIT_BYTES) return undefined;
  }
  const form = new URLSearchParams(text);
  if (form.get("grant_type") !== "password") return undefined;
  return {
    service: form.get("service"),
    scopes: splitScopes(form.getAll("scope")),
    username: form.get("username") ?? "",
    password: form.get("password") ?? "",
  };
}

function splitScopes(values: readonly string[]): string[] {
  return values.flatMap((value) => value.split(" ")).filter((scope) => scope !== "");
}

/** RFC 7617: the user name ends at the first colon, the password may have more. Empty where there are none. */
function basicCredentials(authorization = ""): { username: string; password: string } {
  const [, encoded = ""] = /^Basic ([A-Za-z0-9+/]+=*)$/i.exec(authorization) ?? [];
  const pair = Buffer.from(encoded, "base64").toString("utf8");
  const colon = pair.indexOf(":");
  return colon < 0
    ? { username: "", password: "" }
    : { username: pair.slice(0, colon), password: pair.slice(colon + 1) };
}

/**
 * auth/token, "Requested scopes": what the login lacks is left out, which is no error.
 * Scopes that are malformed or about other things than repositories grant nothing.
 */
function allowedAccess(scopes: readonly string[], login: RegistryLogin): Access[] {
  return scopes.flatMap((scope) => {
    const [, name = "", asked = ""] = /^repository:(.+):([a-z*,]+)$/.exec(scope) ?? [];
    const wanted = new Set(asked.split(","));
    const actions = (["pull", "push"] as const).filter((action) => wanted.has(action) && login.allows(action, name));
    return actions.length > 0 ? [{ type: "repository", name, actions }] : [];
  });
}

function refuse(
  response: ServerResponse,
  status: number,
  code: string,
  message: string,
  headers: Record<string, string> = {},
): void {
  answer(response, status, { errors: [{ code, message }] }, headers);
}

function answer(response: ServerResponse, status: number, body: unknown, headers: Record<string, string> = {}): void {
  response
    .writeHead(status, { "content-type": "application/json", "cache-control": "no-store", ...headers })
    .end(JSON.stringify(body));
}
