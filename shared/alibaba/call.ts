/**
 * One call of a cloud API: time limits, the retries that are safe, and errors that carry a code and a request id and
 * nothing else of what the cloud said. STS echoes the string-to-sign in some errors, so its words stay here.
 */

import { BrokerError, type UpstreamFailure } from "../error.ts";
import type { Ended, Upstream } from "./upstream.ts";

export type Api = UpstreamFailure["api"];

/** The outside things that a call depends on. */
export interface CallContext {
  readonly now: () => Date;
  readonly sleep: (ms: number) => Promise<void>;
  /** From 0 to below 1. */
  readonly random: () => number;
  /** As in earnest when left out; tests do not wait so long. */
  readonly limits?: CallLimits;
}

export interface CallLimits {
  /** For one attempt. */
  readonly attemptMs: number;
  /** For all that a credential takes; see shared/issuing/issue.ts. */
  readonly deadlineMs: number;
}

/** Where the service takes only so many calls: what each attempt needs, and what it tells. */
export interface Allowance {
  /** Resolves when the attempt may be made. @throws BrokerError rate_limited where that is too late for `deadline` */
  turn(deadline: Date): Promise<void>;
  /** The service said that it is asked too often. */
  throttled(): void;
}

/** For one attempt. The vendor's HTTP client counts its connect time-out on while it waits, so one number serves both. */
const ATTEMPT_TIMEOUT_MS = 3_000;
/** For its HTTP client to see the time-out itself, and to close the connection. */
const GRACE_MS = 200;
const MOST_ATTEMPTS = 3;
const FIRST_BACKOFF_MS = 100;

/**
 * Runs `attempt` until it succeeds, is refused, or `deadline` comes; it is told how many milliseconds it has. Both APIs only make
 * something new that expires by itself, so asking again after a lost answer is safe.
 * @throws BrokerError upstream_rejected, upstream_unavailable, upstream_timeout, not_ready, rate_limited
 */
export async function callUpstream<T>(
  api: Api,
  deadline: Date,
  context: CallContext,
  attempt: (limitMs: number) => Promise<T>,
  { allowance, upstream }: { readonly allowance?: Allowance; readonly upstream?: Upstream | undefined } = {},
): Promise<T> {
  const mostMs = context.limits?.attemptMs ?? ATTEMPT_TIMEOUT_MS;
  let failure: Failure | undefined;
  for (let count = 1; ; count++) {
    let remaining: number;
    let ended: ((how: Ended) => void) | undefined;
    try {
      // No turn is taken for what would be refused then.
      await upstream?.probe();
      const refused = upstream?.refusal();
      if (refused !== undefined) throw refused;
      await allowance?.turn(deadline);
      // Of those that waited one begins the next, where the last told nothing.
      for (let probe = upstream?.probe(); probe !== undefined; probe = upstream?.probe()) await probe;
      remaining = deadline.getTime() - context.now().getTime();
      if (remaining <= 0) throw timedOut(api);
      ended = upstream?.begin(count > 1);
    } catch (error) {
      // What is in the way of a further attempt is not why there had to be one.
      throw failure === undefined ? error : asBrokerError(api, failure);
    }
    const limitMs = Math.min(remaining, mostMs);
    const begunAt = context.now().getTime();
    try {
      const answer = await within(Math.min(remaining, mostMs + GRACE_MS), attempt(limitMs));
      ended?.({ how: "answered" });
      return answer;
    } catch (error) {
      // Whatever its HTTP client makes of having cut it off.
      failure = context.now().getTime() - begunAt >= limitMs ? TIMEOUT : classify(error);
      ended?.(endOf(failure, limitMs === mostMs));
      if (failure.throttled) allowance?.throttled();
    }
    // Full jitter: the callers of one outage do not come back together.
    const pause = context.random() * FIRST_BACKOFF_MS * 2 ** count;
    const left = deadline.getTime() - context.now().getTime();
    const isLast = !failure.retryable || count === MOST_ATTEMPTS || pause >= left;
    if (isLast || upstream?.mayRetry() === false) throw asBrokerError(api, failure);
    await context.sleep(pause);
  }
}

/** One that refuses, or is asked too often, is there. */
function endOf({ kind, code, throttled }: Failure, hadItsTime: boolean): Ended {
  if (kind === "rejected" || throttled) return { how: "answered" };
  return kind === "timeout" && !hadItsTime ? { how: "unclear" } : { how: "failed", code };
}

class AttemptTimeout extends Error {}

async function within<T>(ms: number, promise: Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const limit = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new AttemptTimeout()), ms);
  });
  try {
    return await Promise.race([promise, limit]);
  } finally {
    clearTimeout(timer);
  }
}

/** Thrown by an attempt whose answer had the right status and the wrong content. */
export class MalformedAnswer extends Error {}

/** Thrown by an attempt whose answer says in a body of status 200 that it failed, as ACR's does. */
export class RefusedAnswer extends Error {
  constructor(
    readonly code: string,
    readonly requestId: string,
  ) {
    super(code);
  }
}

interface Failure {
  readonly kind: "rejected" | "unavailable" | "timeout";
  readonly code: string;
  readonly requestId?: string;
  readonly retryable: boolean;
  readonly throttled?: true;
}

const TIMEOUT: Failure = { kind: "timeout", code: "Timeout", retryable: true };

function classify(error: unknown): Failure {
  if (error instanceof AttemptTimeout) return TIMEOUT;
  if (error instanceof MalformedAnswer) return { kind: "rejected", code: "MalformedAnswer", retryable: false };
  const { name, code, statusCode, requestId, data } = (error ?? {}) as Record<string, unknown>;
  if (typeof name === "string" && name.includes("RequestTimeout")) return TIMEOUT;
  const id = requestId ?? (data as { RequestId?: unknown } | undefined)?.RequestId;
  const facts = {
    code:
      matching(code, /^(?!undefined$)[A-Za-z0-9._-]{1,100}$/) ??
      (typeof statusCode === "number" ? `Status${statusCode}` : "NoAnswer"),
    ...withRequestId(matching(id, /^(?!undefined$)[A-Za-z0-9-]{1,64}$/)),
  };
  if (facts.code.startsWith("Throttling") || statusCode === 429)
    return { kind: "unavailable", ...facts, retryable: true, throttled: true };
  if (error instanceof RefusedAnswer || (typeof statusCode === "number" && statusCode < 500)) {
    return { kind: "rejected", ...facts, retryable: false };
  }
  // No status: no connection, a reset, a body that was no JSON or too large. With one: the service's own fault.
  return { kind: "unavailable", ...facts, retryable: true };
}

function matching(value: unknown, pattern: RegExp): string | undefined {
  return typeof value === "string" && pattern.test(value) ? value : undefined;
}

function withRequestId(requestId: string | undefined): { requestId?: string } {
  return requestId === undefined ? {} : { requestId };
}

function asBrokerError(api: Api, { kind, code, requestId }: Failure): BrokerError {
  const upstream: UpstreamFailure = { api, code, ...withRequestId(requestId) };
  const where = `${api} (${code}${requestId === undefined ? "" : `, request ${requestId}`})`;
  switch (kind) {
    case "timeout":
      return timedOut(api);
    case "unavailable":
      return new BrokerError("upstream_unavailable", `Alibaba Cloud could not answer ${where}; try again`, {
        upstream,
        retryAfterSeconds: 2,
      });
    case "rejected":
      return new BrokerError(
        "upstream_rejected",
        `Alibaba Cloud refused ${where}: ${ADVICE.get(code) ?? "the broker's operator can look the request up in ActionTrail"}`,
        {
          upstream,
        },
      );
  }
}

function timedOut(api: Api): BrokerError {
  return new BrokerError("upstream_timeout", `Alibaba Cloud did not answer ${api} in time; try again`, {
    upstream: { api, code: "Timeout" },
    retryAfterSeconds: 2,
  });
}

/** What the operator must change, by the cloud's code. */
const ADVICE: ReadonlyMap<string, string> = new Map([
  [
    "NoPermission",
    "the grant's role must trust the function's role in its trust policy, and the function's role must be allowed sts:AssumeRole on it",
  ],
  ["EntityNotExist.Role", "the grant's role_arn names a role that does not exist"],
  ["InvalidParameter.RoleArn", "the grant's role_arn is no role's ARN"],
  [
    "InvalidParameter.DurationSeconds",
    "the role's MaxSessionDuration is shorter than the grant's max_ttl; raise the one or lower the other",
  ],
  [
    "InvalidAccessKeyId.NotFound",
    "the broker's own keys are not known in this partition; check the function's role and alibaba.sts_endpoint",
  ],
  [
    "InvalidSecurityToken.MismatchWithAccessKey",
    "the broker's own keys do not belong together; check ALIBABA_CLOUD_* in the environment",
  ],
  ["SignatureDoesNotMatch", "the broker's own keys are wrong; check ALIBABA_CLOUD_* in the environment"],
  ["INSTANCE_NOT_EXIST", "the registry's instance_id or region is wrong"],
  [
    "MalformedAnswer",
    "its answer was not what its documentation says; check alibaba.sts_endpoint and alibaba.cr_endpoint",
  ],
]);
