/**
 * What each instance remembers for itself, and all share where `redis` is configured: how often tokens were used, and issued
 * credentials. One connection for both.
 */

import type { Environment } from "../../shared/alibaba/role-keys.ts";
import type { BrokerConfig, RedisSettings } from "../../shared/config/config.ts";
import { ownThenShared, type ReplayStore } from "../../shared/identity/replay.ts";
import { memoryReplayStore } from "../../shared/identity/replay-memory.ts";
import { redisReplayStore } from "../../shared/identity/replay-redis.ts";
import type { FindOrMake } from "../../shared/issuing/credential-cache.ts";
import { readSecret, type Seal, seal } from "../../shared/issuing/seal.ts";
import { sharedCredentials } from "../../shared/issuing/shared-credentials.ts";
import { type OnAvailability, type SharedRedis, sharedRedis } from "../../shared/store/redis.ts";
import type { Outside } from "./app.ts";

/** Odd values are told of that often at most: whoever writes them into Redis shall not fill the log. */
const ODD_PAUSE_MS = 60_000;

export interface InstancesShare {
  readonly replays: ReplayStore;
  /** Left out where each instance keeps its own. */
  readonly credentials?: FindOrMake;
  readonly redis?: SharedRedis;
  /** How many used tokens this instance remembers. */
  readonly replayMarks: () => number;
  /** False from a failure of Redis to its next answer. */
  readonly isRedisAvailable: () => boolean;
}

/** `watch` gives another that does the same, and looks on. */
export function instancesShare(
  { redis: settings }: BrokerConfig,
  outside: Outside,
  watch: (redis: SharedRedis) => SharedRedis = (redis) => redis,
): InstancesShare {
  const { now, log, environment, newRequestId, redisLimitMs } = outside;
  const own = memoryReplayStore(now);
  let isRedisAvailable = true;
  const seen = { replayMarks: own.marks, isRedisAvailable: () => isRedisAvailable };
  if (settings === undefined) return { replays: own, ...seen };
  const redis = watch(
    sharedRedis({
      settings,
      password: environment[settings.passwordVariable ?? ""],
      now,
      onAvailability: (state) => {
        isRedisAvailable = state.available;
        log({ event: "warning", message: availability(state, settings) });
      },
      ...(redisLimitMs === undefined ? {} : { limitMs: redisLimitMs }),
    }),
  );
  const [first, ...older] = seals(settings, outside);
  return {
    redis,
    ...seen,
    replays: ownThenShared(own, redisReplayStore(redis, settings, now, newRequestId), settings.whenUnavailable),
    ...(first === undefined
      ? {}
      : {
          credentials: sharedCredentials({
            ...outside,
            redis,
            keyPrefix: settings.keyPrefix,
            seals: [first, ...older],
            onOdd: tellOfOdd(outside),
          }),
        }),
  };
}

function availability(
  state: Parameters<OnAvailability>[0],
  { whenUnavailable, credentialKeyVariables }: RedisSettings,
): string {
  const isShared = credentialKeyVariables !== undefined;
  if (state.available) {
    return `Redis answers again: uses of tokens count over all instances${isShared ? ", and credentials are shared" : ""}`;
  }
  const uses =
    whenUnavailable === "memory"
      ? "each instance counts the uses of a token for itself"
      : "tokens whose uses are counted are refused";
  return `Redis is unavailable (${state.why}): until it answers, ${uses}${isShared ? ", and each instance makes its own credentials" : ""}`;
}

function tellOfOdd({ now, log }: Outside): () => void {
  let count = 0;
  let toldAt = Number.NEGATIVE_INFINITY;
  return () => {
    count++;
    if (Math.abs(now().getTime() - toldAt) < ODD_PAUSE_MS) return;
    toldAt = now().getTime();
    log({
      event: "warning",
      message: `credentials were found in Redis that no broker with these keys left there, and not used (${count} since the start): see who else can write there`,
    });
  };
}

function seals({ credentialKeyVariables = [] }: RedisSettings, { environment, randomBytes }: Outside): Seal[] {
  return credentialKeyVariables.map((variable) => {
    const secret = readSecret(environment[variable] ?? "");
    if (secret === undefined) throw new Error("started in spite of secretProblem");
    return seal(secret, randomBytes);
  });
}

/**
 * What to say where the environment lacks a secret that the configuration promises, or has none that will do. Not the variable's
 * name: should somebody have written the secret in its place, that would print it.
 */
export function secretProblem({ redis }: BrokerConfig, environment: Environment): string | undefined {
  const { passwordVariable, credentialKeyVariables = [] } = redis ?? {};
  const password = passwordVariable === undefined ? undefined : environment[passwordVariable];
  if (passwordVariable !== undefined && !password) {
    return "the environment variable that redis.password_env names is not set, or empty; set it to the password of Redis, or take password_env out";
  }
  const keys = credentialKeyVariables.map((variable) => environment[variable] ?? "");
  for (const [index, key] of keys.entries()) {
    const which = `redis.credentials.key_env[${index}]`;
    if (key === "") {
      return `the environment variable that ${which} names is not set, or empty; set it to what openssl rand -base64 32 prints, or take its name out`;
    }
    if (readSecret(key) === undefined) {
      return `the environment variable that ${which} names does not hold 32 bytes in base64; set it to what openssl rand -base64 32 prints, its 44 characters and nothing around them`;
    }
    if (keys.indexOf(key) !== index) {
      return `the environment variable that ${which} names holds the same key as that of [${keys.indexOf(key)}]; make another with openssl rand -base64 32, or take one of the names out`;
    }
    if (key === password) {
      return `the environment variable that ${which} names holds the password of Redis, which Redis knows; make a key of its own with openssl rand -base64 32`;
    }
  }
  return undefined;
}
