/**
 * Credentials on disk, `credentials/` in the user's cache, each under the digest of all that it was asked with. Handed out until
 * two thirds of its life are over, as the broker does, and not by a clock that was set back to before it was kept (one that was
 * set back less far may hand out an ended one, which the registry refuses); whatever is not as it should be is not there.
 */

import { readdirSync, rmSync } from "node:fs";
import { dirname, join } from "node:path";
import type { Terminal } from "../command.ts";
import { cacheFolder, isOwn, keepNewest, makeOwn, readOwn, writeOwn } from "../own-files.ts";

export interface Kept {
  readonly host: string;
  readonly username: string;
  readonly secret: string;
  /** Milliseconds since 1970, by this machine's clock. */
  readonly keptAt: number;
  readonly usableUntil: number;
}

type User = Pick<Terminal, "environment" | "userId" | "now">;

/** Some hundred bytes each; a job has one to a few. */
const MOST_ENTRIES = 64;
const MOST_BYTES = 16 * 1024;
/** Longer than STS lets any session live (12 h, the most that a role's MaxSessionDuration can be). */
const LONGEST_LIFE_MS = 12 * 3_600_000;
/** Also those half written, locks that were left, and what is known of brokers. */
const ENTRY = /^(?:broker-)?[0-9a-f]{64}(?:\.json|\.[0-9a-f]+\.tmp|\.lock(?:\.clearing)?)$/;

/** Undefined where nothing is kept. */
export function keptFolder(user: User): string | undefined {
  const folder = user.environment["ACR_BROKER_NO_CACHE"] ? undefined : cacheFolder(user);
  return folder && join(folder, "credentials");
}

export function readKept(folder: string, digest: string, host: string, user: User): Kept | undefined {
  if (!foldersOf(folder).every((one) => isOwn(one, user))) return undefined;
  const kept = parsed(readOwn(pathOf(folder, digest), user, MOST_BYTES));
  return kept !== undefined && kept.host === host && isUsable(kept, user) ? kept : undefined;
}

/** Nothing that goes wrong is an error: the next one asks again. */
export function keep(folder: string, digest: string, kept: Kept, user: User & Pick<Terminal, "random">): void {
  try {
    writeOwn(pathOf(folder, digest), JSON.stringify(kept), user);
    keepNewest(folder, ENTRY, MOST_ENTRIES);
  } catch {
    // A full disk, a folder that cannot be written.
  }
}

export function forget(folder: string, digest: string): void {
  rmSync(pathOf(folder, digest), { force: true });
}

/** Those that can be handed out now, of whichever identity, by their hosts. */
export function usernames(folder: string, user: User): Record<string, string> {
  if (!foldersOf(folder).every((one) => isOwn(one, user))) return {};
  const entries = readdirSync(folder)
    .filter((name) => /^[0-9a-f]{64}\.json$/.test(name))
    .map((name) => parsed(readOwn(join(folder, name), user, MOST_BYTES)))
    .filter((kept) => kept !== undefined && isUsable(kept, user)) as Kept[];
  return Object.fromEntries(entries.map(({ host, username }) => [host, username]));
}

export function makeKeptFolder(folder: string, user: User): boolean {
  try {
    return makeOwn(foldersOf(folder), user);
  } catch {
    return false;
  }
}

export function lockOf(folder: string, digest: string): string {
  return join(folder, `${digest}.lock`);
}

function foldersOf(folder: string): string[] {
  return [dirname(folder), folder];
}

function pathOf(folder: string, digest: string): string {
  return join(folder, `${digest}.json`);
}

function isUsable({ keptAt, usableUntil }: Kept, { now }: User): boolean {
  const time = now().getTime();
  return keptAt <= time && time < usableUntil && usableUntil - keptAt < LONGEST_LIFE_MS;
}

function parsed(text: string | undefined): Kept | undefined {
  try {
    const value = JSON.parse(text ?? "") as Kept;
    const { host, username, secret, keptAt, usableUntil } = value;
    const texts = [host, username, secret].every((one) => typeof one === "string" && one !== "");
    return texts && Number.isFinite(keptAt) && Number.isFinite(usableUntil) ? value : undefined;
  } catch {
    return undefined;
  }
}
