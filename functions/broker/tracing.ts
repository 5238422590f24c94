/**
 * What of the broker is traced: each request, and within it who vouches for the caller, the decision, the two calls of the cloud with
 * their wait for a turn, and Redis. Made only where the policy has `tracing`; then each part is given a wrapped one, and without it its
 * own. No attribute has anything of a caller. The SDK is loaded beside the start: what comes before it is there is not traced.
 */

import type { Attributes } from "@opentelemetry/api";
import type { MiddlewareHandler } from "hono";
import type { Environment } from "../../shared/alibaba/role-keys.ts";
import type { DecisionEvent, Log, LogEvent, Outcome, RequestEvent } from "../../shared/audit/log.ts";
import type { failed as Failed, Traces } from "../../shared/audit/otel.ts";
import type { BrokerConfig, TracingSettings } from "../../shared/config/config.ts";
import { BrokerError } from "../../shared/error.ts";
import type { Identity, WatchIdentity } from "../../shared/identity/identify.ts";
import type { Cloud } from "../../shared/issuing/issue.ts";
import type { SharedRedis } from "../../shared/store/redis.ts";
import type { BrokerVariables, Outside } from "./app.ts";

/** Asked every few seconds by whoever watches: no traces of those. */
const NOT_TRACED = new Set(["/healthz", "/readyz", "/metrics"]);
/** https://opentelemetry.io/docs/specs/semconv/http/http-spans/: any other is `_OTHER`. */
const METHODS = new Set(["CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "TRACE"]);
/** A collector that is away is told of that often. */
const TOLD_PAUSE_MS = 60_000;

export interface Tracing {
  /** When the SDK has been loaded, or could not be. */
  readonly ready: Promise<void>;
  readonly middleware: MiddlewareHandler<{ Variables: BrokerVariables }>;
  /** The same log, with the trace's id in each line of a request. */
  log(log: Log): Log;
  identity(identity: Identity): Identity;
  readonly watchIdentity: WatchIdentity;
  readonly decision: <T>(decide: () => T) => T;
  cloud(cloud: Cloud): Cloud;
  redis(redis: SharedRedis): SharedRedis;
  /** How many spans were dropped. */
  dropped(): number;
  /** Sends what waits, for a second at most. Never throws. */
  flush(): Promise<void>;
}

export function tracing(
  settings: TracingSettings,
  { digest }: BrokerConfig,
  version: string,
  outside: Outside,
): Tracing {
  let traces: Traces | undefined;
  let failed: typeof Failed = () => {};
  let droppedCount = 0;
  let toldAt = Number.NEGATIVE_INFINITY;

  function onDropped(count: number): void {
    droppedCount += count;
    if (Math.abs(outside.now().getTime() - toldAt) < TOLD_PAUSE_MS) return;
    toldAt = outside.now().getTime();
    outside.log({
      event: "warning",
      message: `spans were not taken at tracing.endpoint, or there were too many (${droppedCount} dropped since the start); requests do not wait for it`,
    });
  }

  async function load(): Promise<void> {
    try {
      const otel = await import("../../shared/audit/otel.ts");
      failed = otel.failed;
      const resource = {
        "service.name": "acr-token-broker",
        "service.version": version,
        "acr_broker.policy_digest": digest,
      };
      const { endpoint, ratio, parentRatio } = settings;
      const headers = headersOf(settings, outside.environment);
      const parts = { endpoint, headers, ratio, parentRatio, resource, random: outside.random, onDropped };
      traces = otel.openTelemetry(parts, typeOf);
    } catch (error) {
      const why = error instanceof Error ? error.name : "unknown";
      outside.log({ event: "warning", message: `nothing is traced: what tracing needs could not be loaded (${why})` });
    }
  }
  const ready = load();

  function span<T>(name: string, out: boolean, attributes: Attributes, work: () => Promise<T>): Promise<T> {
    return traces === undefined ? work() : traces.span(name, out, attributes, work);
  }

  function asked<T>(api: string, host: string, call: () => Promise<T & { readonly requestId: string }>) {
    return span(api, true, { "server.address": host }, async () => {
      const answer = await call();
      traces?.current()?.setAttribute("acr_broker.upstream_request_id", answer.requestId);
      return answer;
    });
  }

  function tellOfRequest({ request_id, method, route, status, code }: RequestEvent): void {
    const current = traces?.current();
    if (current === undefined) return;
    const known = METHODS.has(method) ? method : "_OTHER";
    // Of what is no route the event has no path.
    const isRoute = route.startsWith("/");
    current.updateName(isRoute ? `${known} ${route}` : known);
    current.setAttributes({
      "http.request.method": known,
      "http.response.status_code": status,
      "acr_broker.request_id": request_id,
      ...(isRoute ? { "http.route": route } : {}),
      ...(code === undefined ? {} : { "acr_broker.code": code }),
    });
    // A refusal is no failure of the server's.
    if (status >= 500) failed(current, code ?? String(status));
  }

  function tellOfDecision({ outcome, reason, registry, grants }: DecisionEvent, end: Outcome | undefined): void {
    // What comes of it later is not what this request was answered with.
    if (end?.cache === "renewal") return;
    traces?.current()?.setAttributes({
      "acr_broker.outcome": outcome,
      "acr_broker.registry": registry,
      "acr_broker.grants": grants.map(({ name }) => name),
      ...(reason === undefined ? {} : { "acr_broker.reason": reason }),
      ...(end?.cache === undefined ? {} : { "acr_broker.cache": end.cache }),
    });
  }

  return {
    ready,
    async middleware(c, next) {
      if (traces === undefined || NOT_TRACED.has(c.req.path)) return next();
      return traces.request("request", c.req.header("traceparent"), next);
    },
    log: (log) => (event: LogEvent, end?: Outcome) => {
      const context = traces?.current()?.spanContext();
      if (context === undefined || !("request_id" in event)) return log(event, end);
      if (event.event === "request") tellOfRequest(event);
      if (event.event === "decision") tellOfDecision(event, end);
      log({ ...event, trace_id: context.traceId }, end);
    },
    identity: (identity) => ({
      ...identity,
      identify: (...given) => span("identify", false, {}, () => identity.identify(...given)),
      identifyToken: (...given) => span("identify", false, {}, () => identity.identifyToken(...given)),
    }),
    watchIdentity: (issuer, ask) =>
      issuer === undefined
        ? span("GetCallerIdentity", true, {}, ask)
        : span("fetch keys", true, { "acr_broker.issuer": issuer }, ask),
    decision: (decide) => (traces === undefined ? decide() : traces.spanNow("decide", decide)),
    cloud: ({ assumeRole, authorizationToken }) => ({
      assumeRole(request, context) {
        const { allowance } = request;
        const turn = (deadline: Date) => span("wait for a turn", false, {}, () => allowance.turn(deadline));
        const throttled = () => allowance.throttled();
        return asked("AssumeRole", request.endpoint.host, () =>
          assumeRole({ ...request, allowance: { turn, throttled } }, context),
        );
      },
      authorizationToken: (request, context) =>
        asked("GetAuthorizationToken", request.endpoint.host, () => authorizationToken(request, context)),
    }),
    redis: (redis) => ({
      ...redis,
      run: (...question) =>
        span("EVAL", true, { "db.system.name": "redis" }, async () => {
          const answer = await redis.run(...question);
          const current = traces?.current();
          if (answer === "unavailable" && current !== undefined) failed(current, answer);
          return answer;
        }),
    }),
    dropped: () => droppedCount,
    flush: async () => traces?.flush(),
  };
}

/** The cloud's code where it was the cloud, else ours. */
function typeOf(error: unknown): string {
  return error instanceof BrokerError ? (error.facts.upstream?.code ?? error.code) : "internal_error";
}

function headersOf({ headerVariables }: TracingSettings, environment: Environment): Record<string, string> {
  return Object.fromEntries(
    Object.entries(headerVariables).map(([name, variable]) => [name, environment[variable] ?? ""]),
  );
}

/** What to say where the environment lacks a header that the configuration promises, or has none that will do. Never the variable's name or value. */
export function headerProblem({ tracing }: BrokerConfig, environment: Environment): string | undefined {
  if (tracing === undefined) return undefined;
  const wrong = Object.entries(headersOf(tracing, environment)).find(
    ([, value]) => !/^[\x21-\x7e](?:[\x20-\x7e]*[\x21-\x7e])?$/.test(value),
  );
  return (
    wrong &&
    `the environment variable that tracing.headers_env.${wrong[0]} names is not set, or holds what is no header's value; set it to the value that the collector wants, or take its name out`
  );
}
