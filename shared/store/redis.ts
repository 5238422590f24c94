/**
 * One connection to Redis, for what all instances share. Redis is a help here and never a need: a question has 50 ms, and
 * after a failure Redis is left alone for a second before one question tries it again, so that a dead one costs next to
 * nothing. Knows nothing of what is kept there. Decision: docs/decisions/0004-redis-client.md
 */

import { isIP } from "node:net";
import type { Redis } from "ioredis";
import type { RedisSettings } from "../config/config.ts";

export interface SharedRedis {
  /**
   * Runs a Lua script on keys that it may change, as Redis does everything: at once or not at all. Never throws and never takes
   * longer than the limit. `unavailable` is no promise that it did not run: an answer may have been lost.
   */
  run(
    script: string,
    keys: readonly string[],
    values: readonly (string | number)[],
  ): Promise<{ reply: unknown } | "unavailable">;
  /** Connects, so that the first question need not; never throws. */
  warm(): Promise<void>;
  /** Ends the connection, which would keep the process alive. */
  close(): void;
}

/** Told once whenever it changes; the first success is no change. `why` has nothing of what Redis said. */
export type OnAvailability = (state: { available: true } | { available: false; why: string }) => void;

/** For connecting, where that is needed, and the answer. */
const LIMIT_MS = 50;
/** How long Redis is left alone after a failure. */
const PAUSE_MS = 1_000;
/** For connecting behind a question's back: TLS with a cold cache may take longer than a question waits. */
const CONNECT_LIMIT_MS = 2_000;

export function sharedRedis({
  settings,
  password,
  now,
  onAvailability,
  limitMs = LIMIT_MS,
}: {
  settings: RedisSettings;
  password: string | undefined;
  now: () => Date;
  onAvailability: OnAvailability;
  limitMs?: number;
}): SharedRedis {
  let ready: Redis | undefined;
  let opening: Promise<Redis | undefined> | undefined;
  /** From a failure to the next answer. */
  let isDown = false;
  /** When Redis failed, or was last tried. */
  let leftAloneSince = 0;
  let isClosed = false;

  function failed(why: string): void {
    ready?.disconnect();
    ready = undefined;
    leftAloneSince = now().getTime();
    if (isDown || isClosed) return;
    isDown = true;
    onAvailability({ available: false, why });
  }

  function succeeded(): void {
    if (!isDown) return;
    isDown = false;
    onAvailability({ available: true });
  }

  function open(): Promise<Redis | undefined> {
    opening ??= connect(settings, password)
      .then((client) => {
        if (isClosed) {
          client.disconnect();
          return undefined;
        }
        // Redis closes idle connections, and a fail-over all of them: no failure until it cannot be reached again.
        client.once("close", () => {
          if (ready === client) ready = undefined;
        });
        ready = client;
        return client;
      })
      .catch((error: unknown) => {
        failed(reason(error));
        return undefined;
      })
      .finally(() => {
        opening = undefined;
      });
    return opening;
  }

  /** While Redis is down one question at a time tries it, and the others do not wait. */
  function isLeftAlone(): boolean {
    if (isClosed) return true;
    const pausedMs = now().getTime() - leftAloneSince;
    // Negative where the clock was put back: that must not make the pause an hour.
    return isDown && (opening !== undefined || (pausedMs >= 0 && pausedMs < PAUSE_MS));
  }

  return {
    async run(script, keys, values) {
      if (isLeftAlone()) return "unavailable";
      // This one tries it; those that come meanwhile go on without.
      if (isDown) leftAloneSince = now().getTime();
      let isOver = false;
      const asked = async () => {
        const client = ready ?? (await open());
        if (client === undefined || isOver) return "unavailable" as const;
        try {
          const reply = await client.eval(script, keys.length, ...keys, ...values);
          succeeded();
          return { reply };
        } catch (error) {
          // Another question may have given this connection up already, and a new one may be there.
          if (!isOver && (ready === client || ready === undefined)) failed(reason(error));
          return "unavailable" as const;
        }
      };
      const answer = await Promise.race([asked(), after(limitMs)]);
      isOver = true;
      if (answer !== "late") return answer;
      failed(`no answer within ${limitMs} ms`);
      return "unavailable";
    },
    async warm() {
      if (ready === undefined && !isLeftAlone()) await open();
    },
    close() {
      isClosed = true;
      ready?.disconnect();
      ready = undefined;
    },
  };
}

/** Loads the client only here: a broker without Redis never needs it. */
async function connect({ host, port, tls, username }: RedisSettings, password: string | undefined): Promise<Redis> {
  const { Redis } = await import("./client.ts");
  const client = new Redis({
    host,
    port,
    ...(username === undefined ? {} : { username }),
    ...(password === undefined ? {} : { password }),
    ...(tls === false
      ? {}
      : {
          tls: {
            // Whatever NODE_TLS_REJECT_UNAUTHORIZED says.
            rejectUnauthorized: true,
            ...(isIP(host) === 0 ? { servername: host } : {}),
            ...(tls.ca === undefined ? {} : { ca: [...tls.ca.certificates] }),
          },
        }),
    // RESP 2 and nothing but what is needed: proxies in front of Redis know less than Redis.
    protocol: 2,
    enableReadyCheck: false,
    disableClientInfo: true,
    lazyConnect: true,
    // What cannot be asked now is not asked later, and connecting again is decided here.
    enableOfflineQueue: false,
    autoResendUnfulfilledCommands: false,
    maxRetriesPerRequest: 0,
    retryStrategy: null,
    // One that is frozen would never close its end.
    disconnectTimeout: 0,
  });
  let wrong: unknown;
  // Without a listener the client would print errors, and there are several ways to one; the first is the cause.
  client.on("error", (error) => {
    wrong ??= error;
  });
  const limit = setTimeout(() => {
    wrong ??= Object.assign(new Error("too slow"), { code: "ETIMEDOUT" });
    client.disconnect();
  }, CONNECT_LIMIT_MS);
  try {
    await client.connect();
    // A machine takes connections for a process that is frozen.
    await client.ping();
    return client;
  } catch (error) {
    client.disconnect();
    throw wrong ?? error;
  } finally {
    clearTimeout(limit);
  }
}

/** With one more turn of the event loop: an answer that is there already must not lose to a timer that fired first. */
function after(ms: number): Promise<"late"> {
  return new Promise((resolve) => setTimeout(() => setImmediate(() => resolve("late")), ms));
}

/** What Redis begins an error with, and what that means here. https://redis.io/docs/latest/develop/reference/protocol-spec/#simple-errors */
const REPLIES: Readonly<Record<string, string>> = {
  WRONGPASS: "the user or the password is wrong",
  NOAUTH: "it wants a password: name its variable in redis.password_env",
  NOPERM: "the user may not run EVAL and the script's commands on keys of redis.key_prefix",
  READONLY: "it is a replica, and cannot be written to",
  OOM: "its memory is full",
  MOVED: "it is a cluster: use its proxy's endpoint",
  LOADING: "it is loading its data",
  MASTERDOWN: "its master is down",
  CLUSTERDOWN: "its cluster is down",
  MISCONF: "it cannot save its data",
};

/** Never the words of Redis, which may have what was sent in them. */
function reason(error: unknown): string {
  const { code, message } = (error ?? {}) as { code?: unknown; message?: unknown };
  // Node's own and OpenSSL's: ECONNREFUSED, DEPTH_ZERO_SELF_SIGNED_CERT.
  if (typeof code === "string" && /^[A-Z_]{4,60}$/.test(code)) return code;
  const [word = ""] = typeof message === "string" ? message.split(" ", 1) : [];
  return REPLIES[word] ?? "it closed the connection, or answered what is no answer";
}
