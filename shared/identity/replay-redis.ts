/**
 * Uses of tokens as all instances remember them, in Redis: one hash a token, with what it was first used for, how often, and
 * which mark it is. Names and values are digests: whoever reads Redis learns of no token, caller or repository.
 */

import type { SharedRedis } from "../store/redis.ts";
import { digest, type ReplayStore } from "./replay.ts";

/** Instances' clocks differ a little; a mark must not end before the last of them thinks that its token does. */
const LONGER_MS = 5_000;

/** `purpose`, `most` (0: bound), how long a new mark lives in ms, a new mark's id. Answers the mark's id, or 0: refused. */
const USE = `
local mark = redis.call('HMGET', KEYS[1], 'purpose', 'uses', 'id')
if not mark[3] then
  redis.call('HMSET', KEYS[1], 'purpose', ARGV[1], 'uses', 1, 'id', ARGV[4])
  redis.call('PEXPIRE', KEYS[1], ARGV[3])
  return ARGV[4]
end
local most = tonumber(ARGV[2])
if most == 0 and mark[1] ~= ARGV[1] then return 0 end
if most > 0 and tonumber(mark[2]) >= most then return 0 end
redis.call('HINCRBY', KEYS[1], 'uses', 1)
return mark[3]`;

/** The id of the mark that was used: one that came after it, because Redis lost it, has uses of others. */
const GIVE_BACK = `
if redis.call('HGET', KEYS[1], 'id') ~= ARGV[1] then return 0 end
if redis.call('HINCRBY', KEYS[1], 'uses', -1) <= 0 then redis.call('DEL', KEYS[1]) end
return 1`;

export function redisReplayStore(
  redis: Pick<SharedRedis, "run">,
  { keyPrefix }: { keyPrefix: string },
  now: () => Date,
  newId: () => string,
): ReplayStore {
  return {
    async use({ issuer, tokenId, expiresAt, purpose, most }) {
      const key = `${keyPrefix}:replay:${digest(issuer, tokenId)}`;
      const lives = expiresAt - now().getTime() + LONGER_MS;
      // With the token in it: scopes alone could be guessed from their digest.
      const answer = await redis.run(
        USE,
        [key],
        [digest(issuer, tokenId, purpose), most === "bound" ? 0 : most, lives, newId()],
      );
      if (answer === "unavailable") return "unavailable";
      const { reply: id } = answer;
      if (typeof id !== "string") return id === 0 ? "refused" : "unavailable";
      return {
        async giveBack() {
          // Not answered: the mark stays until the token expires. Nothing is allowed by that which was not.
          await redis.run(GIVE_BACK, [key], [id]);
        },
      };
    },
  };
}
