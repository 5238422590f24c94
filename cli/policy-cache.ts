/**
 * Reads the policy for a command, of a large one the compiled form (shared/config/compiled.ts) that an earlier command left in
 * the user's own cache: five thousand grants take seconds to parse and check, and a fraction of one to read back.
 * The folder and the file must be the user's alone, or they are left alone: who else could write there could answer for the
 * policy. Nothing that goes wrong here is an error; it only takes longer.
 */

import { createHash } from "node:crypto";
import { statSync } from "node:fs";
import { join, resolve } from "node:path";
import { compile, readCompiled, type Source } from "../shared/config/compiled.ts";
import type { BrokerConfig } from "../shared/config/config.ts";
import type { Terminal } from "./command.ts";
import { cacheFolder, isOwn, keepNewest, makeOwn, writeOwn } from "./own-files.ts";

/** About 200 grants, a tenth of a second: what is smaller leaves no files behind. */
const SMALLEST_BYTES = 64 * 1024;
const MOST_ENTRIES = 8;
/** Ours, those half written too; whatever else lies there is not touched. */
const ENTRY = /^[0-9a-f]{64}\.(?:json|[0-9a-f]+\.tmp)$/;

/** @throws ConfigError, as loadConfig. `checked`: not from the cache, since all that is wrong is asked for. */
export async function readPolicy(file: string, terminal: Terminal, how?: "checked"): Promise<BrokerConfig> {
  const folder = isLarge(file) ? policyFolder(terminal) : undefined;
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

/** Where compiled policies are kept; undefined where none are. */
function policyFolder(terminal: Terminal): string | undefined {
  const { environment } = terminal;
  // In CI a run's cache is often kept for the next by way of what a stranger's pull request can fill.
  return environment["ACR_BROKER_NO_CACHE"] || environment["CI"] ? undefined : cacheFolder(terminal);
}

/** Whatever stands in the way is not there. */
function isLarge(file: string): boolean {
  try {
    const found = statSync(file);
    return found.isFile() && found.size >= SMALLEST_BYTES;
  } catch {
    return false;
  }
}

function keep(folder: string, entry: string, content: () => string, terminal: Terminal): void {
  try {
    if (!makeOwn([folder], terminal)) return;
    writeOwn(entry, content(), terminal);
    keepNewest(folder, ENTRY, MOST_ENTRIES);
  } catch {
    // A full disk, a folder that cannot be written: it takes as long the next time.
  }
}
