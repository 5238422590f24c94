/**
 * A broker over real HTTP between the stand-in cloud and a real OpenID provider, all in this process, with its clock and its
 * log in the test's hands. When it is closed, everything it logged and every error it answered has been searched for secrets.
 */

import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { createServer, request as httpRequest } from "node:http";
import { request as httpsRequest } from "node:https";
import type { AddressInfo } from "node:net";
import { type Broker, broker, type Outside } from "../../functions/broker/app.ts";
import { nodeFetch } from "../../functions/broker/http/fetch.ts";
import { type App, listener, socketAddress } from "../../functions/broker/http/listener.ts";
import { jsonLog } from "../../shared/audit/log.ts";
import { parseConfig } from "../../shared/config/load.ts";
import { type Cloud, type CloudOptions, startCloud } from "../sandbox/cloud.ts";
import { type Issuer, startIssuer } from "../sandbox/issuer.ts";

export const AUDIENCE = "https://acr-broker.example.com";
const FUNCTION_ROLE = "acs:ram::1234567890123456:role/acr-token-broker";

/** The policy of most tests; `ci` is the provider, `quiet` an issuer that nothing answers for. */
export function policy(cloudUrl: string, issuerUrl: string): string {
  return `
version: 1
audience: ${AUDIENCE}
registries:
  prod: { instance_id: cri-abc123, region: cn-hangzhou, account_id: "1234567890123456", endpoints: [acme-registry.cn-hangzhou.cr.aliyuncs.com, acme-registry-vpc.cn-hangzhou.cr.aliyuncs.com] }
  lost: { instance_id: cri-lost, region: cn-hangzhou, account_id: "1234567890123456", endpoints: [lost.example.com] }
issuers:
  ci: { provider: generic, issuer: "${issuerUrl}" }
  quiet: { provider: generic, issuer: "http://127.0.0.1:2" }
grants:
  web-main:
    issuer: ci
    when: { sub: job, ref: refs/heads/main }
    registry: prod
    allow: ["repository:web/*:pull,push", "repository:base/*:pull"]
    role_arn: acs:ram::1234567890123456:role/acr-web
    max_ttl: 1800
    create_repository: true
  base-pull: { issuer: ci, when: { sub: job }, registry: prod, allow: ["repository:base/*:pull"], role_arn: "acs:ram::1234567890123456:role/acr-base", max_ttl: 900 }
  untrusting: { issuer: ci, when: { sub: untrusting }, registry: prod, allow: ["repository:web/*:pull"], role_arn: "acs:ram::1234567890123456:role/acr-untrusting", max_ttl: 900 }
  limited: { issuer: ci, when: { sub: limited }, registry: prod, allow: ["repository:base/*:pull"], role_arn: "acs:ram::1234567890123456:role/acr-limited", max_ttl: 900 }
  sharing: { issuer: ci, when: { sub: sharer }, registry: prod, allow: ["repository:web/sharing:pull"], role_arn: "acs:ram::1234567890123456:role/acr-web", max_ttl: 1800 }
  lost: { issuer: ci, when: { sub: job }, registry: lost, allow: ["repository:web/*:pull"], role_arn: "acs:ram::1234567890123456:role/acr-web", max_ttl: 900 }
alibaba: { sts_endpoint: "${cloudUrl}", cr_endpoint: "${cloudUrl}" }
budget: { instances: 1 }
`;
}

export interface Harness {
  readonly url: string;
  readonly cloud: Cloud;
  readonly issuer: Issuer;
  readonly broker: Broker;
  /** Every line logged so far, parsed. */
  logged(): Record<string, unknown>[];
  /** Every line logged, and every error answered, as it was sent. */
  readonly output: string[];
  /** Set to move the broker's clock, and the issuer's; the cloud keeps real time, as the vendor's SDK does. */
  clock: { aheadMs: number };
  readonly keysExpired: { count: number };
  /** With the function role's keys for this cloud. */
  readonly environment: Readonly<Record<string, string>>;
  mint(claims?: Record<string, unknown>, header?: Record<string, unknown>): Promise<string>;
  /** One request; an answer of 400 or more is kept for the search. */
  request(path: string, init?: RequestInit): Promise<Response>;
  /** `POST /v1/token` with JSON. */
  ask(fields: unknown, token?: string, headers?: Record<string, string>): Promise<Response>;
  close(): Promise<void>;
}

/** What `POST /v1/token` answers, well or ill. */
export interface Answer {
  readonly password: string;
  readonly username: string;
  readonly expires_in: number;
  readonly expires_at: string;
  readonly refresh_after: string;
  readonly token_fingerprint: string;
  readonly status: number;
  readonly code: string;
  readonly detail: string;
}

export async function read(response: Response): Promise<Answer> {
  return (await response.json()) as Answer;
}

export interface HarnessOptions {
  /** Another one, to be closed after this: its cloud and its issuer serve both. */
  readonly beside?: Harness;
  /** Another world than the default, and what is mounted beside its API. */
  readonly cloud?: CloudOptions;
  readonly policy?: (cloudUrl: string, issuerUrl: string) => string;
  /** A second policy, which is only asked beside. */
  readonly shadow?: (cloudUrl: string, issuerUrl: string) => string;
  readonly environment?: (keys: Record<string, string>) => Record<string, string>;
  /** A file beside the policy that holds the issuer's key set, as it publishes it. */
  readonly keysFile?: string;
  /** Where requests seem to come from; this machine when left out. */
  readonly socketAddress?: () => string | undefined;
  /** What stands beside the policy, by name. */
  readonly files?: Readonly<Record<string, string>>;
  /** Beside those of the cloud and the issuer; looked for in logs and errors too. */
  readonly secrets?: readonly string[];
  /** How it pauses; not at all when left out. */
  readonly sleep?: (ms: number) => Promise<void>;
  /** Without the short way of what was asked before. */
  readonly wholeWayOnly?: boolean;
  /** What a credential waits for before it leaves. */
  readonly written?: () => Promise<void>;
  readonly isAuditSinkUp?: () => boolean;
  /** How long a request waits for Redis; as long as in earnest when left out. */
  readonly redisLimitMs?: number;
  /** How long the cloud has for an answer; as in earnest when left out. */
  readonly limits?: Outside["limits"];
}

async function publishedKeys({ url }: Issuer): Promise<string> {
  const discovery = (await (await fetch(`${url}/.well-known/openid-configuration`)).json()) as { jwks_uri: string };
  return (await fetch(discovery.jwks_uri)).text();
}

export async function startHarness(options: HarnessOptions = {}): Promise<Harness> {
  const { beside } = options;
  const cloud = beside?.cloud ?? (await startCloud(options.cloud));
  const clock = { aheadMs: 0 };
  const now = () => new Date(Date.now() + clock.aheadMs);
  const issuer = beside?.issuer ?? (await startIssuer({ audience: AUDIENCE, now }));
  const files = {
    ...options.files,
    ...(options.keysFile === undefined ? {} : { [options.keysFile]: await publishedKeys(issuer) }),
  };
  const load = (text: string) =>
    parseConfig(text, {
      file: "broker.yaml",
      readFile: (path) => {
        const content = files[path];
        if (content === undefined) throw new Error(`no file ${path}`);
        return content;
      },
    });
  const config = load((options.policy ?? policy)(cloud.url, issuer.url));
  const shadow = options.shadow && load(options.shadow(cloud.url, issuer.url));
  const role = cloud.functionRoleKeys(FUNCTION_ROLE);
  const keys = {
    ALIBABA_CLOUD_ACCESS_KEY_ID: role.accessKeyId,
    ALIBABA_CLOUD_ACCESS_KEY_SECRET: role.accessKeySecret,
    ALIBABA_CLOUD_SECURITY_TOKEN: role.securityToken,
  };
  const output: string[] = [];
  const lines: string[] = [];
  const tokens: string[] = [];
  const keysExpired = { count: 0 };
  let ids = 0;
  const outside: Outside = {
    now,
    sleep: options.sleep ?? (async () => {}),
    random: () => 0.5,
    ...nodeFetch(async (protocol) => (protocol === "https:" ? httpsRequest : httpRequest)),
    environment: options.environment?.(keys) ?? keys,
    socketAddress: options.socketAddress ?? socketAddress,
    readBeside: async (name) => {
      const content = options.files?.[name];
      if (content === undefined) throw Object.assign(new Error("no such file"), { code: "ENOENT" });
      return Buffer.from(content);
    },
    newRequestId: () => `request-${++ids}`,
    randomBytes,
    log: jsonLog((line) => {
      lines.push(line);
      output.push(line);
    }, now),
    onKeysExpired: () => keysExpired.count++,
    ...(options.written === undefined ? {} : { written: options.written }),
    ...(options.isAuditSinkUp === undefined ? {} : { isAuditSinkUp: options.isAuditSinkUp }),
    ...(options.redisLimitMs === undefined ? {} : { redisLimitMs: options.redisLimitMs }),
    ...(options.limits === undefined ? {} : { limits: options.limits }),
  };
  const made = broker(config, "0.0.0-test", outside, shadow);
  const answer: App = options.wholeWayOnly ? (...asked) => made.app.fetch(...asked) : made.fetch;
  const server = createServer({ maxHeaderSize: 32 * 1024 }, listener(answer, outside.newRequestId));
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;

  async function request(path: string, init?: RequestInit): Promise<Response> {
    const response = await fetch(url + path, init);
    if (response.status >= 400) output.push(await response.clone().text(), ...response.headers.values());
    return response;
  }
  async function mint(claims: Record<string, unknown> = {}, header?: Record<string, unknown>): Promise<string> {
    const token = await issuer.mint({ sub: "job", ref: "refs/heads/main", ...claims }, header);
    tokens.push(token);
    return token;
  }

  return {
    url,
    cloud,
    issuer,
    broker: made,
    logged: () => lines.map((line) => JSON.parse(line) as Record<string, unknown>),
    output,
    clock,
    keysExpired,
    environment: keys,
    mint,
    request,
    ask: async (fields, token, headers = {}) =>
      request("/v1/token", {
        method: "POST",
        headers: { authorization: `Bearer ${token ?? (await mint())}`, "content-type": "application/json", ...headers },
        body: JSON.stringify(fields),
      }),
    close: async () => {
      server.closeAllConnections();
      made.close();
      await new Promise((resolve) => server.close(resolve));
      const secrets = [
        ...(options.secrets ?? []),
        ...cloud.secrets(),
        ...tokens.map((token) => token.split(".")[2] as string),
      ];
      if (beside === undefined) await Promise.all([cloud.close(), issuer.close()]);
      const leaked = secrets.filter((secret) => output.some((text) => text.includes(secret)));
      if (leaked.length > 0) throw new Error(`${leaked.length} secrets were found in logs or errors`);
    },
  };
}
