/** From arguments to a command: finds it in the table, reads its options strictly, shows help, turns errors into exit codes. */

import { parseArgs } from "node:util";
import { nearName } from "../shared/near-name.ts";
import { brokerErrorText, isBrokerError } from "./broker-error.ts";
import {
  type Command,
  EXIT,
  type Invocation,
  type Options,
  type Terminal,
  UsageError,
  type Values,
} from "./command.ts";
import { COMMANDS } from "./commands.ts";
import { commandHelp, generalHelp } from "./help.ts";
import { NO_ARGUMENT } from "./secrets.ts";

/** Answers the exit code. Never throws but for a defect. */
export async function runCommandLine(args: readonly string[], version: string, terminal: Terminal): Promise<number> {
  try {
    return await dispatch(args, version, terminal);
  } catch (error) {
    return failed(error, terminal);
  }
}

/** Says what went wrong, and answers the exit code. Classes are told by their names: importing them loads what most commands never need. */
function failed(error: unknown, { tell }: Terminal): number {
  if (error instanceof UsageError) {
    tell(`acr-broker: ${error.message}\n`);
    return EXIT.trouble;
  }
  if (!(error instanceof Error)) throw error;
  if (error.name === "ConfigError") {
    tell(`${error.message}\n`);
    return EXIT.trouble;
  }
  if (!isBrokerError(error)) throw error;
  tell(brokerErrorText(error));
  return error.name === "RefusedError" ? EXIT.no : EXIT.trouble;
}

async function dispatch(args: readonly string[], version: string, terminal: Terminal): Promise<number> {
  const [first] = args;
  if (first === undefined) {
    terminal.tell(generalHelp(COMMANDS));
    return EXIT.trouble;
  }
  if (VERSION.has(first)) {
    terminal.out(`acr-broker ${version}\n`);
    return EXIT.ok;
  }
  const wantsHelp = first === "help" || first === "--help" || first === "-h";
  const words = wantsHelp ? args.slice(1) : args;
  if (words.length === 0) {
    terminal.out(generalHelp(COMMANDS));
    return EXIT.ok;
  }
  const { name, rest } = findCommand(words, wantsHelp);
  const command = await COMMANDS[name]?.load();
  if (command === undefined) throw new Error(`no command ${name}`);
  const end = endOfOptions(command, rest);
  const own = rest.slice(0, end);
  if (wantsHelp || own.some(isHelp)) {
    terminal.out(commandHelp(name, command));
    return EXIT.ok;
  }
  try {
    const { options, positionals } = readInvocation(name, command, own);
    const more = rest.slice(rest[end] === "--" ? end + 1 : end);
    return await command.run(
      { options, positionals: checkedCount(name, command, [...positionals, ...more]) },
      terminal,
    );
  } catch (error) {
    const code = failed(error, terminal);
    return command.ownExitCode ?? code;
  }
}

const isHelp = (word: string) => word === "--help" || word === "-h";

/** Where `--` stands, or the first argument of a command that passes on what follows. */
function endOfOptions(command: Command, args: readonly string[]): number {
  for (let at = 0; at < args.length; at++) {
    const word = args[at] as string;
    if (word === "--") return at;
    if (!word.startsWith("-") || word === "-") {
      if (command.passesOn === true) return at;
      continue;
    }
    // Its value may look like anything: `--scope=…` has it with it.
    const name = word.slice(2);
    if (command.passesOn === true && Object.hasOwn(command.options, name) && typeOf(command, name) === "string") at++;
  }
  return args.length;
}

const VERSION: ReadonlySet<string> = new Set(["version", "--version", "-v", "-V"]);

/** The command named by the first two words, else by the first. For help the beginning of one is enough, where it is the only one. */
function findCommand(words: readonly string[], wantsHelp: boolean): { name: string; rest: readonly string[] } {
  for (const count of [2, 1]) {
    const name = words.slice(0, count).join(" ");
    if (words.length >= count && Object.hasOwn(COMMANDS, name)) return { name, rest: words.slice(count) };
  }
  const [wrong = ""] = words;
  const names = Object.keys(COMMANDS);
  // `key` alone: say what stands behind it.
  const longer = names.filter((name) => name.startsWith(`${wrong} `));
  const [only, ...others] = longer;
  if (only !== undefined && others.length === 0 && (wantsHelp || words.some(isHelp)))
    return { name: only, rest: ["--help"] };
  if (longer.length > 0) throw new UsageError(`${wrong} what? there is ${longer.join(", ")}`);
  if (wrong.startsWith("-")) {
    const near = nearName(wrong, ["--help", "--version"]);
    throw new UsageError(
      near === undefined ? `options stand behind a command: acr-broker COMMAND ${wrong}` : `did you mean ${near}?`,
    );
  }
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
      if (SECRET_OPTION.test(token.name)) throw new UsageError(`${token.rawName} is no option: ${NO_ARGUMENT}`);
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
  // The types of the values are the command's own to know; see `command`.
  return { options: options as Values<Options>, positionals };
}

function checkedCount(name: string, command: Command, positionals: readonly string[]): readonly string[] {
  if (positionals.length <= command.mostPositionals) return positionals;
  throw new UsageError(
    `${name} has no use for ${JSON.stringify(positionals[command.mostPositionals])}; usage: acr-broker ${name} ${command.usage}`,
  );
}

/** What people look for first. */
const SECRET_OPTION = /^(?:id-?)?(?:token|password|api-?key|identity|key)$/i;

function typeOf(command: Command, option: string): "string" | "boolean" {
  return command.options[option]?.type ?? "boolean";
}
