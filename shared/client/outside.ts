/** All that the SDK needs of the world around it, so that a test can give it another. The real one is in host.ts. */

export interface Outside {
  readonly fetch: (url: string, init: RequestInit) => Promise<Response>;
  readonly now: () => Date;
  /** Never goes back, wherever it began. In milliseconds. */
  readonly monotonicMs: () => number;
  /** Ends early, with the signal's reason, when the signal is aborted. */
  readonly sleep: (ms: number, signal: AbortSignal) => Promise<void>;
  /** From 0 to below 1. */
  readonly random: () => number;
  /** Never the same twice: 16 to 128 of `[A-Za-z0-9_-]`. */
  readonly newNonce: () => string;
  /** An environment variable; undefined where it is not set, or empty. */
  readonly environment: (name: string) => string | undefined;
  /** A text file. @throws where it cannot be read, or the runtime has no files */
  readonly readFile: (path: string) => Promise<string>;
  /** What a command printed. @throws where it failed, or the runtime has no commands */
  readonly run: (command: string, args: readonly string[], signal: AbortSignal) => Promise<string>;
}
