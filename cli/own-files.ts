/**
 * Files that are the user's alone: what a command keeps for the next one. Who else could write there could answer in its place,
 * and who else could read there could use what is kept; so both the folder and the file are looked at each time.
 */

import {
  closeSync,
  constants,
  fstatSync,
  lstatSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  type Stats,
  statSync,
  writeFileSync,
} from "node:fs";
import { dirname, isAbsolute, join } from "node:path";
import type { Terminal } from "./command.ts";

const NAME = "acr-token-broker";

type User = Pick<Terminal, "userId">;
type Surroundings = Pick<Terminal, "environment" | "userId">;

/**
 * This program's folder in the user's cache; undefined where there is none, or the system has no users.
 * https://specifications.freedesktop.org/basedir-spec/latest/
 */
export function cacheFolder(surroundings: Surroundings): string | undefined {
  return surroundings.userId === undefined ? undefined : baseFolder(surroundings, "XDG_CACHE_HOME", ".cache");
}

/** The same for what the user has set. */
export function configFolder(surroundings: Pick<Terminal, "environment">): string | undefined {
  return baseFolder(surroundings, "XDG_CONFIG_HOME", ".config");
}

function baseFolder({ environment }: Pick<Terminal, "environment">, variable: string, below: string) {
  const [base, home] = [environment[variable], environment["HOME"]];
  if (base && isAbsolute(base)) return join(base, NAME);
  return home && isAbsolute(home) ? join(home, below, NAME) : undefined;
}

/** A folder or file of this user that nobody else can read or write; no link to one. */
export function isOwn(path: string, user: User): boolean {
  try {
    return isOwnStats(lstatSync(path), user);
  } catch {
    return false;
  }
}

function isOwnStats(found: Stats, { userId }: User): boolean {
  return !found.isSymbolicLink() && found.uid === userId && (found.mode & 0o077) === 0;
}

/** Its text; undefined where it is not there, not the user's alone, a link, no file, or larger. */
export function readOwn(path: string, user: User, mostBytes: number): string | undefined {
  return readPlain(path, mostBytes, (found) => isOwnStats(found, user));
}

/** The same of anybody's, or of whose `isRight`. Never waits, as for a pipe's other end. */
export function readPlain(path: string, mostBytes: number, isRight: (found: Stats) => boolean = () => true) {
  let handle: number | undefined;
  try {
    // What is looked at is what is read, also where the name comes to mean another file in between.
    handle = openSync(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
    const found = fstatSync(handle);
    if (!found.isFile() || found.size > mostBytes || !isRight(found)) return undefined;
    return readFileSync(handle, "utf8");
  } catch {
    return undefined;
  } finally {
    if (handle !== undefined) closeSync(handle);
  }
}

/** Makes the folders that are not there. Answers whether all of them, from `folders[0]` on, are the user's alone. */
export function makeOwn(folders: readonly string[], user: User): boolean {
  const last = folders.at(-1);
  if (last === undefined) return false;
  makeFolders(last);
  return folders.every((folder) => isOwn(folder, user));
}

/**
 * Makes a folder, and those above it that are not there, for the user alone. Node's own `recursive` never ends where the system
 * says of a folder that is there that nothing can be made in it by ENOENT, as /proc and automounters do.
 */
export function makeFolders(folder: string): void {
  if (statSync(folder, { throwIfNoEntry: false })?.isDirectory()) return;
  const above = dirname(folder);
  if (above !== folder) makeFolders(above);
  try {
    mkdirSync(folder, { mode: 0o700 });
  } catch (error) {
    // Another process was faster.
    if (!statSync(folder, { throwIfNoEntry: false })?.isDirectory()) throw error;
  }
}

/** Half written ones have another name, which ends in `.tmp`. @throws where the folder cannot be written, the disk is full */
export function writeOwn(path: string, content: string, { random }: Pick<Terminal, "random">): void {
  const making = `${path.replace(/\.json$/, "")}.${Buffer.from(random(8)).toString("hex")}.tmp`;
  try {
    writeFileSync(making, content, { mode: 0o600, flag: "wx" });
    renameSync(making, path);
  } catch (error) {
    rmSync(making, { force: true });
    throw error;
  }
}

/** Takes away all but the newest files whose names are like `entry`; whatever else lies there is not touched. */
export function keepNewest(folder: string, entry: RegExp, most: number): void {
  const old = readdirSync(folder)
    .filter((name) => entry.test(name))
    .map((name) => ({ path: join(folder, name), at: lstatSync(join(folder, name)).mtimeMs }))
    .sort((a, b) => b.at - a.at)
    .slice(most);
  for (const { path } of old) rmSync(path, { force: true });
}
