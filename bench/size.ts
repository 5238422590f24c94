/** The package as `s deploy` uploads it: the bytes of each file of the folder that `npm run build` makes. */

import { readdirSync, statSync } from "node:fs";
import { join, relative } from "node:path";

export interface SizeResult {
  readonly of: string;
  readonly file: string;
  readonly bytes: number;
}

export function benchSize(dists: readonly string[]): SizeResult[] {
  return dists.flatMap((of) =>
    readdirSync(of, { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile())
      .map((entry) => join(entry.parentPath, entry.name))
      .map((path) => ({ of, file: relative(of, path), bytes: statSync(path).size })),
  );
}
