/** docs/clients/docker.md does what it says: its lines run as they stand, but for where they install. Needs `npm run build`. */

import { execFile } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import { beforeAll, expect, test } from "vitest";
import { AUDIENCE } from "../broker/harness.ts";
import { blocksOf } from "../markdown.ts";
import { stub } from "../stub.ts";
import { caller, HOSTS } from "./broker.ts";
import { ROOT } from "./run.ts";

const page = readFileSync(join(ROOT, "docs/clients/docker.md"), "utf8");
const lines = blocksOf(page)
  .filter(({ language }) => language === "sh")
  .flatMap(({ text }) => text.trimEnd().split("\n"));
const c = caller();

let home: string;
let environment: Record<string, string>;
beforeAll(async () => {
  home = mkdtempSync(join(c.it.home, "doc-"));
  mkdirSync(join(home, "bin"));
  // Docker asks as its library does: test/e2e has the real one. It fails where it gets no login.
  stub(
    join(home, "bin"),
    "docker",
    `test "$1" = pull && printf %s "\${2%%/*}" | docker-credential-acr-broker get > "$HOME/got"`,
  );
  const PATH = `${join(home, "bin")}:${process.env["PATH"]}`;
  environment = { PATH, HOME: home, ACR_BROKER_TOKEN: await c.it.harness.mint() };
});

const run = promisify(execFile);
async function follow(line: string): Promise<string> {
  const here = line.replaceAll(AUDIENCE, c.it.harness.url).replaceAll("/usr/local/bin", join(home, "bin"));
  return (await run("bash", ["-euo", "pipefail", "-c", here], { cwd: ROOT, env: environment })).stdout;
}

// In the order of the page, but for the last, since --remove stands before what shows a login.
const remove = lines.filter((line) => line.includes("--remove"));
const rest = lines.filter((line) => !line.includes("--remove"));
test.each(rest)("%s", async (line) => {
  const said = await follow(line);
  if (line.startsWith("docker pull")) {
    expect(JSON.parse(readFileSync(join(home, "got"), "utf8"))).toMatchObject({
      ServerURL: HOSTS[0],
      Username: "cr_temp_user",
    });
  }
  if (line.startsWith("echo")) expect(said).toBe("cr_temp_user\n");
});

test("helper.json is as the page shows it", () => {
  const [shown] = blocksOf(page).filter(({ language }) => language === "json");
  const written = readFileSync(join(home, ".config/acr-token-broker/helper.json"), "utf8");
  expect(JSON.parse(written.replaceAll(c.it.harness.url, AUDIENCE))).toEqual(JSON.parse(shown?.text ?? ""));
});

test.each(remove)("%s", async (line) => {
  await follow(line);
  expect(JSON.parse(readFileSync(join(home, ".docker/config.json"), "utf8"))).toEqual({});
});
