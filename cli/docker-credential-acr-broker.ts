/** `docker-credential-acr-broker`: hands the process to the helper's protocol. Reaches for clock, environment and streams, as acr-broker.ts does. */

import { randomBytes } from "node:crypto";
import { readFileSync } from "node:fs";
import packageJson from "../package.json" with { type: "json" };
import { host } from "../shared/client/host.ts";
import { printable } from "./colours.ts";
import { serve } from "./credential-helper/serve.ts";
import { hideSecrets } from "./secrets.ts";

const { stdout, stderr } = process;

serve(process.argv.slice(2), packageJson.version, {
  environment: process.env,
  readStandardInput,
  now: () => new Date(),
  outside: host(),
  random: randomBytes,
  userId: process.getuid?.(),
}).then(
  ({ code, out, told = "" }) => {
    stderr.write(printable(hideSecrets(told)));
    // A secret is what it was asked for; a reason has none to show.
    stdout.write(code === 0 ? out : printable(hideSecrets(out)));
    process.exitCode = code;
  },
  (error: unknown) => {
    const told = `docker-credential-acr-broker: a defect, please report it: ${error instanceof Error ? error.stack : error}\n`;
    stderr.write(hideSecrets(told));
    process.exitCode = 1;
  },
);

/** Nothing, where there is none. */
function readStandardInput(): string {
  try {
    return readFileSync(0, "utf8");
  } catch {
    return "";
  }
}
