/** The help texts: of the whole, and of one command. */

import type { Command } from "./command.ts";
import type { CommandEntry } from "./commands.ts";

export function generalHelp(commands: Readonly<Record<string, CommandEntry>>): string {
  return `usage: acr-broker COMMAND [OPTIONS]

${columns(Object.entries(commands).map(([name, { summary }]) => [name, summary]))}
acr-broker COMMAND --help says more. Exit codes: 0 yes, 1 no, 2 no answer (wrong usage,
no identity, the broker not reached, or a file that cannot be used).
`;
}

export function commandHelp(name: string, { usage, description, options, examples }: Command): string {
  const rows = Object.entries({ ...options, help: { type: "boolean", help: "this text" } as const }).map(
    ([option, { help, ...facts }]): [string, string] => [
      `--${option}${"value" in facts && facts.value !== undefined ? ` ${facts.value}` : ""}`,
      help,
    ],
  );
  return `usage: acr-broker ${name} ${usage}

${description.trim()}

options
${columns(rows)}
examples
${examples.map((line) => `  ${line}\n`).join("")}`;
}

function columns(rows: readonly (readonly [string, string])[]): string {
  const width = Math.max(...rows.map(([left]) => left.length));
  return rows.map(([left, right]) => `  ${left.padEnd(width)}  ${right}\n`).join("");
}
