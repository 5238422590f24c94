/**
 * Turns as all instances keep them, in Redis: one hash for the account that calls. By the clock of Redis, since a turn that one
 * instance takes must mean the same to every other, and their own clocks differ by more than the 12 ms between two turns.
 * Where Redis does not answer, an instance goes by its own share.
 */

import type { SharedRedis } from "../../store/redis.ts";
import { MOST_SLOW, pace, type Rate, RECOVERY_MS, SAME_WAVE_MS, type Turns } from "./turns.ts";

/** As `ownTurns` does it, so that the two read alike. TIME before a write wants Redis 5. */
const COMMON = `
local clock = redis.call('TIME')
local time = clock[1] * 1000 + clock[2] / 1000
local kept = redis.call('HMGET', KEYS[1], 'evenly', 'slow', 'since')
local evenly, slow, since = tonumber(kept[1]) or 0, tonumber(kept[2]) or 0, tonumber(kept[3]) or 0
local period, tolerance, farthest = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
slow = since > time and 0 or math.max(0, slow - math.floor((time - since) / ${RECOVERY_MS}))`;

/** What `pace` says, and within how many ms. Answers in how many µs, how many µs apart, 1 where it was taken, and how many are left. */
const NEXT = `${COMMON}
local every = period * 2 ^ slow
if evenly < time or evenly > time + farthest then evenly = time end
local early = evenly - tolerance - time
local taken = 0
if early <= tonumber(ARGV[4]) then
  taken = 1
  evenly = evenly + every
  redis.call('HSET', KEYS[1], 'evenly', evenly)
  redis.call('PEXPIRE', KEYS[1], math.ceil(farthest))
end
local left = math.max(0, math.floor((time + tolerance - evenly) / every) + 1)
return {math.ceil(math.max(0, early) * 1000), math.ceil(every * 1000), taken, left}`;

const THROTTLED = `${COMMON}
if slow > 0 and time - since < ${SAME_WAVE_MS} then return 0 end
slow = math.min(${MOST_SLOW}, slow + 1)
evenly = math.max(evenly, time + tolerance + period * 2 ^ slow)
redis.call('HMSET', KEYS[1], 'evenly', evenly, 'slow', slow, 'since', time)
redis.call('PEXPIRE', KEYS[1], math.ceil(farthest))
return 1`;

export function sharedTurns(redis: Pick<SharedRedis, "run">, key: string, rate: Rate, own: Turns): Turns {
  const { periodMs, toleranceMs, farthestMs, spareMs } = pace(rate);
  const paced = [periodMs, toleranceMs, farthestMs];
  return {
    async next(withinMs) {
      const within = withinMs === "spare" ? spareMs : withinMs;
      const answer = await redis.run(NEXT, [key], [...paced, within]);
      const reply = answer === "unavailable" ? undefined : answer.reply;
      if (!Array.isArray(reply) || reply.length !== 4 || !reply.every(Number.isFinite)) return own.next(withinMs);
      const [inUs, everyUs, taken, left] = reply as [number, number, number, number];
      return { inMs: inUs / 1000, everyMs: everyUs / 1000, taken: taken === 1, left };
    },
    async throttled() {
      await Promise.all([own.throttled(), redis.run(THROTTLED, [key], paced)]);
    },
  };
}
