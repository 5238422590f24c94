/** What `npm run dev` prints works when it is pasted, into a shell of its own each. Needs `npm run build`. */

import { execFile } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { afterAll, beforeAll, expect, test } from "vitest";
import { stub } from "../stub.ts";
import { linesToPaste } from "./lines.ts";
import { type Stack, startStack } from "./stack.ts";

const run = promisify(execFile);
const ROOT = fileURLToPath(new URL("../../", import.meta.url));

let stack: Stack;
let home: string;
beforeAll(async () => {
  home = mkdtempSync(join(tmpdir(), "lines-"));
  // test/e2e has the real one.
  stub(
    home,
    "docker",
    'test "$*" = "login -u cr_temp_user --password-stdin $REGISTRY" && test -n "$(cat)" && echo Login Succeeded',
  );
  stack = await startStack({ broker: 0, cloud: 0, issuer: 0 });
});
afterAll(async () => {
  await stack.stop();
  rmSync(home, { recursive: true });
});

test("each line works as it stands", async () => {
  const lines = [...linesToPaste(stack).matchAll(/^ {2}(\S.*)$/gm)].map(([, line = ""]) => line);
  const env = { PATH: `${home}:${process.env["PATH"]}`, HOME: home, REGISTRY: stack.registryHost };
  const said: string[] = [];
  for (const line of lines) said.push((await run("bash", ["-euo", "pipefail", "-c", line], { cwd: ROOT, env })).stdout);
  expect(said).toEqual([
    expect.stringMatching(/^\{"username":"cr_temp_user","password":"/),
    "Login Succeeded\n",
    expect.stringMatching(/^ok {7}url .*\n(?:.*\n)*ok {7}explain /),
    expect.stringMatching(/ auth\.json\n(?:.*\n)*.* config\.json\n/),
    expect.stringContaining('"code":"access_denied"'),
  ]);
});
