/**
 * Resident memory after ten thousand and after a hundred thousand requests of which no two are alike: each another caller with
 * another token, that asks for another repository. Whatever is kept for each would show. Tokens are marked as used (`replay: once`,
 * the preset for GitHub's), and none expires during the run, so that the marks of all of them are kept: the most there can be.
 */

import { requestBytes } from "./connection.ts";
import type { Place } from "./cores.ts";
import { load } from "./load.ts";
import { askFor, withScene } from "./scene.ts";
import { baseline, startTarget, type Target } from "./targets.ts";

export interface MemoryOptions {
  readonly dists: readonly string[];
  /** Of each server. */
  readonly requests: number;
  /** How often its memory is looked at, after as many requests each time. */
  readonly steps: number;
  readonly place: Place;
}

export interface MemoryResult {
  readonly of: string;
  readonly steps: readonly Step[];
}

/** MB are millions of bytes. */
export interface Step {
  readonly requests: number;
  /** Resident memory as it stands after these requests. */
  readonly residentMb: number;
  /** The same after garbage was collected, and of it what the heap has in use. */
  readonly collectedMb: number;
  readonly heapMb: number;
}

const IN_FLIGHT = 16;

export function benchMemory({ dists, requests, steps, place }: MemoryOptions): Promise<MemoryResult[]> {
  return withScene(dists, async ({ tokens, cloud, issuers, brokers }) => {
    /** Of an elliptic curve, since a hundred thousand RSA signatures take longer than the requests do. */
    const request = (index: number) => {
      const claims = { sub: `repo:acme/web:ref:refs/heads/main:${index}` };
      return requestBytes("POST", "/v1/token", tokens.mint(issuers.once, claims, "ES256"), askFor(`app-${index}`));
    };
    const results: MemoryResult[] = [];
    for (const target of [...brokers, baseline(cloud.url)]) {
      results.push({
        of: target.name,
        steps: await stepsOf(target, request, steps, Math.ceil(requests / steps), place),
      });
    }
    return results;
  });
}

async function stepsOf(
  target: Target,
  request: (index: number) => Buffer,
  steps: number,
  size: number,
  place: Place,
): Promise<Step[]> {
  const { port, memory, stop } = await startTarget(target, place, { memory: true });
  const taken: Step[] = [];
  try {
    for (let step = 0; step <= steps; step++) {
      if (step > 0) {
        const requests = Array.from({ length: size }, (_, index) => request((step - 1) * size + index));
        await load({ port, requests, inFlight: IN_FLIGHT, status: 200 });
      }
      const { before, after } = await memory();
      taken.push({
        requests: step * size,
        residentMb: before.rss / 1e6,
        collectedMb: after.rss / 1e6,
        heapMb: after.heapUsed / 1e6,
      });
    }
    return taken;
  } finally {
    await stop();
  }
}
