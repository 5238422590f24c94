/** `acr-broker completion`: a script for a shell, made from the table of commands. */

import { command, EXIT, UsageError } from "../command.ts";
import { COMMANDS } from "../commands.ts";
import { completionScript, SHELLS } from "../completion.ts";

export const completion = command({
  usage: SHELLS.join("|"),
  description: `
Writes a script to standard output with which the shell completes commands, options and their values, and with
exec the command line that follows.

Exit codes: 0 written; 2 wrong usage.`,
  options: {},
  mostPositionals: 1,
  choices: SHELLS,
  examples: [
    'eval "$(acr-broker completion bash)"',
    "acr-broker completion fish > ~/.config/fish/completions/acr-broker.fish",
  ],
  async run({ positionals: [name] }, terminal) {
    const shell = SHELLS.find((one) => one === name);
    if (shell === undefined) throw new UsageError(`which shell? acr-broker completion ${SHELLS.join("|")}`);
    const entries = Object.entries(COMMANDS);
    const commands = await Promise.all(
      entries.map(async ([each, { summary, load }]) => ({ name: each, summary, command: await load() })),
    );
    terminal.out(completionScript(shell, commands));
    return EXIT.ok;
  },
});
