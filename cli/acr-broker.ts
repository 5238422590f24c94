/** `acr-broker`: hands the process to the command line. The one file of cli/ that reaches for clock, environment and streams. */

import { randomBytes } from "node:crypto";
import { readFileSync } from "node:fs";
import packageJson from "../package.json" with { type: "json" };
import { host } from "../shared/client/host.ts";
import { LOADER } from "../shared/config/compiled.ts";
import { printable } from "./colours.ts";
import { EXIT } from "./command.ts";
import { runCommandLine } from "./command-line.ts";
import { hideSecrets } from "./secrets.ts";

const { stdout, stderr, env: environment } = process;

/** https://no-color.org; FORCE_COLOR is Node's and most tools' counterpart. */
function wantsColour(stream: { readonly isTTY?: boolean }): boolean {
  if (environment["NO_COLOR"]) return false;
  return environment["FORCE_COLOR"] ? environment["FORCE_COLOR"] !== "0" : stream.isTTY === true;
}

// `acr-broker … | head`: whoever reads has seen enough.
stdout.on("error", (error: NodeJS.ErrnoException) => process.exit(error.code === "EPIPE" ? process.exitCode : 1));

runCommandLine(process.argv.slice(2), packageJson.version, {
  // Into a pipe or a file it goes as it is: data.
  out: (text) => stdout.write(stdout.isTTY ? printable(text) : text),
  tell: (text) => stderr.write(printable(hideSecrets(text))),
  colour: { out: wantsColour(stdout), tell: wantsColour(stderr) },
  isWatched: stdout.isTTY === true,
  environment,
  readStandardInput: () => readFileSync(0, "utf8"),
  standardInput: () => process.stdin,
  now: () => new Date(),
  outside: host(),
  random: randomBytes,
  userId: process.getuid?.(),
  loader: LOADER,
}).then(
  (code) => {
    process.exitCode = code;
  },
  (error: unknown) => {
    stderr.write(
      hideSecrets(`acr-broker: a defect, please report it: ${error instanceof Error ? error.stack : error}\n`),
    );
    process.exitCode = EXIT.trouble;
  },
);
