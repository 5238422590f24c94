/**
 * The stand-in cloud: one HTTP server on loopback that answers as STS and ACR do on path `/`, and hands every other
 * path to the handlers mounted on it (the registry and its token realm). Records each API call, and can be told to fail.
 * It must not import from shared/ or functions/: it exists to disagree with them.
 */
import { randomUUID } from "node:crypto";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { plantCanaries } from "../canaries.ts";
import { ACR_VERSION, createRegistry, type RegistryLogin } from "./acr.ts";
import { ApiError, type Body, errorBody, send } from "./answer.ts";
import { type ApiName, createFaults, createThrottle, type Fault } from "./faults.ts";
import { createGate } from "./gate.ts";
import { type Caller, createKeyring } from "./keyring.ts";
import { trusts } from "./ram.ts";
import { type HttpRequest, readSignedCall, type SignedCall, wantedFormat } from "./signature.ts";
import { assumeRole, getCallerIdentity, STS_VERSION } from "./sts.ts";
import { defaultWorld, findRole, type World } from "./world.ts";

export type { RegistryLogin } from "./acr.ts";
export type { ApiName, Fault } from "./faults.ts";

export interface CloudOptions {
  readonly port?: number;
  readonly host?: string;
  readonly world?: World;
  /** The only source of time; also of the date window, so keep it within 15 minutes of the clients' clocks. */
  readonly now?: () => Date;
  /** AssumeRole calls a second allowed to one account; no limit unless given. The real one is 100. */
  readonly assumeRolePerSecond?: number;
  /** Tried in order for paths other than `/`. */
  readonly handlers?: readonly HttpHandler[];
}

/** Answers the request and returns true, or leaves it alone and returns false. */
export type HttpHandler = (
  request: IncomingMessage,
  response: ServerResponse,
  cloud: Cloud,
) => boolean | Promise<boolean>;

export interface ApiCall {
  readonly api: string;
  readonly accepted: boolean;
  /** Of a refused call; `hang`, `reset` and `body` for scripted ones that have no code. */
  readonly code?: string;
  readonly at: Date;
  readonly requestId: string;
  /** What was asked, without protocol parameters and secrets. */
  readonly params: Readonly<Record<string, string>>;
  readonly callerArn?: string;
  readonly signature?: "ACS3" | "RPC";
}

export interface Cloud {
  /** http://127.0.0.1:PORT, and the host:port of it. */
  readonly url: string;
  readonly host: string;
  readonly world: World;
  readonly calls: readonly ApiCall[];
  now(): Date;
  /** The login behind a user name and password; undefined when the pair is unknown or expired. */
  login(username: string, password: string): RegistryLogin | undefined;
  /** Temporary keys of a role as Function Compute hands them to a function. Throws when the role does not trust it. */
  functionRoleKeys(roleArn: string, lifetimeSeconds?: number): TemporaryKeys;
  /** Long-lived keys of a RAM user, or of an account (`acs:ram::ID:root`). */
  userKeys(arn: string): { readonly accessKeyId: string; readonly accessKeySecret: string };
  /** Makes the next `times` (1) calls of this API fail. Calls of several `failNext` are served in order. What is answered takes back those that are left. */
  failNext(api: ApiName, fault: Fault, times?: number): () => void;
  /** Every key, token and password that exists here, for tests that look for leaks. */
  secrets(): readonly string[];
  close(): Promise<void>;
}

export interface TemporaryKeys {
  readonly accessKeyId: string;
  readonly accessKeySecret: string;
  readonly securityToken: string;
}

// Function Compute: the function role's temporary keys live 36 hours.
const FUNCTION_KEYS_SECONDS = 36 * 3600;

export async function startCloud(options: CloudOptions = {}): Promise<Cloud> {
  const world = options.world ?? defaultWorld();
  const now = options.now ?? (() => new Date());
  const keyring = createKeyring(world);
  const registry = createRegistry(world, now);
  const gate = createGate(keyring);
  const calls: ApiCall[] = [];
  const faults = createFaults();
  const throttle = createThrottle(options.assumeRolePerSecond);

  const server = createServer((request, response) => {
    serve(request, response).catch(() => response.destroy());
  });
  server.keepAliveTimeout = 0; // as a load balancer would: connections are the client's to close
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(options.port ?? 0, options.host ?? "127.0.0.1", resolve);
  });
  const host = `${options.host ?? "127.0.0.1"}:${(server.address() as AddressInfo).port}`;

  const cloud: Cloud = {
    url: `http://${host}`,
    host,
    world,
    calls,
    now,
    login: registry.login,
    functionRoleKeys(roleArn, lifetimeSeconds = FUNCTION_KEYS_SECONDS) {
      const role = findRole(world, roleArn);
      if (role === undefined || !trusts(role.trust, { service: "fc.aliyuncs.com" }, {})) {
        throw new Error(`${roleArn} does not exist or does not trust fc.aliyuncs.com`);
      }
      const expiresAt = new Date(now().getTime() + lifetimeSeconds * 1000);
      const key = keyring.openSession({ role, name: "fc-function", expiresAt });
      return { accessKeyId: key.id, accessKeySecret: key.secret, securityToken: key.securityToken };
    },
    userKeys(arn) {
      const user = world.users.find((one) => one.arn === arn);
      const key = user?.key ?? world.accounts.find((one) => arn === `acs:ram::${one.id}:root`)?.key;
      if (key === undefined) throw new Error(`${arn} does not exist`);
      return { accessKeyId: key.id, accessKeySecret: key.secret };
    },
    failNext: (api, fault, times = 1) => faults.add(api, fault, times),
    secrets: () => [...keyring.secrets(), ...registry.passwords()],
    close: () =>
      new Promise((resolve, reject) => {
        plantCanaries(cloud.secrets());
        server.close((error) => (error ? reject(error) : resolve()));
        server.closeAllConnections(); // hanging calls and idle keep-alive connections would hold it open
      }),
  };
  return cloud;

  async function serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const [path = "/", rawQuery = ""] = splitUrl(request.url ?? "/");
    if (path !== "/") {
      for (const handler of options.handlers ?? []) if (await handler(request, response, cloud)) return;
      response.writeHead(404).end();
      return;
    }
    const http: HttpRequest = {
      method: request.method ?? "GET",
      path,
      rawQuery,
      headers: request.headersDistinct as Record<string, string[]>,
      body: await readBody(request),
    };
    const call: { -readonly [K in keyof ApiCall]: ApiCall[K] } = {
      api: http.headers["x-acs-action"]?.[0] ?? "unknown",
      accepted: false,
      at: now(),
      requestId: randomUUID().toUpperCase(),
      params: {},
    };
    calls.push(call);
    const reply = { format: wantedFormat(http), requestId: call.requestId };
    try {
      const signed = readSignedCall(http);
      call.api = signed.action;
      call.signature = signed.scheme;
      call.params = publicParams(signed);
      const ended = await faults.strike(call.api, request, response);
      if (ended !== undefined) {
        call.code = ended;
        return;
      }
      const body = answer(signed, (caller) => {
        call.callerArn = caller.arn;
      });
      call.accepted = body["IsSuccess"] !== false;
      if (!call.accepted) call.code = String(body["Code"]);
      send(response, {
        ...reply,
        status: 200,
        root: `${signed.action}Response`,
        body: { RequestId: call.requestId, ...body },
      });
    } catch (thrown) {
      // A mistake in the sandbox itself looks like the vendor's own: 500, with a stack for whoever runs it.
      const error =
        thrown instanceof ApiError ? thrown : new ApiError(500, "InternalError", String((thrown as Error).stack));
      call.code = error.code;
      const body = errorBody(error, call.requestId, request.headers.host ?? host);
      send(response, { ...reply, status: error.status, root: "Error", body });
    }
  }

  function answer(signed: SignedCall, authenticated: (caller: Caller) => void): Body {
    const api = `${signed.version} ${signed.action}`;
    const known = [
      `${STS_VERSION} AssumeRole`,
      `${STS_VERSION} GetCallerIdentity`,
      `${ACR_VERSION} GetAuthorizationToken`,
    ];
    if (!known.some((one) => one.startsWith(`${signed.version} `))) {
      throw new ApiError(400, "InvalidVersion", "Specified parameter Version is not valid.");
    }
    if (!known.includes(api)) {
      throw new ApiError(
        404,
        "InvalidAction.NotFound",
        "Specified api is not found, please check your url and method.",
      );
    }
    const at = now();
    const caller = gate(signed, at);
    authenticated(caller);
    const { params } = signed;
    if (signed.action === "GetCallerIdentity") return getCallerIdentity({ caller });
    if (signed.action === "GetAuthorizationToken") return registry.getAuthorizationToken(caller, params);
    throttle(caller.accountId, at);
    return assumeRole({ world, keyring, now: at, caller, params });
  }
}

/** Of the signature and the envelope; SecurityToken and Signature are secrets, the others say nothing of the call. */
const PROTOCOL_PARAMETERS = new Set([
  ...["Action", "Version", "Format", "Timestamp", "AccessKeyId", "SecurityToken"],
  ...["Signature", "SignatureMethod", "SignatureVersion", "SignatureNonce", "SignatureType"],
]);

function publicParams(signed: SignedCall): Record<string, string> {
  return Object.fromEntries([...signed.params].filter(([name]) => !PROTOCOL_PARAMETERS.has(name)));
}

function splitUrl(url: string): readonly string[] {
  const mark = url.indexOf("?");
  return mark < 0 ? [url] : [url.slice(0, mark), url.slice(mark + 1)];
}

async function readBody(request: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks);
}
