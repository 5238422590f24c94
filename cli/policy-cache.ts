/**
 * Reads the policy for a command, of a large one the compiled form (shared/config/compiled.ts) that an earlier command left in
 * the user's own cache: five thousand grants take seconds to parse and check, and a fraction of one to read back.
 * The folder and the file must be the user's alone, or they are left alone: who else could write there could answer for the
 * policy. Nothing that goes wrong here is an error; it only takes longer.
 */

import { createHash } from "node:crypto";
import { lstatSync, mkdirSync, readdirSync, renameSync, rmSync, type Stats, statSync, writeFileSync } from "node:fs";
import { isAbsolute, join, resolve } from "node:path";
import { compile, readCompiled, type Source } from "../shared/config/compiled.ts";
import type { BrokerConfig } from "../shared/config/config.ts";
import type { Terminal } from "./command.ts";

/** About 200 grants, a tenth of a second: what is smaller leaves no files behind. */
const SMALLEST_BYTES = 64 * 1024;
const MOST_ENTRIES = 8;
/** Ours, those half written too; whatever else lies there is not touched. */
const ENTRY = /^[0-9a-f]{64}\.(?:json|[0-9a-f]+\.tmp)$/;

/** @throws ConfigError, as loadConfig. `checked`: not from the cache, since all that is wrong is asked for. */
export async function readPolicy(file: string, terminal: Terminal, how?: "checked"): Promise<BrokerConfig> {
  const folder = isLarge(file) ? cacheFolder(terminal) : undefined;
  // One entry a policy, so that its old versions do not pile up.
  const entry = folder && join(folder, `${createHash("sha256").update(resolve(file)).digest("hex")}.json`);
  const { loader } = terminal;
  if (how !== "checked" && folder && entry && loader && isOwn(folder, terminal) && isOwn(entry, terminal)) {
    const config = readCompiled(entry, file, loader);
    if (config !== undefined) return config;
  }
  const sources: Source[] = [];
  // Only now: the YAML reader and the schema cost more than a small command's whole run.
  const { loadConfig } = await import("../shared/config/load.ts");
  const config = loadConfig(file, (source) => sources.push(source));
  if (folder && entry && loader) keep(folder, entry, () => compile(config, sources, loader), terminal);
  return config;
}

/** Where compiled policies are kept; undefined where none are. https://specifications.freedesktop.org/basedir-spec/latest/ */
function cacheFolder({ environment, userId }: Terminal): string | undefined {
  // In CI a run's cache is often kept for the next by way of what a stranger's pull request can fill.
  if (environment["ACR_BROKER_NO_CACHE"] || environment["CI"] || userId === undefined) return undefined;
  const [caches, home] = [environment["XDG_CACHE_HOME"], environment["HOME"]];
  if (caches && isAbsolute(caches)) return join(caches, "acr-token-broker");
  return home && isAbsolute(home) ? join(home, ".cache", "acr-token-broker") : undefined;
}

function isLarge(file: string): boolean {
  const found = statOf(() => statSync(file));
  return found?.isFile() === true && found.size >= SMALLEST_BYTES;
}

/** A folder or file of this user that nobody else can read or write; no link to one. */
function isOwn(path: string, { userId }: Terminal): boolean {
  const found = statOf(() => lstatSync(path));
  return found !== undefined && !found.isSymbolicLink() && found.uid === userId && (found.mode & 0o077) === 0;
}

/** Whatever stands in the way is not there. */
function statOf(read: () => Stats): Stats | undefined {
  try {
    return read();
  } catch {
    return undefined;
  }
}

function keep(folder: string, entry: string, content: () => string, terminal: Terminal): void {
  try {
    mkdirSync(folder, { recursive: true, mode: 0o700 });
    if (!isOwn(folder, terminal)) return;
    const making = `${entry.slice(0, -"json".length)}${Buffer.from(terminal.random(8)).toString("hex")}.tmp`;
    writeFileSync(making, content(), { mode: 0o600, flag: "wx" });
    renameSync(making, entry);
    for (const old of entries(folder).slice(MOST_ENTRIES)) rmSync(join(folder, old), { force: true });
  } catch {
    // A full disk, a folder that cannot be written: it takes as long the next time.
  }
}

/** The newest first. */
function entries(folder: string): string[] {
  return readdirSync(folder)
    .filter((name) => ENTRY.test(name))
    .map((name) => ({ name, at: lstatSync(join(folder, name)).mtimeMs }))
    .sort((a, b) => b.at - a.at)
    .map(({ name }) => name);
}
