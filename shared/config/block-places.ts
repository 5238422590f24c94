/** Where the list of blocks stands, and what its names are names of: for the broker that reads it and the command that helps to write it. */

import type { Block } from "../policy/blocks.ts";
import type { BrokerConfig, RedisSettings } from "./config.ts";

/** One block a line. */
export const BLOCK_VARIABLE = "ACR_BROKER_BLOCK";

/** The set in Redis. */
export function blocksKey({ keyPrefix }: Pick<RedisSettings, "keyPrefix">): string {
  return `${keyPrefix}:blocks`;
}

/** Whether the policy has what the block names; one that it does not have blocks nothing. */
export function isOfPolicy(block: Block, { issuers, grants, apiKeys }: BrokerConfig): boolean {
  if (block.kind === "all") return true;
  if (block.kind === "api-key") return apiKeys.has(block.name);
  return "name" in block ? grants.some(({ name }) => name === block.name) : issuers.has(block.issuer);
}
