/**
 * How often the cloud is asked, AssumeRole and GetAuthorizationToken together: for a first request, for an equal one after it, and for
 * a hundred equal ones at a time. Counted by the cloud; nothing here is timed.
 */

import { requestBytes } from "./connection.ts";
import type { Place } from "./cores.ts";
import { load } from "./load.ts";
import { askFor, withScene } from "./scene.ts";
import { baseline, startTarget } from "./targets.ts";

export interface UpstreamResult {
  readonly of: string;
  readonly what: "miss" | "hit" | "100 equal in flight" | "100 equal in flight, ten instances with Redis";
  readonly calls: number;
}

/** Longer than it takes to send a hundred requests, so that all of them are under way before the first is answered. */
const LATENCY_MS = 100;

export function benchUpstream(options: {
  readonly dists: readonly string[];
  readonly place: Place;
}): Promise<UpstreamResult[]> {
  return withScene(options.dists, async ({ tokens, cloud, issuers, brokers }) => {
    const token = tokens.mint(issuers.again);
    const ask = (name: string) => requestBytes("POST", "/v1/token", token, askFor(name));
    const cases = [
      { what: "miss", requests: [ask("app")] },
      { what: "hit", requests: [ask("app")] },
      { what: "100 equal in flight", requests: new Array<Buffer>(100).fill(ask("other")) },
    ] as const;
    const results: UpstreamResult[] = [];
    for (const target of [...brokers, baseline(cloud.url)]) {
      const { port, stop } = await startTarget(target, options.place);
      try {
        for (const { what, requests } of cases) {
          await cloud.next(LATENCY_MS);
          await load({ port, requests, inFlight: requests.length, status: 200 });
          const { AssumeRole, GetAuthorizationToken } = await cloud.next(0);
          results.push({ of: target.name, what, calls: AssumeRole + GetAuthorizationToken });
        }
      } finally {
        await stop();
      }
    }
    return results;
  });
}
