/**
 * What the broker counts of itself. Requests, decisions and credentials are counted where they are logged, so the numbers are
 * those that the log's lines add up to; docs/monitoring.md has the queries. No label has anything of a caller, and names of grants and issuers are
 * labels only where the operator wants that: docs/decisions/0008-metrics.md
 */

import { BrokerError, ERROR_STATUS, type UpstreamFailure } from "../error.ts";
import type { WatchIdentity } from "../identity/identify.ts";
import type { WatchedBudget } from "../issuing/budget/budget.ts";
import type { Cloud } from "../issuing/issue.ts";
import type { DecisionEvent, Log, LogEvent, Outcome, RequestEvent } from "./log.ts";
import { metricsRegistry, OTHER, type Sample } from "./metrics-registry.ts";

/** In seconds. Most requests are answered from memory; the two calls of the cloud have 8 s. */
const REQUEST_BOUNDS = [0.001, 0.005, 0.025, 0.1, 0.25, 0.5, 1, 2.5, 5, 10];
const UPSTREAM_BOUNDS = [0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10];
const WAIT_BOUNDS = [0.01, 0.1, 0.5, 1, 2.5, 5];

/** The cloud's codes that have a series of their own: those that tell an operator what to do. */
const UPSTREAM_CODES = new Set([
  "AnswerTooLarge",
  "EAI_AGAIN",
  "ECONNREFUSED",
  "ECONNRESET",
  "ENOTFOUND",
  "EntityNotExist.Role",
  "INSTANCE_NOT_EXIST",
  "InternalError",
  "InvalidAccessKeyId.NotFound",
  "InvalidParameter.DurationSeconds",
  "InvalidParameter.RoleArn",
  "InvalidSecurityToken.Expired",
  "InvalidSecurityToken.MismatchWithAccessKey",
  "MalformedAnswer",
  "NoAnswer",
  "NoPermission",
  "ServiceUnavailable",
  "SignatureDoesNotMatch",
  "Throttling",
  "Throttling.Api",
  "Throttling.User",
  "Timeout",
]);

/** Where credentials are asked for: what goes wrong there is what an alert is about. */
const ISSUING_ROUTES = ["/v1/token", "/oauth2/token"];
/** With the type, so that none is missing. */
const CACHES: Readonly<Record<NonNullable<DecisionEvent["cache"]>, true>> = {
  hit: true,
  shared_hit: true,
  joined: true,
  shared_joined: true,
  miss: true,
  outage_hit: true,
  renewal: true,
};

const CODES = new Set<string>([...Object.keys(ERROR_STATUS), "internal_error"]);

export interface MetricsParts {
  readonly version: string;
  readonly policyDigest: string;
  /** Whose names may be labels; left out: none may. */
  readonly named?: { readonly grants: readonly string[]; readonly issuers: readonly string[] };
  readonly now: () => Date;
}

/** What is asked when somebody reads the metrics. */
export interface Watched {
  readonly inFlight: () => number;
  readonly replayMarks: () => number;
  readonly nonces: () => number;
  readonly budget: Pick<WatchedBudget, "waiting" | "left" | "perSecond">;
  /** `ageSeconds`: undefined where nothing but the environment has any, or it never was read. */
  readonly blocks: { ageSeconds(): number | undefined; count(): number };
  readonly linesDropped: () => number;
  /** Left out where nothing is traced. */
  readonly spansDropped?: () => number;
  /** Of each issuer that has fetched keys: how old they are, in seconds. A template's issuers have one name. */
  readonly keyAges: () => readonly { readonly issuer: string; readonly seconds: number }[];
  /** Left out where there is no audit sink. */
  readonly isAuditSinkUp?: () => boolean;
  /** Left out where there is no Redis. */
  readonly isRedisAvailable?: () => boolean;
}

export interface Metrics {
  /** The same log, what goes into it counted. */
  counting(log: Log): Log;
  /** The same calls, timed. */
  timing(cloud: Cloud): Cloud;
  readonly watchIdentity: WatchIdentity;
  /** Somebody was refused for asking too often. */
  refused(limit: "caller" | "grant" | "failures" | "budget"): void;
  /** An API is left alone from now on, or asked again. */
  upstream(api: string, host: string, isAsked: boolean): void;
  watch(watched: Watched): void;
  /** As Prometheus reads it. */
  text(): string;
}

export function brokerMetrics({ version, policyDigest, named, now }: MetricsParts): Metrics {
  const { counter, readCounter, gauge, histogram, text } = metricsRegistry();
  const grants = new Set(named?.grants);
  const issuers = new Set(named?.issuers);

  const requests = counter("acr_broker_requests_total", "Requests answered.", ["route", "status", "code"]);
  const durations = histogram(
    "acr_broker_request_duration_seconds",
    "From a request to its answer.",
    ["route"],
    REQUEST_BOUNDS,
  );
  const decisions = counter("acr_broker_decisions_total", "Decisions, and what came of them.", ["outcome", "reason"]);
  const byGrant =
    named &&
    counter("acr_broker_grant_decisions_total", "Decisions that a grant or a denial took part in.", [
      "grant",
      "outcome",
    ]);
  const credentials = counter("acr_broker_credentials_total", "Credentials, by where they came from.", ["cache"]);
  const failedRenewals = counter("acr_broker_renewals_failed_total", "Renewals beside a request that failed.");
  const waits = histogram(
    "acr_broker_assume_role_wait_seconds",
    "How long requests that needed AssumeRole waited for a turn.",
    [],
    WAIT_BOUNDS,
  );
  const attempts = counter(
    "acr_broker_assume_role_attempts_total",
    "Turns taken to call AssumeRole, retries included.",
  );
  const throttled = counter("acr_broker_assume_role_throttled_total", "Attempts that STS refused as too many.");
  const limited = counter("acr_broker_rate_limited_total", "Refusals of whoever asked too often, by the limit.", [
    "limit",
  ]);
  const fetches = counter("acr_broker_issuer_fetches_total", "Fetches of issuers' keys.", [
    ...(named ? ["issuer"] : []),
    "result",
  ]);
  /** Of each API the hosts that are left alone. */
  const leftAlone = new Map<string, Set<string>>(
    ["AssumeRole", "GetAuthorizationToken"].map((api) => [api, new Set()]),
  );
  gauge(
    "acr_broker_upstream_circuit_open",
    "How many endpoints of an API are left alone because they did not answer.",
    ["api"],
    () => [...leftAlone].map(([api, hosts]) => ({ labels: [api], value: hosts.size })),
  );
  const calls = histogram(
    "acr_broker_upstream_duration_seconds",
    "Calls of Alibaba Cloud, retries included, waiting for a turn not.",
    ["api"],
    UPSTREAM_BOUNDS,
  );
  const errors = counter("acr_broker_upstream_errors_total", "Calls of Alibaba Cloud that failed in the end.", [
    "api",
    "code",
  ]);
  const started = now().getTime() / 1000;
  one("process_start_time_seconds", "When the process started, in seconds since the epoch.", () => started);
  one("acr_broker_policy_loaded_timestamp_seconds", "When the policy was read.", () => started);
  gauge("acr_broker_policy_info", "Which policy decides, in which version.", ["digest", "version"], () => [
    { labels: [policyDigest, version], value: 1 },
  ]);

  // There from the start: of a series that begins with its first event Prometheus sees no increase, and no alert fires.
  for (const route of ISSUING_ROUTES) {
    for (const [code, status] of Object.entries(ERROR_STATUS))
      if (status >= 500) requests.add([route, String(status), code], 0);
    requests.add([route, "500", "internal_error"], 0);
  }
  for (const cache of Object.keys(CACHES)) credentials.add([cache], 0);
  for (const limit of ["caller", "grant", "failures", "budget"]) limited.add([limit], 0);
  for (const issuer of named?.issuers ?? [undefined]) {
    for (const result of ["ok", "failed"]) fetches.add([...(issuer === undefined ? [] : [issuer]), result], 0);
  }

  function one(name: string, help: string, read: () => number): void {
    gauge(name, help, [], () => [{ labels: [], value: read() }]);
  }

  function countRequest({ route, status, code, duration_ms }: RequestEvent): void {
    // Of a path that does not exist the event has no more than that.
    const known = route.startsWith("/") ? route : OTHER;
    requests.add([known, String(status), code === undefined ? "ok" : knownOr(CODES, code)]);
    durations.observe([known], duration_ms / 1000);
  }

  function countDecision(event: DecisionEvent, end: Partial<Outcome>): void {
    // One by one: of all fields copied into one object V8 makes a table.
    const issued = end.issued ?? event.issued;
    const cache = end.cache ?? event.cache;
    if (issued === true && cache !== undefined) credentials.add([cache]);
    if (end.budget_wait_ms !== undefined) waits.observe([], end.budget_wait_ms / 1000);
    if (cache === "renewal") {
      if (issued !== true) failedRenewals.add();
      // Its request has been counted.
      return;
    }
    const decided = end.outcome ?? event.outcome;
    const outcome = outcomeOf(decided, event.explain === true, issued);
    decisions.add([outcome, decided === "deny" ? (event.reason ?? OTHER) : "none"]);
    for (const { name } of end.grants ?? event.grants) byGrant?.add([knownOr(grants, name), outcome]);
  }

  /** Counts the call, unless it was never made: there was no turn for it, or the API is left alone. */
  async function timed<T>(api: UpstreamFailure["api"], call: () => Promise<T>, waitedMs = () => 0): Promise<T> {
    const begun = now().getTime();
    const observe = () => calls.observe([api], Math.max(0, now().getTime() - begun - waitedMs()) / 1000);
    try {
      const answer = await call();
      observe();
      return answer;
    } catch (error) {
      const failure = error instanceof BrokerError ? error.facts.upstream : undefined;
      // Who refuses an identity has answered.
      if (failure === undefined ? api === "GetCallerIdentity" : failure.code !== "CircuitOpen") observe();
      if (failure !== undefined && failure.code !== "CircuitOpen") {
        errors.add([api, knownOr(UPSTREAM_CODES, failure.code)]);
      }
      throw error;
    }
  }

  async function fetched<T>(issuer: string, ask: () => Promise<T>): Promise<T> {
    const count = (result: string) => fetches.add([...(named ? [knownOr(issuers, issuer)] : []), result]);
    try {
      const answer = await ask();
      count("ok");
      return answer;
    } catch (error) {
      count("failed");
      throw error;
    }
  }

  return {
    counting: (log) => (event: LogEvent, end?: Outcome) => {
      log(event, end);
      if (event.event === "request") countRequest(event);
      else if (event.event === "decision") countDecision(event, end ?? {});
    },
    timing: ({ assumeRole, authorizationToken }) => ({
      assumeRole(request, context) {
        let waitedMs = 0;
        const allowance = {
          async turn(deadline: Date) {
            const since = now().getTime();
            try {
              await request.allowance.turn(deadline);
              attempts.add();
            } catch (error) {
              if (error instanceof BrokerError && error.code === "rate_limited") limited.add(["budget"]);
              throw error;
            } finally {
              waitedMs += now().getTime() - since;
            }
          },
          throttled() {
            throttled.add();
            request.allowance.throttled();
          },
        };
        return timed(
          "AssumeRole",
          () => assumeRole({ ...request, allowance }, context),
          () => waitedMs,
        );
      },
      authorizationToken: (...call) => timed("GetAuthorizationToken", () => authorizationToken(...call)),
    }),
    watchIdentity: (issuer, ask) => (issuer === undefined ? timed("GetCallerIdentity", ask) : fetched(issuer, ask)),
    refused: (limit) => limited.add([limit]),
    upstream(api, host, isAsked) {
      if (isAsked) leftAlone.get(api)?.delete(host);
      else leftAlone.get(api)?.add(host);
    },
    watch({
      inFlight,
      replayMarks,
      nonces,
      budget,
      blocks,
      linesDropped,
      spansDropped,
      keyAges,
      isAuditSinkUp,
      isRedisAvailable,
    }) {
      one("acr_broker_requests_in_flight", "Requests under way, this one included.", inFlight);
      one("acr_broker_replay_marks", "Used tokens that this instance remembers.", replayMarks);
      one("acr_broker_nonces", "Nonces of signed identities that this instance remembers.", nonces);
      one("acr_broker_assume_role_waiting", "Requests that wait for a turn to call AssumeRole.", budget.waiting);
      one("acr_broker_assume_role_budget_left", "AssumeRole calls that may be made at once.", budget.left);
      one(
        "acr_broker_assume_role_limit",
        "AssumeRole calls a second of all instances together.",
        () => budget.perSecond,
      );
      one("acr_broker_blocks", "Blocks in force.", blocks.count);
      gauge("acr_broker_blocks_age_seconds", "How old the list of blocks is; none where there is no list.", [], () => {
        const age = blocks.ageSeconds();
        return age === undefined ? [] : [{ labels: [], value: age }];
      });
      readCounter("acr_broker_log_lines_dropped_total", "Log lines that could not be written.", linesDropped);
      if (spansDropped !== undefined)
        readCounter("acr_broker_spans_dropped_total", "Spans that the collector did not get.", spansDropped);
      gauge(
        "acr_broker_jwks_age_seconds",
        "How old an issuer's fetched keys are; of several the oldest.",
        named ? ["issuer"] : [],
        () => oldest(keyAges(), named && issuers),
      );
      if (isAuditSinkUp !== undefined) {
        one(
          "acr_broker_audit_sink_up",
          "0 from an event that the audit sink did not take to the next that it takes.",
          () => (isAuditSinkUp() ? 1 : 0),
        );
      }
      if (isRedisAvailable !== undefined) {
        one("acr_broker_redis_available", "0 from a failure of Redis to its next answer.", () =>
          isRedisAvailable() ? 1 : 0,
        );
      }
    },
    text,
  };
}

function outcomeOf(outcome: DecisionEvent["outcome"], isExplained: boolean, issued: boolean | undefined): string {
  if (isExplained) return outcome === "allow" ? "explained_allow" : "explained_deny";
  if (outcome === "deny") return "denied";
  return issued === true ? "issued" : "failed";
}

/** One for each issuer that may be named, or one for all. */
function oldest(ages: ReturnType<Watched["keyAges"]>, issuers: ReadonlySet<string> | undefined): Sample[] {
  const found = new Map<string, number>();
  for (const { issuer, seconds } of ages) {
    const name = issuers === undefined ? "" : knownOr(issuers, issuer);
    found.set(name, Math.max(found.get(name) ?? 0, seconds));
  }
  return [...found].map(([name, value]) => ({ labels: issuers === undefined ? [] : [name], value }));
}

function knownOr(known: ReadonlySet<string>, name: string): string {
  return known.has(name) ? name : OTHER;
}
