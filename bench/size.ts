/** The package: each file of the folder that `npm run build` makes, and what is left of it in the ZIP that `s deploy` uploads. */

import { readdirSync, readFileSync, statSync } from "node:fs";
import { join, relative } from "node:path";
import { deflateRawSync } from "node:zlib";

export interface SizeResult {
  readonly of: string;
  readonly file: string;
  readonly bytes: number;
  /** Deflated, as in a ZIP. */
  readonly uploaded: number;
}

export function benchSize(dists: readonly string[]): SizeResult[] {
  return dists.flatMap((of) =>
    readdirSync(of, { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile())
      .map((entry) => join(entry.parentPath, entry.name))
      .map((path) => ({
        of,
        file: relative(of, path),
        bytes: statSync(path).size,
        uploaded: deflateRawSync(readFileSync(path)).length,
      })),
  );
}
