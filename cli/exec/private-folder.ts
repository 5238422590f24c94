/**
 * A folder that is one command's alone and goes with it: in memory where the system has such a place, closed to other users, and
 * taken away by the next run where this one was killed.
 */

import {
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statfsSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { isAbsolute, join } from "node:path";
import type { Terminal } from "../command.ts";
import { ownerOf, processStamp } from "../process-stamp.ts";

const NAME = "acr-broker-exec-";
const OWNER = ".owner";
/** statfs(2): TMPFS_MAGIC, RAMFS_MAGIC. */
const MEMORY = [0x01021994, 0x858458f6];
/** Of a process that cannot be asked, in another container, say: longer than any credential lives. */
const STALE_MS = 24 * 3_600_000;

export interface PrivateFolder {
  readonly path: string;
  /** Whether it is in memory. */
  readonly inMemory: boolean;
  remove(): void;
}

/** Makes one in the first place that is in memory, else in the last; takes away those whose processes are gone. @throws where it cannot */
export function privateFolder(
  terminal: Pick<Terminal, "environment" | "userId" | "now" | "random">,
  places: readonly string[] = placesOf(terminal),
): PrivateFolder {
  for (const place of places) clearStale(place, terminal);
  const place = places.find(isMemory) ?? (places.at(-1) as string);
  const path = join(place, `${NAME}${Buffer.from(terminal.random(12)).toString("hex")}`);
  mkdirSync(path, { mode: 0o700 });
  // First of all: while it is not there, nothing is.
  writeFileSync(join(path, OWNER), processStamp(), { mode: 0o600, flag: "wx" });
  return { path, inMemory: isMemory(place), remove: () => remove(path) };
}

/** Written anew; the second is there where the user's folder is one of these itself. */
const OURS = ["config.json", "auth.json"];

/** What else is in the user's folder (contexts, plugins, builders) is used where it is. */
export function linkRest(from: string, { path }: PrivateFolder): void {
  for (const name of existsSync(from) ? readdirSync(from) : []) {
    if (OURS.includes(name) || name.startsWith(".")) continue;
    symlinkSync(join(from, name), join(path, name));
  }
}

function placesOf({ environment }: Pick<Terminal, "environment">): string[] {
  const runtime = environment["XDG_RUNTIME_DIR"];
  return [...(runtime && isAbsolute(runtime) ? [runtime] : []), "/dev/shm", tmpdir()];
}

function isMemory(place: string): boolean {
  try {
    return MEMORY.includes(statfsSync(place).type);
  } catch {
    return false;
  }
}

/** This user's only, and nothing that a link leads to. What cannot be taken away now can be another time. */
function clearStale(place: string, { userId, now }: Pick<Terminal, "userId" | "now">): void {
  for (const name of existsSync(place) ? readdirSync(place) : []) {
    if (!name.startsWith(NAME)) continue;
    const path = join(place, name);
    const found = lstatSync(path, { throwIfNoEntry: false });
    if (!found?.isDirectory() || (userId !== undefined && found.uid !== userId)) continue;
    const owner = ownerOf(stampIn(path));
    const isOld = now().getTime() - found.mtimeMs > STALE_MS;
    if (owner === "gone" || (owner === "unknown" && isOld)) remove(path);
  }
}

/** Another run may be taking it away as well. */
function remove(path: string): void {
  try {
    rmSync(path, { recursive: true, force: true });
  } catch {
    // The next run tries again.
  }
}

function stampIn(path: string): string {
  try {
    return readFileSync(join(path, OWNER), "utf8");
  } catch {
    return "";
  }
}
