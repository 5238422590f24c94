/** Where the uses of tokens are remembered: in this process, and where `redis` is configured in one place for all instances. */

import type { Environment } from "../../shared/alibaba/role-keys.ts";
import type { BrokerConfig } from "../../shared/config/config.ts";
import { ownThenShared, type ReplayStore } from "../../shared/identity/replay.ts";
import { memoryReplayStore } from "../../shared/identity/replay-memory.ts";
import { redisReplayStore } from "../../shared/identity/replay-redis.ts";
import { type SharedRedis, sharedRedis } from "../../shared/store/redis.ts";
import type { Outside } from "./app.ts";

/** Without `redis` where there is none. */
export function replayStore(
  { redis: settings }: BrokerConfig,
  { now, log, environment, newRequestId, redisLimitMs }: Outside,
): { store: ReplayStore; redis?: SharedRedis } {
  const own = memoryReplayStore(now);
  if (settings === undefined) return { store: own };
  const { whenUnavailable } = settings;
  const redis = sharedRedis({
    settings,
    password: environment[settings.passwordVariable ?? ""],
    now,
    onAvailability: (state) =>
      log({
        event: "warning",
        message: state.available
          ? "Redis answers again: uses of tokens count over all instances"
          : `Redis is unavailable (${state.why}): until it answers, ${
              whenUnavailable === "memory"
                ? "each instance counts the uses of a token for itself"
                : "tokens whose uses are counted are refused"
            }`,
      }),
    ...(redisLimitMs === undefined ? {} : { limitMs: redisLimitMs }),
  });
  return { store: ownThenShared(own, redisReplayStore(redis, settings, now, newRequestId), whenUnavailable), redis };
}

/**
 * What to say where the environment lacks the password that the configuration promises. Not the variable's name: should
 * somebody have written the password in its place, that would print it.
 */
export function missingPassword({ redis }: BrokerConfig, environment: Environment): string | undefined {
  const variable = redis?.passwordVariable;
  return variable === undefined || environment[variable]
    ? undefined
    : "the environment variable that redis.password_env names is not set, or empty; set it to the password of Redis, or take password_env out";
}
