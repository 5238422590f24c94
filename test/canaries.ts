/**
 * Secrets that the tests made, and all that the test run printed: at the end of the run the one is searched for in the other.
 * Secrets reach this file's process through a temporary file, since tests run in processes of their own.
 */

import { appendFileSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";

const VARIABLE = "CANARY_FILE";

/** Has the run's output searched for these at its end. */
export function plantCanaries(secrets: Iterable<string>): void {
  const file = process.env[VARIABLE];
  // Short ones would be found by chance.
  const lines = [...secrets].filter((secret) => secret.length >= 16).map((secret) => `${secret}\n`);
  if (file !== undefined && lines.length > 0) appendFileSync(file, lines.join(""));
}

/** Vitest's globalSetup; what it returns is run when all tests are done. */
export function setup(): () => void {
  const file = join(mkdtempSync(join(tmpdir(), "canaries-")), "planted");
  process.env[VARIABLE] = file;
  appendFileSync(file, "");
  const printed: string[] = [];
  for (const stream of [process.stdout, process.stderr]) {
    const write = stream.write.bind(stream) as (...args: unknown[]) => boolean;
    stream.write = (chunk: string | Uint8Array, ...rest: unknown[]) => {
      printed.push(typeof chunk === "string" ? chunk : Buffer.from(chunk).toString());
      return write(chunk, ...rest);
    };
  }
  return () => {
    const planted = new Set(readFileSync(file, "utf8").split("\n").filter(Boolean));
    rmSync(dirname(file), { recursive: true });
    const output = printed.join("");
    const leaked = [...planted].filter((secret) => output.includes(secret)).length;
    if (leaked > 0) {
      process.exitCode = 1;
      throw new Error(`${leaked} of ${planted.size} planted secrets were printed by the test run`);
    }
    console.log(`canaries: none of ${planted.size} planted secrets was printed`);
  };
}
