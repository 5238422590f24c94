/**
 * STS, ACR and an issuer in one lean process on loopback. They answer any caller at once, or after a latency: what is measured is
 * the broker, so a cloud that checked signatures and policies, as the sandbox does, would only be more noise. It counts calls.
 */

import { fork } from "node:child_process";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import type { Minter } from "./tokens.ts";

export interface Calls {
  readonly AssumeRole: number;
  readonly GetAuthorizationToken: number;
  /** Of the issuer: its discovery document and its keys. */
  readonly keys: number;
}

export interface Cloud {
  readonly url: string;
  /** Calls since the last time this was asked. `latencyMs`: of STS and ACR, from now on. */
  next(latencyMs: number): Promise<Calls>;
  close(): Promise<void>;
}

interface Order {
  readonly latencyMs: number;
  readonly jwks?: Minter["jwks"];
}

const FILE = fileURLToPath(import.meta.url);

/** Starts it as a process of its own. Issuers are its URL with any path behind it. */
export async function startCloud({ jwks }: Minter): Promise<Cloud> {
  const child = fork(FILE, { execArgv: ["--import", "tsx"] });
  const answer = async <Message>(order: Order): Promise<Message> => {
    child.send(order);
    const [message] = (await once(child, "message", { signal: AbortSignal.timeout(30_000) })) as [Message];
    return message;
  };
  const { url } = await answer<{ url: string }>({ latencyMs: 0, jwks });
  return {
    url,
    next: (latencyMs) => answer<Calls>({ latencyMs }),
    close: async () => {
      const exited = once(child, "exit");
      child.disconnect();
      await exited;
    },
  };
}

if (process.argv[1] === FILE) serve();

function serve(): void {
  let latencyMs = 0;
  let keys = "";
  let calls = { AssumeRole: 0, GetAuthorizationToken: 0, keys: 0 };
  const server = createServer(async (request, response) => {
    const url = new URL(request.url ?? "/", `http://${request.headers.host}`);
    const api = request.headers["x-acs-action"];
    if (api === "AssumeRole" || api === "GetAuthorizationToken") {
      calls[api]++;
      const asked = new URLSearchParams(`${url.search.slice(1)}&${await textOf(request)}`);
      if (latencyMs > 0) await sleep(latencyMs);
      return answerJson(response, api === "AssumeRole" ? session(asked) : login());
    }
    calls.keys++;
    if (url.pathname === "/jwks") return response.setHeader("content-type", "application/json").end(keys);
    const issuer = `${url.origin}${url.pathname.replace("/.well-known/openid-configuration", "")}`;
    answerJson(response, { issuer, jwks_uri: `${url.origin}/jwks` });
  });
  server.keepAliveTimeout = 0; // connections are the client's to close
  server.listen(0, "127.0.0.1");
  process.on("message", async (order: Order) => {
    if (!server.listening) await once(server, "listening");
    latencyMs = order.latencyMs;
    if (order.jwks === undefined) {
      process.send?.(calls);
      calls = { AssumeRole: 0, GetAuthorizationToken: 0, keys: 0 };
      return;
    }
    keys = JSON.stringify(order.jwks);
    process.send?.({ url: `http://127.0.0.1:${(server.address() as AddressInfo).port}` });
  });
  process.on("disconnect", () => process.exit());
}

function answerJson(response: ServerResponse, body: object): void {
  response.setHeader("content-type", "application/json").end(JSON.stringify(body));
}

async function textOf(request: IncomingMessage): Promise<string> {
  let text = "";
  for await (const chunk of request.setEncoding("utf8")) text += chunk;
  return text;
}

/** In form and length as STS answers. */
function session(asked: URLSearchParams): object {
  const expiresAt = new Date(Date.now() + Number(asked.get("DurationSeconds")) * 1000);
  const name = `${asked.get("RoleArn")}/${asked.get("RoleSessionName")}`;
  return {
    RequestId: requestId(),
    AssumedRoleUser: { AssumedRoleId: "300000000000000001:ci", Arn: name },
    Credentials: {
      SecurityToken: randomBytes(600).toString("base64"),
      Expiration: expiresAt.toISOString().replace(/\.\d+Z$/, "Z"),
      AccessKeySecret: randomBytes(33).toString("base64"),
      AccessKeyId: `STS.${randomBytes(12).toString("hex")}`,
    },
  };
}

/** In form and length as ACR answers. */
function login(): object {
  return {
    RequestId: requestId(),
    IsSuccess: true,
    Code: "success",
    TempUsername: "cr_temp_user",
    AuthorizationToken: `${randomBytes(90).toString("base64")}:${randomBytes(20).toString("hex")}`,
    ExpireTime: Date.now() + 900_000,
  };
}

function requestId(): string {
  return randomBytes(16).toString("hex").toUpperCase();
}
