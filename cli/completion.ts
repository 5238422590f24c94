/**
 * Scripts for shells to complete a command line of acr-broker, made from the table of commands. Each holds the words themselves:
 * pressing Tab starts no process.
 */

import type { Command } from "./command.ts";

export const SHELLS = ["bash", "zsh", "fish"] as const;
export type Shell = (typeof SHELLS)[number];

/** A command with its name and its line in the help. */
export interface Named {
  readonly name: string;
  readonly summary: string;
  readonly command: Command;
}

export function completionScript(shell: Shell, commands: readonly Named[]): string {
  return { bash, zsh, fish }[shell](commands);
}

interface Word {
  readonly name: string;
  readonly help: string;
  /** After it comes a value, of these if they are known, else a file or anything. */
  readonly takesValue: boolean;
  readonly isFile: boolean;
  readonly choices: readonly string[];
}

function optionsOf({ options }: Command): Word[] {
  const all = Object.entries(options).map(([name, { type, value, choices = [], help }]) => ({
    name: `--${name}`,
    help,
    takesValue: type === "string",
    isFile: value === "FILE" || value === "FOLDER",
    choices,
  }));
  return [...all, { name: "--help", help: "what it does", takesValue: false, isFile: false, choices: [] }];
}

/** Names of options that a value follows, with spaces between them. */
function takingValue(command: Command): string {
  return optionsOf(command)
    .filter(({ takesValue }) => takesValue)
    .map(({ name }) => name)
    .join(" ");
}

/** Of `key new` the first word, and what may follow it. */
function firstWords(commands: readonly Named[]): string[] {
  return [...new Set([...commands.map(({ name }) => name.split(" ")[0] as string), "help"])];
}

/** https://www.gnu.org/software/bash/manual/html_node/Programmable-Completion.html; needs no bash-completion package. */
function bash(commands: readonly Named[]): string {
  const cases = commands.map(({ name, command }) => {
    const options = optionsOf(command);
    const values = options
      .filter(({ takesValue }) => takesValue)
      .map(({ name: option, isFile, choices }) => {
        const words = choices.length > 0 ? `COMPREPLY=($(compgen -W "${choices.join(" ")}" -- "$word"))` : "";
        return `        ${option}) ${isFile ? 'COMPREPLY=($(compgen -f -- "$word"))' : words || ":"}; return ;;\n`;
      });
    const argument = command.choices === undefined ? "-f" : `-W "${command.choices.join(" ")}"`;
    return `    "${name}")
      options="${options.map((option) => option.name).join(" ")}" taking=" ${takingValue(command)} " argument=(${argument}) passes=${command.passesOn ?? false}
      case $before in
${values.join("")}      esac ;;
`;
  });
  return `# acr-broker completion bash: source it, or put it into /etc/bash_completion.d
_acr_broker() {
  local word=\${COMP_WORDS[COMP_CWORD]} before=\${COMP_WORDS[COMP_CWORD-1]} name=\${COMP_WORDS[1]} options taking argument passes at first=2
  COMPREPLY=()
  if [ "$COMP_CWORD" = 1 ]; then
    COMPREPLY=($(compgen -W "${firstWords(commands).join(" ")} --help --version" -- "$word"))
    return
  fi
  case $name in
${nested(commands, (word, rest) => `    ${word}) if [ "$COMP_CWORD" = 2 ]; then COMPREPLY=($(compgen -W "${rest.join(" ")}" -- "$word")); return; fi; name="$name \${COMP_WORDS[2]}" first=3 ;;\n`)}    help) COMPREPLY=($(compgen -W "${firstWords(commands).join(" ")}" -- "$word")); return ;;
  esac
  case $name in
${cases.join("")}    *) return ;;
  esac
  if [ "$passes" = true ]; then
    # From the first argument on it is another's command line.
    for ((at = first; at < COMP_CWORD; at++)); do
      case \${COMP_WORDS[at]} in
        --) at=$((at + 1)); _acr_broker_passed "$at"; return ;;
        -*) [[ $taking == *" \${COMP_WORDS[at]} "* ]] && at=$((at + 1)) ;;
        *) _acr_broker_passed "$at"; return ;;
      esac
    done
    argument=(-c)
  fi
  case $word in
    -*) COMPREPLY=($(compgen -W "$options" -- "$word")) ;;
    *) COMPREPLY=($(compgen "\${argument[@]}" -- "$word")) ;;
  esac
}
_acr_broker_passed() {
  if declare -F _command_offset > /dev/null; then _command_offset "$1"; return; fi
  if [ "$COMP_CWORD" = "$1" ]; then COMPREPLY=($(compgen -c -- "\${COMP_WORDS[COMP_CWORD]}")); else COMPREPLY=($(compgen -f -- "\${COMP_WORDS[COMP_CWORD]}")); fi
}
complete -o filenames -F _acr_broker acr-broker
`;
}

/** A line for each first word of commands of two words. */
function nested(commands: readonly Named[], line: (word: string, rest: readonly string[]) => string): string {
  const pairs = commands.map(({ name }) => name.split(" ")).filter(({ length }) => length === 2) as [string, string][];
  const words = [...new Set(pairs.map(([word]) => word))];
  return words
    .map((word) =>
      line(
        word,
        pairs.filter(([first]) => first === word).map(([, second]) => second),
      ),
    )
    .join("");
}

/** https://zsh.sourceforge.io/Doc/Release/Completion-System.html#index-_005farguments */
function zsh(commands: readonly Named[]): string {
  const quoted = (text: string) => `'${text.replaceAll("'", "'\\''")}'`;
  const inBrackets = (text: string) => text.replace(/[[\]\\:]/g, "\\$&");
  const spec = ({ name, help, takesValue, isFile, choices }: Word, multiple: boolean) => {
    const action = isFile ? "_files" : choices.length > 0 ? `(${choices.join(" ")})` : " ";
    return quoted(`${multiple ? "*" : ""}${name}[${inBrackets(help)}]${takesValue ? `:value:${action}` : ""}`);
  };
  const cases = commands.map(({ name, command }) => {
    const specs = optionsOf(command).map((option) =>
      spec(option, command.options[option.name.slice(2)]?.multiple === true),
    );
    const argument = command.choices === undefined ? "_files" : `(${command.choices.join(" ")})`;
    const positional = command.mostPositionals === 0 || command.passesOn ? "" : quoted(`*:argument:${argument}`);
    const passed = command.passesOn ? `_acr_broker_passed ${takingValue(command)} && return; ` : "";
    return `    ${quoted(name)}) ${passed}_arguments ${[...specs, positional].filter(Boolean).join(" ")} ;;\n`;
  });
  const described = commands.map(({ name, summary }) => quoted(`${name.split(" ")[0]}:${summary}`));
  return `#compdef acr-broker
# acr-broker completion zsh: put it as _acr-broker into a folder of $fpath, or source it after compinit
_acr_broker() {
  local name=$words[2]
  local -a known=(${described.join(" ")} 'help:what a command does')
  if (( CURRENT == 2 )); then
    _describe command known
    return
  fi
  case $name in
${nested(commands, (word, rest) => `    ${word}) if (( CURRENT == 3 )); then compadd ${rest.join(" ")}; return; fi; name="$name $words[3]"; shift words; (( CURRENT-- )) ;;\n`)}    help) compadd ${firstWords(commands).join(" ")}; return ;;
  esac
  shift words; (( CURRENT-- ))
  case $name in
${cases.join("")}  esac
}
# From the first argument on it is another's command line; the options that take a value are told.
_acr_broker_passed() {
  local at=2
  while (( at < CURRENT )); do
    case $words[at] in
      --) (( at++ )); break ;;
      -*) (( $@[(Ie)$words[at]] )) && (( at++ )); (( at++ )) ;;
      *) break ;;
    esac
  done
  (( at > CURRENT )) && return 1
  [[ $words[at-1] != -- && $words[at] == -* ]] && return 1
  shift $(( at - 1 )) words; (( CURRENT -= at - 1 ))
  if (( CURRENT == 1 )); then _command_names -e; else _normal; fi
  return 0
}
if [ "$funcstack[1]" = _acr-broker ]; then _acr_broker "$@"; else compdef _acr_broker acr-broker; fi
`;
}

/** https://fishshell.com/docs/current/completions.html */
function fish(commands: readonly Named[]): string {
  const quoted = (text: string) => `'${text.replace(/['\\]/g, "\\$&")}'`;
  const first = `not __fish_seen_subcommand_from ${firstWords(commands).join(" ")}`;
  const lines = commands.flatMap(({ name, summary, command }) => {
    const [word = "", second] = name.split(" ");
    const seen = `__fish_seen_subcommand_from ${word}${second === undefined ? "" : `; and __fish_seen_subcommand_from ${second}`}`;
    return [
      `complete -c acr-broker -n ${quoted(first)} -f -a ${word} -d ${quoted(summary)}`,
      ...(second === undefined
        ? []
        : [
            `complete -c acr-broker -n ${quoted(`__fish_seen_subcommand_from ${word}; and not __fish_seen_subcommand_from ${second}`)} -f -a ${second}`,
          ]),
      ...optionsOf(command).map(({ name: option, help, takesValue, isFile, choices }) => {
        const value = !takesValue
          ? ""
          : isFile
            ? " -r -F"
            : choices.length > 0
              ? ` -x -a ${quoted(choices.join(" "))}`
              : " -x";
        return `complete -c acr-broker -n ${quoted(seen)} -l ${option.slice(2)}${value} -d ${quoted(help)}`;
      }),
      ...(command.choices === undefined
        ? []
        : [`complete -c acr-broker -n ${quoted(seen)} -f -a ${quoted(command.choices.join(" "))}`]),
      ...(command.passesOn
        ? [`complete -c acr-broker -n ${quoted(seen)} -f -a '(__acr_broker_passed ${takingValue(command)})'`]
        : []),
      ...(command.mostPositionals === 0 ? [`complete -c acr-broker -n ${quoted(seen)} -f`] : []),
    ];
  });
  return `# acr-broker completion fish: put it as acr-broker.fish into ~/.config/fish/completions
# From the first argument on it is another's command line; the options that take a value are told.
function __acr_broker_passed
    set -l words (commandline -opc) (commandline -ct)
    set -e words[1 2]
    while set -q words[2]
        switch $words[1]
            case --
                set -e words[1]
                break
            case '-*'
                contains -- $words[1] $argv; and set -e words[1]
                set -e words[1]
            case '*'
                break
        end
    end
    # Still an option of acr-broker itself.
    string match -q -- '-*' $words[1]; and return
    complete -C "$words"
end
complete -c acr-broker -n ${quoted(first)} -f -a help -d 'what a command does'
complete -c acr-broker -n '__fish_seen_subcommand_from help' -f -a ${quoted(firstWords(commands).join(" "))}
${lines.join("\n")}
`;
}
