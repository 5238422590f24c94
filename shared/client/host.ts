/**
 * The world around the SDK: the one file of it that reaches for clock, environment, network, chance, files and processes.
 * What only Node, Deno and Bun have is loaded when it is first needed, so that all else runs in a worker too.
 */

import type { Outside } from "./outside.ts";

export function host(): Outside {
  return {
    fetch: (url, init) => globalThis.fetch(url, init),
    now: () => new Date(),
    monotonicMs: () => performance.now(),
    sleep,
    random: Math.random,
    newNonce: () => crypto.randomUUID(),
    environment,
    readFile,
    run,
  };
}

/** Deno throws for each variable that it was not allowed to read; what cannot be read is not there. */
function environment(name: string): string | undefined {
  const { process } = globalThis as { process?: { env?: Readonly<Record<string, string | undefined>> } };
  try {
    return process?.env?.[name] || undefined;
  } catch {
    return undefined;
  }
}

function sleep(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    if (signal.aborted) return reject(signal.reason);
    const stop = () => {
      clearTimeout(timer);
      reject(signal.reason);
    };
    const timer = setTimeout(() => {
      signal.removeEventListener("abort", stop);
      resolve();
    }, ms);
    signal.addEventListener("abort", stop, { once: true });
  });
}

interface FileModule {
  open(path: string): Promise<{
    read(into: Uint8Array, offset: number, length: number): Promise<{ bytesRead: number }>;
    close(): Promise<void>;
  }>;
}

/** No more of it than a token can be: a file's name may turn out to be a disk's. */
async function readFile(path: string): Promise<string> {
  const file = await (await load<FileModule>("node:fs/promises")).open(path);
  try {
    const bytes = new Uint8Array(LARGEST_TOKEN_BYTES + 1);
    let length = 0;
    for (let more = 1; more > 0 && length < bytes.length; length += more) {
      more = (await file.read(bytes, length, bytes.length - length)).bytesRead;
    }
    if (length > LARGEST_TOKEN_BYTES) throw Object.assign(new Error("the file is too large"), { code: "EFBIG" });
    return new TextDecoder().decode(bytes.subarray(0, length));
  } finally {
    await file.close();
  }
}

interface ProcessModule {
  execFile(
    command: string,
    args: readonly string[],
    options: { signal: AbortSignal; maxBuffer: number; windowsHide: true },
    done: (error: (Error & { code?: unknown }) | null, stdout: string) => void,
  ): void;
}

/** A token is 8 KiB at most. */
const LARGEST_TOKEN_BYTES = 64 * 1024;

/** What the command said on stderr stays there unseen: it may quote what it was given. */
async function run(command: string, args: readonly string[], signal: AbortSignal): Promise<string> {
  const { execFile } = await load<ProcessModule>("node:child_process");
  return new Promise((resolve, reject) => {
    const options = { signal, maxBuffer: LARGEST_TOKEN_BYTES, windowsHide: true } as const;
    execFile(command, args, options, (error, stdout) => {
      if (error === null) return resolve(stdout);
      if (signal.aborted) return reject(signal.reason);
      reject(new Error(error.code === "ENOENT" ? "it is not installed" : `it ended with ${String(error.code)}`));
    });
  });
}

/** By a name that bundlers for other runtimes do not follow. */
async function load<Module>(name: string): Promise<Module> {
  return (await import(/* webpackIgnore: true */ /* @vite-ignore */ name)) as Module;
}
