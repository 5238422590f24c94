/** `acr-broker logout`: takes out again what `login` wrote. */

import { command, EXIT } from "../command.ts";
import { AUTH_FILE_OPTIONS, authFileOf } from "../docker/auth-file.ts";
import { removeLogins } from "../docker/logins.ts";
import { JSON_OPTION } from "../policy-file.ts";

export const logout = command({
  usage: "[--endpoint HOST]... [--podman | --authfile FILE]",
  description: `
Takes out of docker's config.json what acr-broker login has written there, and nothing else: what somebody has
written over it since stays. Asks nobody: the credential itself lives until it expires, since the registry
cannot take one back.

Exit codes: 0 nothing of it is left; 1 an entry is another's now; 2 wrong usage, or a file that is no docker config.`,
  options: {
    endpoint: { type: "string", multiple: true, value: "HOST", help: "only of this host; may be given again" },
    ...AUTH_FILE_OPTIONS,
    json: JSON_OPTION,
  },
  mostPositionals: 0,
  examples: ["acr-broker logout", "acr-broker logout --podman"],
  async run({ options }, terminal) {
    const { file } = authFileOf(options, terminal);
    const { removed, left } = await removeLogins(file, terminal, options.endpoint);
    if (options.json === true) terminal.out(`${JSON.stringify({ file, removed, left })}\n`);
    else {
      terminal.tell(`${removed.length === 0 ? "nothing to remove" : `removed ${removed.join(", ")}`} in ${file}\n`);
      for (const host of left)
        terminal.tell(`${host} has been written over since, and is left: docker logout ${host}\n`);
    }
    return left.length === 0 ? EXIT.ok : EXIT.no;
  },
});
