/** How a credential is written: the five formats of `POST /v1/token`. */

import type { Registry } from "../../shared/config/config.ts";
import type { Credential } from "../../shared/issuing/credential-cache.ts";
import { formatScope, type Scope } from "../../shared/policy/scope.ts";
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
      return respond("application/json", `${JSON.stringify(dockerConfig(granted), null, 2)}\n`);
    case "env":
      return respond("text/plain; charset=utf-8", environment(granted));
    case "kubernetes-secret":
      return respond("application/json", `${JSON.stringify(kubernetesSecret(granted), null, 2)}\n`);
  }
}

function respond(contentType: string, body: string): Response {
  return new Response(body, { headers: { "content-type": contentType, "cache-control": "no-store" } });
}

/** Format `json`. */
export type TokenResponseBody = ReturnType<typeof jsonBody>;

function jsonBody({ credential, registry, scopes, grants, requestId, now }: Granted) {
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
    expires_in: Math.floor((expiresAt.getTime() - now.getTime()) / 1000),
    // A third of its life before the end: by then the broker gives a new one, since half a life is the least it gives.
    refresh_after: new Date(expiresAt.getTime() - (expiresAt.getTime() - issuedAt.getTime()) / 3).toISOString(),
    token_fingerprint: credential.fingerprint,
    request_id: requestId,
  };
}

/** https://docs.docker.com/reference/cli/docker/login/: `auth` is base64 of `username:password`. */
function dockerConfig({ credential, registry }: Granted) {
  const auth = Buffer.from(`${credential.username}:${credential.password}`).toString("base64");
  return { auths: Object.fromEntries(registry.endpoints.map((endpoint) => [endpoint, { auth }])) };
}

/** For a shell's `eval` or `.`, and for tools that read such files. */
function environment({ credential, registry }: Granted): string {
  const variables = {
    ACR_USERNAME: credential.username,
    ACR_PASSWORD: credential.password,
    ACR_REGISTRY: registry.endpoints[0] as string,
    ACR_EXPIRES_AT: credential.expiresAt.toISOString(),
  };
  return Object.entries(variables)
    .map(([name, value]) => `${name}='${value.replaceAll("'", "'\\''")}'\n`)
    .join("");
}

/** A Secret for `kubectl apply -f -`: https://kubernetes.io/docs/concepts/configuration/secret/#docker-config-secrets */
function kubernetesSecret(granted: Granted) {
  const { credential, registry } = granted;
  return {
    apiVersion: "v1",
    kind: "Secret",
    metadata: {
      name: `acr-${registry.name}`,
      annotations: { "acr-token-broker/expires-at": credential.expiresAt.toISOString() },
    },
    type: "kubernetes.io/dockerconfigjson",
    data: { ".dockerconfigjson": Buffer.from(JSON.stringify(dockerConfig(granted))).toString("base64") },
  };
}
