/** How a credential is written: the five formats of `POST /v1/token`. */

import type { Registry } from "../../shared/config/config.ts";
import { dockerConfig, environmentFile, kubernetesSecret, type Login } from "../../shared/credential-formats.ts";
import type { Credential } from "../../shared/issuing/credential-cache.ts";
import { formatScope, type Scope } from "../../shared/policy/scope.ts";
import { answer } from "./http/answer.ts";
import type { Format } from "./token-request.ts";

export interface Granted {
  readonly credential: Credential;
  readonly registry: Registry;
  readonly scopes: readonly Scope[];
  readonly grants: readonly string[];
  readonly requestId: string;
  readonly now: Date;
}

export function tokenResponse(format: Format, granted: Granted): Response {
  const { credential } = granted;
  switch (format) {
    case "json":
      return respond("application/json", `${JSON.stringify(jsonBody(granted))}\n`);
    case "password":
      return respond("text/plain; charset=utf-8", credential.password);
    case "docker-config":
      return respond("application/json", `${JSON.stringify(dockerConfig(loginOf(granted)), null, 2)}\n`);
    case "env":
      return respond("text/plain; charset=utf-8", environmentFile(loginOf(granted)));
    case "kubernetes-secret":
      return respond("application/json", `${JSON.stringify(kubernetesSecret(loginOf(granted)), null, 2)}\n`);
  }
}

function respond(contentType: string, body: string): Response {
  return answer(body, 200, { "content-type": contentType, "cache-control": "no-store" });
}

/** Format `json`. */
export type TokenResponseBody = ReturnType<typeof jsonBody>;

function jsonBody(granted: Granted) {
  const { credential, registry, scopes, grants, requestId } = granted;
  const { issuedAt, expiresAt } = credential;
  return {
    username: credential.username,
    password: credential.password,
    registry: registry.name,
    endpoints: registry.endpoints,
    scope: scopes.map(formatScope),
    grants,
    issued_at: issuedAt.toISOString(),
    expires_at: expiresAt.toISOString(),
    expires_in: secondsLeft(granted),
    // A third of its life before the end: by then the broker gives a new one, since half a life is the least it gives.
    refresh_after: new Date(expiresAt.getTime() - (expiresAt.getTime() - issuedAt.getTime()) / 3).toISOString(),
    token_fingerprint: credential.fingerprint,
    request_id: requestId,
  };
}

export function secondsLeft({ credential, now }: Pick<Granted, "credential" | "now">): number {
  return Math.floor((credential.expiresAt.getTime() - now.getTime()) / 1000);
}

function loginOf({ credential, registry }: Granted): Login {
  const { username, password, expiresAt } = credential;
  return { username, password, registry: registry.name, endpoints: registry.endpoints, expiresAt };
}
