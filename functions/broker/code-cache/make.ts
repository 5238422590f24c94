/**
 * Makes the caches of load.ts, for the build: under each Node the broker is started from a policy of its own, between a small
 * cloud and issuer that say yes to everything, and what V8 has compiled after its first answers is kept.
 */

import { spawn } from "node:child_process";
import { generateKeyPairSync, sign } from "node:crypto";
import { once } from "node:events";
import { cpSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { compile, type Source } from "../../../shared/config/compiled.ts";
import { loadConfig } from "../../../shared/config/load.ts";

const AUDIENCE = "https://acr-broker.example.com";

/**
 * Writes the caches of the code in `folder` below it. `warmUp` is warm-up.ts, built; `loader` the one that the code knows as its own.
 * @throws Error where the broker does not start or answer under one of `nodes`
 */
export async function makeCaches(
  { folder, warmUp, loader, now }: { folder: string; warmUp: string; loader: string; now: Date },
  nodes: readonly string[],
): Promise<void> {
  const { server, url, token } = await startOutside(now);
  const scratch = mkdtempSync(join(tmpdir(), "code-cache-"));
  try {
    // A folder of its own, since the broker takes a compiled policy from beside its code only.
    cpSync(folder, scratch, { recursive: true });
    const file = join(scratch, "broker.yaml");
    writeFileSync(file, policy(url));
    const sources: Source[] = [];
    const config = loadConfig(file, (source) => sources.push(source));
    writeFileSync(join(scratch, "broker.compiled.json"), compile(config, sources, loader));
    for (const node of nodes)
      await run(node, [warmUp, scratch, folder, token(), token(), token()], { BROKER_CONFIG: file });
  } finally {
    server.close();
    server.closeAllConnections();
    rmSync(scratch, { recursive: true });
  }
}

function policy(url: string): string {
  return `version: 1
audience: ${AUDIENCE}
registries:
  prod: { instance_id: cri-abc123, region: cn-hangzhou, account_id: "1234567890123456", endpoints: [acme-registry.cn-hangzhou.cr.aliyuncs.com] }
issuers:
  ci: { provider: github, issuer: "${url}" }
grants:
  web:
    issuer: ci
    when: { repository_id: "123456", ref: { any_of: [refs/heads/main, refs/heads/release] }, environment: { glob: "prod-*" } }
    registry: prod
    allow: ["repository:web/*:pull,push", "repository:base/*:pull"]
    role_arn: acs:ram::1234567890123456:role/acr-web
    max_ttl: 1800
alibaba: { sts_endpoint: "${url}", cr_endpoint: "${url}" }
`;
}

/** STS, ACR and an issuer with its keys, on loopback; and what makes a token of that issuer's. */
async function startOutside(now: Date): Promise<{ server: Server; url: string; token: () => string }> {
  const { publicKey, privateKey } = generateKeyPairSync("rsa", { modulusLength: 2048 });
  const expiresAt = new Date(now.getTime() + 600_000);
  const server = createServer((request, response) => {
    request.resume();
    response.setHeader("content-type", "application/json");
    response.end(JSON.stringify(answer(request.url ?? "", String(request.headers["x-acs-action"]))));
  });
  const answer = (path: string, action: string): unknown => {
    if (path === "/.well-known/openid-configuration") return { issuer: url, jwks_uri: `${url}/jwks` };
    if (path === "/jwks")
      return { keys: [{ ...publicKey.export({ format: "jwk" }), kid: "1", use: "sig", alg: "RS256" }] };
    return action === "AssumeRole"
      ? {
          RequestId: "1",
          Credentials: {
            AccessKeyId: "STS.x",
            AccessKeySecret: "x",
            SecurityToken: "x",
            Expiration: expiresAt.toISOString(),
          },
        }
      : {
          RequestId: "2",
          IsSuccess: true,
          Code: "success",
          AuthorizationToken: "x",
          TempUsername: "cr_temp_user",
          ExpireTime: expiresAt.getTime(),
        };
  };
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;

  const issuedAt = Math.floor(now.getTime() / 1000);
  const claims = {
    iss: url,
    aud: AUDIENCE,
    sub: "repo:acme/web:environment:prod-1",
    repository_id: "123456",
    ref: "refs/heads/main",
    environment: "prod-1",
    iat: issuedAt,
    nbf: issuedAt,
    exp: issuedAt + 300,
  };
  let serial = 0;
  const part = (value: unknown) => Buffer.from(JSON.stringify(value)).toString("base64url");
  const token = (): string => {
    const signed = `${part({ alg: "RS256", kid: "1", typ: "JWT" })}.${part({ ...claims, jti: String(++serial) })}`;
    return `${signed}.${sign("sha256", Buffer.from(signed), privateKey).toString("base64url")}`;
  };
  return { server, url, token };
}

async function run(
  node: string,
  args: readonly string[],
  environment: Readonly<Record<string, string>>,
): Promise<void> {
  const child = spawn(node, args, {
    stdio: ["ignore", "ignore", "inherit"],
    env: {
      ...environment,
      // The vendor's, of which the operator reads enough.
      NODE_NO_WARNINGS: "1",
      BROKER_HOST: "127.0.0.1",
      FC_SERVER_PORT: "0",
      ALIBABA_CLOUD_ACCESS_KEY_ID: "x",
      ALIBABA_CLOUD_ACCESS_KEY_SECRET: "x",
      ALIBABA_CLOUD_SECURITY_TOKEN: "x",
    },
  });
  const [status] = await once(child, "exit");
  if (status !== 0) throw new Error(`${node} ended with ${status}`);
}
