/**
 * Loads a file of the built broker with what V8 made of it at the build, so that a start compiles next to nothing. V8 takes its own
 * cache on trust: it compares version, flags and the source's length, and of another text or a damaged cache it would run
 * something else, or crash. So the build writes down the SHA-256 of source and cache, and a cache is used where both are so now.
 * Anything else is as if it were not there: the source is compiled, as always.
 *
 * That guards against what is stale or broken, and not against whoever can write these files, who can write the code itself.
 */

import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { Script } from "node:vm";

/** By a file's name in the package, the SHA-256 of its bytes. */
export type Digests = Readonly<Record<string, string>>;

/** What a file of the code is: one function, as Node makes one of any CommonJS module. */
export const WRAPPER = ["(function (exports, require, module, __filename, __dirname) {", "\n})"] as const;
type Wrapped = (exports: object, require: (name: string) => unknown, module: object, file: string, dir: string) => void;

export interface Code {
  /** The file's exports; loaded once. */
  load(name: string): unknown;
  /** By name, of what was loaded: the script, and whether V8 took the cache. */
  readonly loaded: ReadonlyMap<string, { readonly script: Script; readonly fromCache: boolean }>;
}

/** The code in `folder`, which gets all other modules from `require`. `onAllCached` is called once, when each file has been loaded that has a cache for this V8. */
export function code(
  folder: string,
  digests: Digests,
  require: (name: string) => unknown,
  onAllCached = () => {},
): Code {
  const cached = new Set(Object.keys(digests).filter((name) => digests[cacheFile(name)] !== undefined));
  const modules = new Map<string, { exports: object }>();
  const loaded = new Map<string, { script: Script; fromCache: boolean }>();
  function load(name: string): object {
    const known = modules.get(name);
    if (known !== undefined) return known.exports;
    const module = { exports: {} };
    modules.set(name, module);
    const filename = join(folder, name);
    const bytes = readFileSync(filename);
    const cachedData = fitting(folder, name, bytes, digests);
    // The build writes ASCII only.
    const script = new Script(bytes.toString("latin1"), { filename, ...(cachedData ? { cachedData } : {}) });
    loaded.set(name, { script, fromCache: cachedData !== undefined && script.cachedDataRejected === false });
    if (cached.delete(name) && cached.size === 0) onAllCached();
    const run = script.runInThisContext() as Wrapped;
    run(
      module.exports,
      (wanted) => (wanted.startsWith("./") ? load(wanted.slice(2)) : require(wanted)),
      module,
      filename,
      folder,
    );
    return module.exports;
  }
  return { load, loaded };
}

/** Where in the package the cache of a file is, for this very V8. */
export function cacheFile(name: string): string {
  return `code-cache/${process.versions.v8}-${process.platform}-${process.arch}/${name}`;
}

function fitting(folder: string, name: string, source: Buffer, digests: Digests): Buffer | undefined {
  const wanted = digests[cacheFile(name)];
  if (wanted === undefined || sha256(source) !== digests[name]) return undefined;
  try {
    const cache = readFileSync(join(folder, cacheFile(name)));
    return sha256(cache) === wanted ? cache : undefined;
  } catch {
    return undefined;
  }
}

export function sha256(bytes: Uint8Array): string {
  return createHash("sha256").update(bytes).digest("hex");
}
