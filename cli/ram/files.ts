/** The documents as files, each as `aliyun ram` takes it and `acr-broker ram --check` reads it. They hold no secret. */

import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { UsageError } from "../command.ts";
import type { Documents } from "./documents.ts";

/** Makes the folder where it is not there; writes over files of these names. Answers their paths. @throws UsageError */
export function writeFiles(folder: string, { functionRole, roles }: Documents): string[] {
  try {
    makeFolder(folder);
    return [functionRole, ...roles].flatMap(({ stem, trust, policy }) => [
      written(join(folder, `${stem}-trust.json`), trust),
      written(join(folder, `${stem}-policy.json`), policy),
    ]);
  } catch (error) {
    throw new UsageError(
      `nothing can be written into ${folder} (${(error as NodeJS.ErrnoException).code}); name another folder`,
    );
  }
}

function makeFolder(folder: string): void {
  try {
    mkdirSync(folder);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
  }
}

function written(path: string, document: object): string {
  writeFileSync(path, `${JSON.stringify(document, null, 2)}\n`);
  return path;
}
