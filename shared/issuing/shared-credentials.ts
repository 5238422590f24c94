/**
 * Issued credentials as all instances share them: sealed, in Redis; and which instance makes one while the others wait for it.
 * Redis is a help here and never a need: where it does not answer, each makes its own, at once.
 * What its operator can and cannot do: docs/decisions/0005-shared-credentials.md
 */

import { isText } from "../alibaba/assume-role.ts";
import type { CallContext } from "../alibaba/call.ts";
import type { SharedRedis } from "../store/redis.ts";
import { type Credential, type FindOrMake, fingerprintOf, secondsLeft, serves } from "./credential-cache.ts";
import type { Seal } from "./seal.ts";

/** How long one instance is left to make one: what one attempt at a call may take. One that died keeps the others no longer. */
const LOCK_MS = 3_000;
/** Then nobody waits for another instance any more. Longer than a lock, so that of a dead one's only one waiter makes it. */
const LONGEST_WAIT_MS = 4_000;
/** Up to twice that between two questions. */
const POLL_MS = 50;
/** Redis drops a credential that much before it ends, however long the answer was under way. */
const EARLIER_MS = 1_000;
/** Some 6 KB are usual; what is larger is none of ours, and is not fetched. */
const LONGEST_SEALED = 32 * 1024;

/** `KEYS[1]` is the credential: its fence, `:`, and what is sealed. Another kind of value is as good as none. */
const HELD = `
local size = redis.pcall('STRLEN', KEYS[1])
if type(size) == 'table' and not string.find(size.err, 'WRONGTYPE', 1, true) then return size end
local held = type(size) == 'number' and size > 0 and size <= ${LONGEST_SEALED} and redis.call('GET', KEYS[1]) or ''
local fence, sealed = string.match(held, '^(%d+):(.*)$')`;

const FIND = `${HELD}
return sealed or ''`;

/**
 * What is there, unless the caller knows it already by its fence; else the lock (`KEYS[2]`) where nobody has it. The fence is
 * Redis' own clock in µs: of two who had the lock one after the other, the later has the higher.
 */
const TAKE = `${HELD}
if fence and fence ~= ARGV[1] then return { 'found', fence, sealed } end
local time = redis.call('TIME')
local mine = string.format('%.0f', time[1] * 1000000 + time[2])
if redis.call('SET', KEYS[2], mine, 'NX', 'PX', ${LOCK_MS}) then return { 'yours', mine } end
return { 'wait' }`;

const RELEASE = `
if redis.pcall('GET', KEYS[2]) == ARGV[1] then redis.call('DEL', KEYS[2]) end
return 1`;

/** Whoever still has the lock may; whoever had it once, only over what is not newer. */
const LEAVE = `
local isMine = redis.pcall('GET', KEYS[2]) == ARGV[1]
local there = redis.pcall('GETRANGE', KEYS[1], 0, 31)
local newest = tonumber(string.match(type(there) == 'string' and there or '', '^(%d+):') or 0)
if isMine or newest <= tonumber(ARGV[1]) then redis.call('SET', KEYS[1], ARGV[1] .. ':' .. ARGV[2], 'PX', ARGV[3]) end
${RELEASE}`;

export function sharedCredentials({
  redis,
  keyPrefix,
  seals,
  onOdd,
  now,
  sleep,
  random,
}: CallContext & {
  readonly redis: Pick<SharedRedis, "run">;
  readonly keyPrefix: string;
  /** The first closes, each opens. */
  readonly seals: readonly [Seal, ...Seal[]];
  /** Told of each value that was not left by an instance with one of these seals, or not for what it was found under. */
  readonly onOdd: () => void;
}): FindOrMake {
  const [first, ...older] = seals;

  /** In braces what a cluster's proxy goes by: both belong to one node. */
  function places(seal: Seal, key: string): [string, string] {
    const name = `{${seal.name(key)}}`;
    return [`${keyPrefix}:credential:${name}`, `${keyPrefix}:lock:${name}`];
  }

  return async (key, { minTtlSeconds, longestSeconds }, make) => {
    const here = places(first, key);
    const begun = now().getTime();

    function opened(seal: Seal, sealed: string): Credential | undefined {
      const credential = readCredential(seal.open(sealed, key));
      if (credential === undefined || secondsLeft(credential, now()) > longestSeconds) {
        onOdd();
        return undefined;
      }
      return serves(credential, minTtlSeconds, now()) ? credential : undefined;
    }

    /** A new key was put before the one that this was closed with. */
    async function findOlder(): Promise<Credential | undefined> {
      for (const seal of older) {
        const answer = await redis.run(FIND, places(seal, key), []);
        if (answer === "unavailable") return undefined;
        const credential = isText(answer.reply) ? opened(seal, answer.reply) : undefined;
        if (credential !== undefined) return credential;
      }
      return undefined;
    }

    async function leave(fence: string, credential: Credential): Promise<void> {
      const livesMs = credential.expiresAt.getTime() - now().getTime() - EARLIER_MS;
      if (livesMs <= 0) await redis.run(RELEASE, here, [fence]);
      else await redis.run(LEAVE, here, [fence, first.close(JSON.stringify(credential), key), livesMs]);
    }

    async function makeForAll(fence: string): ReturnType<FindOrMake> {
      const known = await findOlder();
      try {
        const credential = known ?? (await make());
        await leave(fence, credential);
        return { credential, outcome: known === undefined ? "miss" : "shared_hit" };
      } catch (error) {
        await redis.run(RELEASE, here, [fence]);
        throw error;
      }
    }

    let unfit = "";
    let hasWaited = false;
    for (;;) {
      const answer = await redis.run(TAKE, here, [unfit]);
      const [turn, fence = "", sealed = ""] =
        answer !== "unavailable" && Array.isArray(answer.reply) ? answer.reply.map(String) : [];
      if (turn === "yours") return makeForAll(fence);
      if (turn === "found") {
        const credential = opened(first, sealed);
        if (credential !== undefined) return { credential, outcome: hasWaited ? "shared_joined" : "shared_hit" };
        unfit = fence;
      }
      const waitedMs = now().getTime() - begun;
      // Negative where the clock was put back: that must not make the wait an hour.
      const isOverdue = waitedMs < 0 || waitedMs >= LONGEST_WAIT_MS;
      if ((turn !== "found" && turn !== "wait") || isOverdue) return { credential: await make(), outcome: "miss" };
      if (turn === "wait") {
        hasWaited = true;
        await sleep(POLL_MS * (1 + random()));
      }
    }
  };
}

/** As strictly as what the cloud answers is read. */
function readCredential(text: string | undefined): Credential | undefined {
  let read: Partial<Record<keyof Credential, unknown>>;
  try {
    read = Object(JSON.parse(text ?? ""));
  } catch {
    return undefined;
  }
  const { username, password, fingerprint } = read;
  const { assumeRole, authorizationToken } = Object(read.upstreamRequestIds);
  const issuedAt = new Date(String(read.issuedAt));
  const expiresAt = new Date(String(read.expiresAt));
  if (!isText(username) || !isText(password) || fingerprint !== fingerprintOf(password)) return undefined;
  if (typeof assumeRole !== "string" || typeof authorizationToken !== "string") return undefined;
  if (!(issuedAt < expiresAt)) return undefined;
  return {
    username,
    password,
    issuedAt,
    expiresAt,
    fingerprint,
    upstreamRequestIds: { assumeRole, authorizationToken },
  };
}
