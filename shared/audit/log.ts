/**
 * What is recorded: one JSON object a line, of fields that are named here and no others, so that nothing a caller or a
 * cloud sent gets in by being part of something larger. Function Compute's log service takes standard output a line at a time.
 */

import type { ErrorCode } from "../error.ts";

export type LogEvent = RequestEvent | DecisionEvent | RefusedEvent | ShadowEvent | LifecycleEvent;

/** One for each request, when it has been answered. */
export interface RequestEvent {
  readonly event: "request";
  readonly request_id: string;
  /** Where the policy has `tracing`, in each event of a request: the caller's in `traceparent`, else a new one. */
  readonly trace_id?: string;
  readonly method: string;
  /** The route's path; `(unknown)` where there is none, since people paste secrets into paths. Never the query. */
  readonly route: string;
  readonly status: number;
  readonly duration_ms: number;
  readonly code?: ErrorCode | "internal_error";
  /** Of an error that is a defect of the broker: its class and where it was thrown; not its message. */
  readonly defect?: { readonly name: string; readonly frames: readonly string[] };
}

/** One for each decision, written before a credential leaves. Its form, and that of `refused`, is docs/audit-event.schema.json. */
export interface DecisionEvent {
  readonly event: "decision";
  readonly version: 1;
  readonly request_id: string;
  /** Where the request came from, where that is known for certain. */
  readonly address?: string;
  readonly trace_id?: string;
  readonly outcome: "allow" | "deny";
  /** Only asked about: nothing was to be issued. */
  readonly explain?: true;
  readonly issuer?: string;
  /** Which of the issuers that a template stands for. */
  readonly issuer_member?: string;
  readonly api_key?: string;
  readonly subject: string;
  readonly token_id?: string;
  readonly registry: string;
  readonly scope: readonly string[];
  /** The file that the lines of `grants` are of, as the broker was told it. */
  readonly policy_file?: string;
  readonly policy_digest: string;
  /** The grants that decided: of a denial the nearest miss or those that match. */
  readonly grants: readonly { readonly name: string; readonly line: number }[];
  /** Of a denial. */
  readonly reason?: string;
  readonly failed_claim?: string;
  readonly failed_limit?: "network" | "time";
  /** The entry of the block list that stands against it. */
  readonly block?: string;
  /** Of `rate_limited`: the rate of `limits` that is used up. */
  readonly quota?: string;
  /** Whether a credential was issued, and if not, why. Left out where none was to be. */
  readonly issued?: boolean;
  readonly code?: ErrorCode | "internal_error";
  readonly role_arn?: string;
  readonly session_name?: string;
  /** Where the credential came from, see `CacheOutcome`; `renewal`: not what the request was answered with, but what came of renewing that beside it. */
  readonly cache?: "hit" | "shared_hit" | "joined" | "shared_joined" | "miss" | "outage_hit" | "renewal";
  /** Where STS was to be asked: how long that waited for a turn, retries and all (shared/issuing/budget). */
  readonly budget_wait_ms?: number;
  readonly token_fingerprint?: string;
  readonly expires_at?: string;
  /** How much of the credential's life is left, whole seconds. */
  readonly lifetime_seconds?: number;
  /** From the request's arrival to this event. */
  readonly duration_ms?: number;
  readonly assume_role_request_id?: string;
  readonly authorization_token_request_id?: string;
  readonly upstream_code?: string;
}

/** One for each request for a credential, or about one, that ended before anything was decided. Never has anything of what was presented. */
export interface RefusedEvent {
  readonly event: "refused";
  readonly version: 1;
  readonly request_id: string;
  readonly trace_id?: string;
  readonly address?: string;
  readonly route: string;
  readonly status: number;
  readonly code: ErrorCode | "internal_error";
  /** Of `rate_limited`: the rate of `limits` that is used up. */
  readonly quota?: string;
  /** Whoever vouches for the caller, where that has been verified: of a token that has expired the issuer is known, its subject counts for nothing. */
  readonly issuer?: string;
  readonly issuer_member?: string;
  readonly api_key?: string;
  readonly subject?: string;
  readonly policy_digest: string;
  readonly duration_ms: number;
}

/** The events of the audit trail. */
export type AuditEvent = DecisionEvent | RefusedEvent;

/** One for each request that the shadow policy would answer otherwise. */
export interface ShadowEvent {
  readonly event: "shadow";
  readonly version: 1;
  readonly request_id: string;
  readonly trace_id?: string;
  readonly issuer?: string;
  readonly api_key?: string;
  readonly issuer_member?: string;
  readonly subject: string;
  readonly registry?: string;
  /** One of the two: what was asked for. */
  readonly scope?: readonly string[];
  readonly grant?: string;
  /** What the policy that decides says, and what the other would. */
  readonly serving: Verdict;
  readonly shadow: Verdict;
  readonly policy_digest: string;
  readonly shadow_digest: string;
}

export type Verdict =
  | {
      readonly outcome: "allow";
      /** Each line is that of the verdict's own policy. */
      readonly grants: readonly { readonly name: string; readonly line: number }[];
      readonly role_arn: string;
      readonly lifetime_seconds: number;
      readonly session_policy: unknown;
    }
  | { readonly outcome: "deny"; readonly code: ErrorCode; readonly reason?: string };

export interface LifecycleEvent {
  readonly event: "started" | "stopping" | "stopped" | "warning";
  readonly message: string;
  readonly policy_digest?: string;
  /** Whether V8 had compiled the code beforehand. */
  readonly code_cache?: boolean;
}

/** What has come of a decision that allowed something. */
export type Outcome = Partial<DecisionEvent> & Required<Pick<DecisionEvent, "issued">>;

/** `outcome` is the end of a decision's event: it has fields that the event does not have yet. */
export type Log = (event: LogEvent, outcome?: Outcome) => void;

const texts = new WeakMap<Outcome, string>();

/** An outcome that is logged again and again, which nobody changes any more: its text is made once. */
export function lasting(outcome: Outcome): Outcome {
  texts.set(outcome, JSON.stringify(outcome));
  return outcome;
}

/** `write` takes one whole line with its end, and what kind of event it is. */
export function jsonLog(write: (line: string, event: LogEvent["event"]) => void, now: () => Date): Log {
  return (event, outcome) => {
    // Joined as text: of twenty fields that are copied into one object V8 makes a table of ten kilobytes.
    const end = outcome === undefined ? "}" : `,${(texts.get(outcome) ?? JSON.stringify(outcome)).slice(1)}`;
    write(`{"time":"${now().toISOString()}",${JSON.stringify(event).slice(1, -1)}${end}\n`, event.event);
  };
}
