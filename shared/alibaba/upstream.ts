/**
 * Whether a cloud API is asked now, and asked again: a circuit breaker and a budget of retries, one of each for each API of each
 * endpoint. What is down does not come back sooner for being asked more, and whoever waits for it would be better told.
 */

import { BrokerError, type UpstreamFailure } from "../error.ts";

type Api = UpstreamFailure["api"];

/** Attempts in a row without an answer. One call makes three at most, so it takes more than one call. */
const FAILURES_TO_OPEN = 6;
/** Then nobody asks for so long, and after that one does, whose end the others wait for. */
const OPEN_MS = 5_000;
/** Retries in store when all is well, and the most that there ever are. */
const MOST_RETRIES = 10;
/** What each call adds to them: a fifth of the calls may be made again. */
const RETRIES_PER_CALL = 0.2;
/** What each second adds, for a broker of few callers. */
const RETRIES_PER_SECOND = 1;

/** What became of an attempt. `unclear`: it had too little time for its failure to say anything of the upstream. */
export type Ended = { readonly how: "answered" | "unclear" } | { readonly how: "failed"; readonly code: string };

export interface Upstream {
  /** Why it is not asked now; undefined where it is, or where one attempt is out to see. Changes nothing. */
  refusal(): BrokerError | undefined;
  /** While one attempt is out to see whether it is back: its end. Then it has to be asked for anew, since another may have begun. */
  probe(): Promise<void> | undefined;
  /**
   * Begins an attempt; the function that it gives must be called once, with the attempt's end.
   * @throws BrokerError upstream_unavailable while it is not asked
   */
  begin(isRetry: boolean): (ended: Ended) => void;
  /** Whether there is a retry left; `begin` takes it. */
  mayRetry(): boolean;
}

/** Told when an upstream is no longer asked, with the last failure's code, and when it answers again. */
export type OnUpstream = (state: {
  readonly api: Api;
  readonly host: string;
  readonly failure: string | undefined;
}) => void;

/** Of the same API and host always the same. */
export function upstreams(now: () => Date, onChange: OnUpstream = () => {}): (api: Api, host: string) => Upstream {
  const known = new Map<string, Upstream>();
  return (api, host) => {
    const key = `${api} ${host}`;
    const upstream = known.get(key) ?? newUpstream(api, now, (failure) => onChange({ api, host, failure }));
    known.set(key, upstream);
    return upstream;
  };
}

function newUpstream(api: Api, now: () => Date, onChange: (failure: string | undefined) => void): Upstream {
  let failures = 0;
  /** While it is not asked: since when. Undefined where all is well. */
  let openedAt: number | undefined;
  /** The end of the one attempt that is made to see whether it is back. */
  let probe: Promise<void> | undefined;
  let retries = MOST_RETRIES;
  let retriesAt = now().getTime();

  function refusal(): BrokerError | undefined {
    if (openedAt === undefined || probe !== undefined) return undefined;
    const passedMs = now().getTime() - openedAt;
    // Negative where the clock was put back: that must not make it an hour.
    if (passedMs < 0 || passedMs >= OPEN_MS) return undefined;
    const retryAfterSeconds = Math.ceil((OPEN_MS - passedMs) / 1000);
    return new BrokerError(
      "upstream_unavailable",
      `Alibaba Cloud has not answered ${api} several times in a row, so it is not asked now; try again in ${retryAfterSeconds} s`,
      { upstream: { api, code: "CircuitOpen" }, retryAfterSeconds },
    );
  }

  function addRetries(more: number): void {
    retries = Math.min(MOST_RETRIES, retries + more);
  }

  function addRetriesOfTime(): void {
    const time = now().getTime();
    addRetries((Math.max(0, time - retriesAt) / 1000) * RETRIES_PER_SECOND);
    retriesAt = time;
  }

  return {
    refusal,
    probe: () => probe,
    mayRetry() {
      addRetriesOfTime();
      return retries >= 1 && refusal() === undefined;
    },
    begin(isRetry) {
      const refused = refusal();
      if (refused !== undefined) throw refused;
      addRetriesOfTime();
      if (isRetry) retries--;
      else addRetries(RETRIES_PER_CALL);
      let end: (() => void) | undefined;
      if (openedAt !== undefined && probe === undefined) {
        probe = new Promise((resolve) => {
          end = resolve;
        });
      }

      return (ended) => {
        const wasProbe = end !== undefined;
        if (wasProbe) probe = undefined;
        end?.();
        if (ended.how === "answered") {
          failures = 0;
          if (openedAt === undefined) return;
          openedAt = undefined;
          onChange(undefined);
        } else if (ended.how === "failed") {
          failures++;
          if (wasProbe) openedAt = now().getTime();
          // Not again for those that were under way when it was.
          if (openedAt !== undefined || failures < FAILURES_TO_OPEN) return;
          openedAt = now().getTime();
          onChange(ended.code);
        }
      };
    },
  };
}
