/** What the benchmarks of servers have in common: keys of the run, the cloud, and the built brokers that know both. */

import { type Cloud, startCloud } from "./cloud.ts";
import { issuers, type Prepared, prepareBroker, type Target } from "./targets.ts";
import { type Minter, minter } from "./tokens.ts";

export interface Scene {
  readonly tokens: Minter;
  readonly cloud: Cloud;
  readonly issuers: ReturnType<typeof issuers>;
  /** Of each folder one, in their order. */
  readonly brokers: readonly Target[];
}

/** Sets the scene for `measure`, and clears it away however that ends. */
export async function withScene<Result>(
  dists: readonly string[],
  measure: (scene: Scene) => Promise<Result>,
): Promise<Result> {
  const tokens = minter();
  const cloud = await startCloud(tokens);
  const prepared: Prepared[] = [];
  try {
    for (const dist of dists) prepared.push(await prepareBroker(dist, cloud.url));
    const brokers = prepared.map(({ target }) => target);
    return await measure({ tokens, cloud, issuers: issuers(cloud.url), brokers });
  } finally {
    for (const { remove } of prepared) remove();
    await cloud.close();
  }
}

/** A request for credentials of one repository. */
export function askFor(repository: string): { scope: string[] } {
  return { scope: [`repository:web/${repository}:pull,push`] };
}
