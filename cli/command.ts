/** What a command is: its words for the help, its options, and what it does. The table of them is in commands.ts. */

import type { Outside } from "../shared/client/outside.ts";

/** Exit codes that scripts may rely on. */
export const EXIT = {
  ok: 0,
  /** The question was answered, and the answer is no: denied, a test failed, the policy has problems. */
  no: 1,
  /** There is no answer: wrong usage, or a file that the question rests on cannot be used. */
  trouble: 2,
} as const;

/** All that a command has of the outside. */
export interface Terminal {
  /** What was asked for: standard output. */
  readonly out: (text: string) => void;
  /** Messages to a person: standard error. What looks like a token or key is blotted out. */
  readonly tell: (text: string) => void;
  readonly colour: { readonly out: boolean; readonly tell: boolean };
  /** Whether somebody looks at standard output, and it is not kept or piped on. */
  readonly isWatched: boolean;
  readonly environment: Readonly<Record<string, string | undefined>>;
  readonly readStandardInput: () => string;
  /** The same bit by bit, where it may be larger than memory. */
  readonly standardInput: () => AsyncIterable<Uint8Array>;
  readonly now: () => Date;
  /** For commands that speak to the broker: network, timers and the rest of what the SDK needs. */
  readonly outside: Outside;
  /** That many bytes of a cryptographic source. */
  readonly random: (bytes: number) => Uint8Array;
  /** The user's number, where the system has one; Windows has none. */
  readonly userId?: number | undefined;
  /** Which loader of policies this is, where it is built (shared/config/compiled.ts). */
  readonly loader?: string | undefined;
}

export interface Option {
  readonly type: "string" | "boolean";
  /** May be given more than once. */
  readonly multiple?: boolean;
  /** The value's placeholder in the help: `FILE`. */
  readonly value?: string;
  /** All values that there are, for the shell to complete. */
  readonly choices?: readonly string[];
  readonly help: string;
}

export type Options = Readonly<Record<string, Option>>;

export type Values<O extends Options> = {
  readonly [Name in keyof O]?: O[Name] extends { readonly multiple: true }
    ? readonly string[]
    : O[Name] extends { readonly type: "boolean" }
      ? boolean
      : string;
};

export interface Invocation<O extends Options> {
  readonly options: Values<O>;
  readonly positionals: readonly string[];
}

export interface Command<O extends Options = Options> {
  /** What stands behind the command's name in the usage line. */
  readonly usage: string;
  /** What it does, its output and its exit codes, in plain lines. */
  readonly description: string;
  readonly options: O;
  /** How many arguments it takes beside its options. */
  readonly mostPositionals: number;
  /** All values that its first argument can have, for the shell to complete; left out, it is a file. */
  readonly choices?: readonly string[];
  /** From its first argument on, or behind `--`, nothing is an option of this command: it is another's command line. */
  readonly passesOn?: true;
  /** In place of 1 and 2, where its exit code is that of the command that it runs. */
  readonly ownExitCode?: number;
  /** Lines that work when pasted. */
  readonly examples: readonly string[];
  /** Answers the exit code. @throws UsageError, ConfigError of a policy that cannot be used, AcrBrokerError of the SDK */
  run(invocation: Invocation<O>, terminal: Terminal): number | Promise<number>;
}

/** The same command, with its options' values typed by their names. */
export function command<const O extends Options>(definition: Command<O>): Command {
  return definition as unknown as Command;
}

/** Asked in a way that cannot be answered; the message says what to write. Ends in exit code 2. */
export class UsageError extends Error {
  override readonly name = "UsageError";
}
