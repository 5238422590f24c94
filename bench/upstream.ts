/**
 * How often the cloud is asked, AssumeRole and GetAuthorizationToken together: for a first request, for an equal one after it, and for
 * a hundred equal ones at a time. Counted by the cloud; nothing here is timed.
 */

import { randomBytes } from "node:crypto";
import { startRedisServer } from "../test/store/redis-server.ts";
import type { Cloud } from "./cloud.ts";
import { requestBytes } from "./connection.ts";
import type { Place } from "./cores.ts";
import { load } from "./load.ts";
import { askFor, withScene } from "./scene.ts";
import { baseline, prepareBroker, startTarget } from "./targets.ts";

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
    for (const dist of options.dists) {
      const calls = await callsOfTen(dist, cloud, options.place, ask("shared"));
      results.push({ of: dist, what: "100 equal in flight, ten instances with Redis", calls });
    }
    return results;
  });
}

/** Ten to each of ten brokers that share a redis-server, all at once. */
async function callsOfTen(dist: string, cloud: Cloud, place: Place, request: Buffer): Promise<number> {
  const redis = await startRedisServer();
  const { target, remove } = await prepareBroker(dist, cloud.url, {
    policy: `redis: { host: 127.0.0.1, port: ${redis.port}, tls: false, credentials: { key_env: [CACHE_KEY] } }\n`,
    environment: { CACHE_KEY: randomBytes(32).toString("base64") },
  });
  const instances = await Promise.all(Array.from({ length: 10 }, () => startTarget(target, place)));
  try {
    await cloud.next(LATENCY_MS);
    const requests = new Array<Buffer>(10).fill(request);
    await Promise.all(instances.map(({ port }) => load({ port, requests, inFlight: 10, status: 200 })));
    const { AssumeRole, GetAuthorizationToken } = await cloud.next(0);
    return AssumeRole + GetAuthorizationToken;
  } finally {
    for (const { stop } of instances) await stop();
    remove();
    await redis.close();
  }
}
