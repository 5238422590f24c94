/** From arguments to a command: finds it in the table, reads its options strictly, shows help, turns errors into exit codes. */

import { parseArgs } from "node:util";
import { nearName } from "../shared/near-name.ts";
import {
  type Command,
  EXIT,
  type ExitCode,
  type Invocation,
  type Options,
  type Terminal,
  UsageError,
  type Values,
} from "./command.ts";
import { COMMANDS } from "./commands.ts";
import { commandHelp, generalHelp } from "./help.ts";

/** Never throws but for a defect. */
export async function runCommandLine(args: readonly string[], version: string, terminal: Terminal): Promise<ExitCode> {
  try {
    return await dispatch(args, version, terminal);
  } catch (error) {
    if (error instanceof UsageError) {
      terminal.tell(`acr-broker: ${error.message}\n`);
      return EXIT.trouble;
    }
    // By name: importing the class would load the configuration's code for every command.
    if (error instanceof Error && error.name === "ConfigError") {
      terminal.tell(`${error.message}\n`);
      return EXIT.trouble;
    }
    throw error;
  }
}

async function dispatch(args: readonly string[], version: string, terminal: Terminal): Promise<ExitCode> {
  const [first] = args;
  if (first === undefined) {
    terminal.tell(generalHelp(COMMANDS));
    return EXIT.trouble;
  }
  if (first === "--version" || first === "version") {
    terminal.out(`acr-broker ${version}\n`);
    return EXIT.ok;
  }
  const wantsHelp = first === "help" || first === "--help" || first === "-h";
  const words = wantsHelp ? args.slice(1) : args;
  if (words.length === 0) {
    terminal.out(generalHelp(COMMANDS));
    return EXIT.ok;
  }
  const { name, rest } = findCommand(words);
  const command = await COMMANDS[name]?.load();
  if (command === undefined) throw new Error(`no command ${name}`);
  if (wantsHelp || rest.slice(0, endOfOptions(rest)).some((word) => word === "--help" || word === "-h")) {
    terminal.out(commandHelp(name, command));
    return EXIT.ok;
  }
  return command.run(readInvocation(name, command, rest), terminal);
}

function endOfOptions(args: readonly string[]): number {
  const terminator = args.indexOf("--");
  return terminator === -1 ? args.length : terminator;
}

/** The command named by the first two words, else by the first. */
function findCommand(words: readonly string[]): { name: string; rest: readonly string[] } {
  for (const count of [2, 1]) {
    const name = words.slice(0, count).join(" ");
    if (words.length >= count && Object.hasOwn(COMMANDS, name)) return { name, rest: words.slice(count) };
  }
  const [wrong = ""] = words;
  const names = Object.keys(COMMANDS);
  // `key` alone: say what stands behind it.
  const longer = names.filter((name) => name.startsWith(`${wrong} `));
  if (longer.length > 0) throw new UsageError(`${wrong} what? there is ${longer.join(", ")}`);
  const near = nearName(wrong, names);
  throw new UsageError(
    `there is no command ${JSON.stringify(wrong)}; ${near === undefined ? `there is ${names.join(", ")}` : `did you mean ${near}?`}`,
  );
}

/** Stricter than `parseArgs` and with more helpful words: nothing unknown, nothing twice, no option taken for a value. */
function readInvocation(name: string, command: Command, args: readonly string[]): Invocation<Options> {
  const known = Object.keys(command.options);
  const { tokens } = parseArgs({
    args: [...args],
    options: Object.fromEntries(known.map((option) => [option, { type: typeOf(command, option) }])),
    strict: false,
    allowPositionals: true,
    tokens: true,
  });
  const options: Record<string, string | boolean | string[]> = {};
  const positionals: string[] = [];
  const help = `see acr-broker ${name} --help`;
  for (const token of tokens) {
    if (token.kind === "positional") positionals.push(token.value);
    if (token.kind !== "option") continue;
    const option = Object.hasOwn(command.options, token.name) ? command.options[token.name] : undefined;
    if (option === undefined) {
      const near = nearName(token.name, known);
      throw new UsageError(
        `${name} has no option ${token.rawName}; ${near === undefined ? help : `did you mean --${near}?`}`,
      );
    }
    if (option.type === "boolean") {
      if (token.value !== undefined) throw new UsageError(`${token.rawName} takes no value; ${help}`);
      options[token.name] = true;
      continue;
    }
    // A lone `-` is standard input; `--config --json` is a forgotten value.
    if (token.value === undefined || (!token.inlineValue && /^-./.test(token.value))) {
      throw new UsageError(`${token.rawName} needs a value: ${token.rawName} ${option.value ?? "VALUE"}`);
    }
    const earlier = options[token.name];
    if (option.multiple === true) options[token.name] = [...((earlier as string[] | undefined) ?? []), token.value];
    else if (earlier !== undefined) throw new UsageError(`${token.rawName} stands there twice; give it once`);
    else options[token.name] = token.value;
  }
  if (positionals.length > command.mostPositionals) {
    throw new UsageError(
      `${name} has no use for ${JSON.stringify(positionals[command.mostPositionals])}; usage: acr-broker ${name} ${command.usage}`,
    );
  }
  // The types of the values are the command's own to know; see `command`.
  return { options: options as Values<Options>, positionals };
}

function typeOf(command: Command, option: string): "string" | "boolean" {
  return command.options[option]?.type ?? "boolean";
}
