/** Runs a command to its end and says how it ended. A non-zero exit is an answer here, not an error. */
import { spawn } from "node:child_process";

export interface Run {
  /** null: killed, by the time-out. */
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface RunOptions {
  readonly env?: Readonly<Record<string, string>>;
  readonly stdin?: string;
}

const TIMEOUT_MS = 30_000;

/** The child's environment is PATH and what is given: nothing of the developer's own logins. Rejects only when it cannot be started. */
export function run(command: string, args: readonly string[], options: RunOptions = {}): Promise<Run> {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, {
      env: { PATH: process.env["PATH"], LC_ALL: "C", ...options.env },
      timeout: TIMEOUT_MS,
      killSignal: "SIGKILL",
    });
    let stdout = "";
    let stderr = "";
    child.stdout.setEncoding("utf8").on("data", (text: string) => {
      stdout += text;
    });
    child.stderr.setEncoding("utf8").on("data", (text: string) => {
      stderr += text;
    });
    child.on("error", reject);
    child.on("close", (code) => resolve({ code, stdout, stderr }));
    child.stdin.on("error", () => {}); // a client that refuses before reading its input closes it: the exit code tells
    child.stdin.end(options.stdin ?? "");
  });
}

/** As `run`, for commands that must succeed. Throws with what the command said. */
export async function succeed(command: string, args: readonly string[], options: RunOptions = {}): Promise<string> {
  const { code, stdout, stderr } = await run(command, args, options);
  if (code !== 0) throw new Error(`${command} ${args[0]} ended with ${code}: ${stderr}`);
  return stdout;
}
