/** Runs a command as if it had been started in our place: its streams, its signals, its exit code. */

import { type ChildProcess, spawn } from "node:child_process";
import { constants } from "node:os";
import { isatty } from "node:tty";

/** As env(1), nohup(1) and docker run have them. */
export const CANNOT_EXECUTE = 126;
export const NOT_FOUND = 127;

const FORWARDED = ["SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT"] as const;
/** A terminal sends these to the child as well; twice would be once too often. */
const FROM_TERMINAL: readonly NodeJS.Signals[] = ["SIGINT", "SIGQUIT"];

export interface Exit {
  readonly code: number;
  /** Why it did not start: the system's code. */
  readonly failure?: string;
}

/** Sees to the signals first, then prepares and starts. `ended` is called whatever happens, but for SIGKILL, and maybe twice. */
export async function runInPlace(
  prepare: () => {
    readonly command: string;
    readonly args: readonly string[];
    readonly environment: NodeJS.ProcessEnv;
  },
  ended: () => void,
): Promise<Exit> {
  let child: ChildProcess | undefined;
  const listeners = FORWARDED.map((signal) => {
    const listener = () => {
      if (!(isatty(0) && FROM_TERMINAL.includes(signal))) child?.kill(signal);
    };
    return [signal, listener] as const;
  });
  for (const [signal, listener] of listeners) process.on(signal, listener);
  // Where something here goes wrong, too.
  process.once("exit", ended);
  try {
    const { command, args, environment } = prepare();
    return await new Promise<Exit>((resolve) => {
      const notStarted = ({ code: failure = "unknown" }: NodeJS.ErrnoException) =>
        resolve({ code: failure === "ENOENT" ? NOT_FOUND : CANNOT_EXECUTE, failure });
      try {
        child = spawn(command, args, { stdio: "inherit", env: environment });
      } catch (error) {
        // A command line that is too long, for one.
        return notStarted(error as NodeJS.ErrnoException);
      }
      child.once("error", notStarted);
      child.once("exit", (code, signal) => resolve({ code: code ?? 128 + constants.signals[signal ?? "SIGKILL"] }));
    });
  } finally {
    ended();
    process.off("exit", ended);
    for (const [signal, listener] of listeners) process.off(signal, listener);
  }
}
