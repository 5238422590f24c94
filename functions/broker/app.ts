/**
 * The composition root: makes the broker of its parts and gives each what it needs of the outside. Nothing below this file
 * reads the clock, the environment or the network by itself.
 */

import { Hono, type MiddlewareHandler } from "hono";
import { assumeRole } from "../../shared/alibaba/assume-role.ts";
import { authorizationToken } from "../../shared/alibaba/authorization-token.ts";
import type { CallLimits } from "../../shared/alibaba/call.ts";
import {
  accountId,
  type Environment,
  isFunctionCompute,
  type RoleKeys,
  roleKeys,
} from "../../shared/alibaba/role-keys.ts";
import { loadSdk } from "../../shared/alibaba/sdk.ts";
import type { OnUpstream } from "../../shared/alibaba/upstream.ts";
import { refusedEvent } from "../../shared/audit/decision-event.ts";
import type { Log, RequestEvent } from "../../shared/audit/log.ts";
import { brokerMetrics, type Metrics } from "../../shared/audit/metrics.ts";
import { BLOCK_VARIABLE } from "../../shared/config/block-places.ts";
import type { BrokerConfig } from "../../shared/config/config.ts";
import { BrokerError } from "../../shared/error.ts";
import type { Fetch, FetchWith } from "../../shared/identity/bounded-fetch.ts";
import { identity, type WatchIdentity } from "../../shared/identity/identify.ts";
import type { AuthenticatedPrincipal } from "../../shared/identity/principal.ts";
import { replayGuard } from "../../shared/identity/replay.ts";
import { assumeRoleBudget } from "../../shared/issuing/budget/budget.ts";
import { type Cloud, issuer } from "../../shared/issuing/issue.ts";
import { blocks } from "./blocks.ts";
import { type Arriving, clientAddress, type SocketAddress } from "./client-address.ts";
import { decideAndIssue } from "./decide-and-issue.ts";
import { ownHeaders } from "./http/answer.ts";
import type { App, Connection } from "./http/listener.ts";
import { instancesShare } from "./instances-share.ts";
import { limits } from "./limits.ts";
import { oauthError } from "./oauth-error.ts";
import { problem } from "./problem.ts";
import { discoveryRoute } from "./routes/discovery.ts";
import { explainRoute } from "./routes/explain.ts";
import { type Health, healthRoutes, leave } from "./routes/health.ts";
import { lifecycleRoutes } from "./routes/lifecycle.ts";
import { metricsRoute } from "./routes/metrics.ts";
import { referenceRoutes } from "./routes/reference.ts";
import { TOKEN, tokenRoute } from "./routes/token.ts";
import { TOKEN_EXCHANGE, tokenExchangeRoute } from "./routes/token-exchange.ts";
import { whoamiRoute } from "./routes/whoami.ts";
import { shadow } from "./shadow.ts";
import { type Answered, shortWay } from "./short-way.ts";
import { type Tracing, tracing } from "./tracing.ts";

export interface Outside {
  readonly now: () => Date;
  readonly sleep: (ms: number) => Promise<void>;
  readonly random: () => number;
  readonly fetch: Fetch;
  readonly fetchWith: FetchWith;
  readonly environment: Environment;
  readonly socketAddress: SocketAddress;
  /** Reads a file that the policy names while the broker runs: relative to it, and no more of it than a list of blocks may have. */
  readonly readBeside: (name: string) => Promise<Uint8Array>;
  readonly newRequestId: () => string;
  /** Such as nobody can guess. */
  readonly randomBytes: (size: number) => Buffer;
  readonly log: Log;
  /** The policy's file, for the record; left out where there is none. */
  readonly policyFile?: string;
  /** Whether the audit sink took what it was last offered; left out where there is none. */
  readonly isAuditSinkUp?: () => boolean;
  /** Waits until all that was logged has been written; left out where each line has been when `log` returns. */
  readonly written?: () => Promise<void>;
  /** How many of the lines that were logged are lost; none where it is left out. */
  readonly linesDropped?: () => number;
  /** The function's own keys, which live as long as the process, have expired: a fresh instance must take over. */
  readonly onKeysExpired: () => void;
  /** How long a request waits for Redis; 50 ms when left out. Tests on a busy machine wait longer. */
  readonly redisLimitMs?: number;
  /** How long the cloud has for an answer; as in earnest when left out. */
  readonly limits?: CallLimits;
}

export interface BrokerVariables {
  requestId: string;
  /** Where the request came from; undefined where that is not known for certain. */
  clientAddress: string | undefined;
  /** When it arrived, ms since the epoch. */
  begun: number;
  /** The caller, once it has been verified. */
  principal?: AuthenticatedPrincipal;
  /** Its decision's event is written, or will be. */
  isDecided?: true;
}

export interface Broker {
  readonly app: Hono<{ Variables: BrokerVariables }>;
  /** Answers as `app` does, by the short way where there is one. */
  readonly fetch: App;
  readonly health: Health;
  /** Sends what waits to be sent of traces, for a second at most. Never throws. */
  flush(): Promise<void>;
  /** Ends connections that would keep the process alive; after that it can still answer, without what instances share. */
  close(): void;
}

/** `second`: a policy that is only asked beside; see shadow.ts. */
export function broker(config: BrokerConfig, version: string, given: Outside, second?: BrokerConfig): Broker {
  const metrics = metricsOf(config, version, given);
  const traced = config.tracing && tracing(config.tracing, config, version, given);
  const outside =
    metrics === undefined && traced === undefined ? given : { ...given, log: watchedLog(given.log, metrics, traced) };
  const { now, log, environment } = outside;
  const limit = limits(config, now, metrics?.refused);
  const known = identity(config, outside.fetch, outside.fetchWith, now, watchedIdentity(metrics, traced));
  const callers = limit.identity(traced === undefined ? known : traced.identity(known));
  const flush = async () => traced?.flush();
  const health: Health = { draining: false, keysExpired: false, inFlight: 0, onIdle: [] };
  const { replays, credentials, redis, replayMarks, isRedisAvailable } = instancesShare(config, outside, traced?.redis);
  // Now, and not when it is first needed: a request waits for it no longer than for an answer.
  void redis?.warm();
  const keys = (headers: Headers): RoleKeys => roleKeys(environment, headers);
  const shared = redis && config.redis && { redis, keyPrefix: config.redis.keyPrefix };
  const budget = assumeRoleBudget(
    config.budget ?? {},
    shared && { ...shared, accountId: accountId(environment) },
    outside,
  );

  const blocked = blocks({ ...outside, config, redis, fromEnvironment: environment[BLOCK_VARIABLE] });

  const app = new Hono<{ Variables: BrokerVariables }>();
  const paths = new Set<string>();
  const identify = identifier(outside, clientAddress(config, environment, outside.socketAddress));
  const answered = recorder(health, outside);
  app.use(
    identifyRequest(identify),
    ...(traced === undefined ? [] : [traced.middleware]),
    recordRequest(health, now, answered, (path) => paths.has(path)),
    recordRefusal(outside, config.digest),
  );

  const issuing = issuer(config, outside, {
    budget,
    findOrMake: credentials,
    onUpstream: tellOfUpstream(log, metrics),
    cloud: watchedCloud(metrics, traced),
  });
  const written = outside.written ?? (async () => {});
  const issue = decideAndIssue({
    config,
    blocks: blocked,
    limitGrant: limit.grant,
    traceDecision: traced?.decision,
    replay: replayGuard(now, replays),
    issuer: issuing,
    shadow: shadow(config, second, log),
    keys,
    log,
    file: outside.policyFile,
    written,
    now,
  });
  app.post(TOKEN, tokenRoute(callers, issue));
  app.post(TOKEN_EXCHANGE, tokenExchangeRoute(config, callers, issue));
  app.post("/v1/explain", explainRoute({ config, identity: callers, blocks: blocked, log, file: outside.policyFile }));
  app.get("/v1/whoami", whoamiRoute(config, callers, blocked));
  discoveryRoute(app, config);
  referenceRoutes(app);
  const { isAuditSinkUp } = outside;
  healthRoutes(app, { health, keys, blocks: blocked, isAuditSinkUp, version, digest: config.digest });
  if (metrics !== undefined) {
    metrics.watch({
      inFlight: () => health.inFlight,
      replayMarks,
      nonces: callers.nonces,
      budget,
      blocks: blocked,
      linesDropped: outside.linesDropped ?? (() => 0),
      keyAges: callers.keyAges,
      ...(isAuditSinkUp === undefined ? {} : { isAuditSinkUp }),
      ...(traced === undefined ? {} : { spansDropped: traced.dropped }),
      ...(redis === undefined ? {} : { isRedisAvailable }),
    });
    metricsRoute(app, metrics.text);
  }
  lifecycleRoutes(
    app,
    health,
    async () => {
      await Promise.allSettled([callers.warm(), loadSdk(), redis?.warm(), blocked.current(), traced?.ready]);
    },
    flush,
  );
  refuseOtherMethods(app);
  // Middleware is of a path, too: /*.
  for (const { path, method } of app.routes) if (method !== "ALL") paths.add(path);

  app.notFound((c) => problem(new BrokerError("not_found", "there is nothing at this path"), c.get("requestId")));
  app.onError((error, c) => (c.req.path === TOKEN_EXCHANGE ? oauthError : problem)(error, c.get("requestId")));

  const whole: App = (request, connection) => app.fetch(request, connection);
  const short = shortWay(
    TOKEN,
    {
      config,
      identity: callers,
      blocks: blocked,
      limits: limit,
      issuer: issuing,
      health,
      identify,
      answered,
      log,
      file: outside.policyFile,
      written,
      now,
      mark: outside.randomBytes(16).toString("hex"),
    },
    whole,
  );
  // A shadow policy is asked about each request, and a trace has each step of it.
  const isShort = second === undefined && traced === undefined;
  return { app, fetch: isShort ? short : whole, health, flush, close: () => redis?.close() };
}

function tellOfUpstream(log: Log, metrics: Metrics | undefined): OnUpstream {
  return ({ api, host, failure }) => {
    metrics?.upstream(api, host, failure === undefined);
    log({
      event: "warning",
      message:
        failure === undefined
          ? `${api} at ${host} answers again`
          : `${api} at ${host} failed six times in a row (${failure}): it is asked once in 5 s until it answers, and credentials that still live are given out`,
    });
  };
}

function watchedLog(log: Log, metrics: Metrics | undefined, traced: Tracing | undefined): Log {
  const counted = metrics === undefined ? log : metrics.counting(log);
  return traced === undefined ? counted : traced.log(counted);
}

function watchedIdentity(metrics: Metrics | undefined, traced: Tracing | undefined): WatchIdentity | undefined {
  if (metrics === undefined || traced === undefined) return metrics?.watchIdentity ?? traced?.watchIdentity;
  return (issuer, ask) => metrics.watchIdentity(issuer, () => traced.watchIdentity(issuer, ask));
}

function watchedCloud(metrics: Metrics | undefined, traced: Tracing | undefined): Cloud {
  const cloud = { assumeRole, authorizationToken };
  const timed = metrics === undefined ? cloud : metrics.timing(cloud);
  return traced === undefined ? timed : traced.cloud(timed);
}

/** Undefined where the policy wants none: then nothing is counted. */
function metricsOf(
  { metrics, grants, denials, issuers, digest }: BrokerConfig,
  version: string,
  { now }: Outside,
): Metrics | undefined {
  if (metrics?.endpoint === false) return undefined;
  const named = metrics?.names === true && {
    grants: [...grants, ...denials].map(({ name }) => name),
    issuers: [...issuers.keys()],
  };
  return brokerMetrics({ version, policyDigest: digest, now, ...(named === false ? {} : { named }) });
}

/** Each path that exists answers 405 to methods it does not have, with an `Allow` header (RFC 9110 section 15.5.6). */
function refuseOtherMethods(app: Broker["app"]): void {
  const methods = new Map<string, string[]>();
  for (const { path, method } of app.routes) {
    if (method !== "ALL") methods.set(path, [...(methods.get(path) ?? []), method]);
  }
  for (const [path, allowed] of methods) {
    app.all(path, (c) => {
      // Hono answers HEAD wherever there is GET.
      const allow = allowed.map((method) => (method === "GET" ? "GET, HEAD" : method)).join(", ");
      const response = problem(new BrokerError("method_not_allowed", `use ${allow}`), c.get("requestId"));
      response.headers.set("allow", allow);
      return response;
    });
  }
}

/** Function Compute's own id where there is one, else the caller's where it has the form of one, else a new one. And where it comes from. */
function identifier(
  { environment, newRequestId }: Outside,
  addressOf: SocketAddress,
): (request: Arriving) => { requestId: string; address: string | undefined } {
  // Asked once: an environment is no plain object, and each look at it a call out of JavaScript.
  const header = isFunctionCompute(environment) ? "x-fc-request-id" : "x-request-id";
  return (request) => {
    const given = request.req.header(header);
    const requestId = given !== undefined && /^[A-Za-z0-9._-]{8,64}$/.test(given) ? given : newRequestId();
    return { requestId, address: addressOf(request) };
  };
}

function identifyRequest(identify: ReturnType<typeof identifier>): MiddlewareHandler<{ Variables: BrokerVariables }> {
  return async (c, next) => {
    const { requestId, address } = identify(c);
    c.set("clientAddress", address);
    c.set("requestId", requestId);
    await next();
    for (const [name, value] of Object.entries(ownHeaders(requestId))) c.res.headers.set(name, value);
  };
}

/** One log line a request; counts those under way, so that stopping can wait for them. */
function recordRequest(
  health: Health,
  now: () => Date,
  answered: Answered,
  isRoute: (path: string) => boolean,
): MiddlewareHandler<{ Variables: BrokerVariables }> {
  return async (c, next) => {
    const begunAt = (c.env as Connection).begunAt ?? now().getTime();
    c.set("begun", begunAt);
    health.inFlight++;
    try {
      await next();
    } finally {
      leave(health);
    }
    const path = isRoute(c.req.path) ? c.req.path : "(unknown)";
    answered({ requestId: c.get("requestId"), method: c.req.method, path, status: c.res.status, begunAt }, c.error);
  };
}

/** What is recorded of every request, by whichever way it was answered. */
function recorder(health: Health, outside: Outside): Answered {
  const { now, log } = outside;
  return ({ requestId, method, path, status, begunAt }, error) => {
    noticeExpiredKeys(error, health, outside);
    const event: RequestEvent = {
      event: "request",
      request_id: requestId,
      method,
      route: path,
      status,
      duration_ms: now().getTime() - begunAt,
    };
    if (error === undefined) log(event);
    else if (error instanceof BrokerError) log({ ...event, code: error.code });
    else log({ ...event, code: "internal_error", defect: defect(error) });
  };
}

const CREDENTIAL_ROUTES: ReadonlySet<string> = new Set([TOKEN, TOKEN_EXCHANGE, "/v1/explain", "/v1/whoami"]);

/** One audit event for each request that brought a credential, or should have, and ended before it was decided. */
function recordRefusal({ now, log }: Outside, digest: string): MiddlewareHandler<{ Variables: BrokerVariables }> {
  return async (c, next) => {
    await next();
    const { error } = c;
    const route = c.req.path;
    if (error === undefined || c.get("isDecided") || !CREDENTIAL_ROUTES.has(route)) return;
    const durationMs = now().getTime() - c.get("begun");
    const asked = { requestId: c.get("requestId"), clientAddress: c.get("clientAddress"), route };
    log(refusedEvent(asked, error, c.res.status, c.get("principal"), digest, durationMs));
  };
}

/** Where an unexpected error was thrown. Its message may hold anything, so only the frames are kept. */
function defect(error: Error): { name: string; frames: string[] } {
  const frames = (error.stack ?? "").split("\n").filter((line) => /^\s+at /.test(line));
  return { name: error.name, frames: frames.slice(0, 8).map((line) => line.trim()) };
}

/**
 * Keys from the environment stay as they are, so an instance whose keys have expired can only make way. Keys that came
 * with a request are that request's own trouble.
 */
function noticeExpiredKeys(error: Error | undefined, health: Health, { onKeysExpired }: Outside): void {
  const expired = error instanceof BrokerError && error.facts.expiredKeys === "environment";
  if (expired && !health.keysExpired) {
    health.keysExpired = true;
    onKeysExpired();
  }
}
