/** `acr-broker block`: its lines do, in a real shell and a real Redis, what they say; and a slip in a name is told. */

import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { haveTools } from "../e2e/tools.ts";
import { startRedisServer } from "../store/redis-server.ts";
import { acrBroker, type Ran } from "./run.ts";

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "it's blocked "));
});
afterAll(() => rmSync(folder, { recursive: true }));

/** The command, for a policy with `more` in it. */
function block(args: readonly string[], more = ""): Ran {
  const example = readFileSync(new URL("../../broker.yaml", import.meta.url), "utf8");
  const file = join(folder, "broker.yaml");
  writeFileSync(file, `${example}\n${more}`);
  return acrBroker(["block", ...args, "--config", file]);
}
const shell = (line: string) => execFileSync("sh", ["-euc", line], { encoding: "utf8" });

const ODD = "repo:acme/it's $HOME; `x` \\ \"*";

test("the lines for the file put a block in and take it out, whatever is in it", () => {
  const more = "blocks: { file: ./blocks.txt }\n";
  const list = join(folder, "blocks.txt");
  for (const args of [
    ["subject", "github", ODD],
    ["issuer", "github"],
  ]) {
    shell(block(args, more).out);
  }
  expect(readFileSync(list, "utf8")).toBe(`subject github ${ODD}\nissuer github\n`);
  shell(block(["subject", "github", ODD, "--lift"], more).out);
  expect(readFileSync(list, "utf8")).toBe("issuer github\nnone\n");
  shell(block(["issuer", "github", "--lift"], more).out);
  expect(readFileSync(list, "utf8")).toBe("none\n");
});

test.skipIf(!haveTools(["redis-server"]))("the lines for Redis, too, and the set stays", async () => {
  const server = await startRedisServer();
  const more = `redis: { host: 127.0.0.1, port: ${server.port}, tls: false, key_prefix: mine }\n`;
  shell(block(["subject", "github", ODD], more).out);
  expect((await server.admin.smembers("mine:blocks")).sort()).toEqual(["none", `subject github ${ODD}`]);
  shell(block(["subject", "github", ODD, "--lift"], more).out);
  expect(await server.admin.smembers("mine:blocks")).toEqual(["none"]);
  await server.close();
});

test("over TLS it says so", () => {
  expect(block(["all"], "redis: { host: r.example.com }\n").out).toBe(
    "redis-cli -h r.example.com -p 6379 --tls SADD acr-token-broker:blocks none all\n",
  );
});

test("with neither it is the line for the environment", () => {
  const { code, out, told } = block(["all"]);
  expect([code, out]).toEqual([0, "all\n"]);
  expect(told).toContain("add this line to ACR_BROKER_BLOCK");
});

test.each([
  [["issuer", "gihtub"], 1, "has nothing of that name, so this would block nothing: issuer gihtub"],
  [["grant", "no-such"], 1, "has nothing of that name"],
  [["isuer", "github"], 2, "is no block; write all, none, issuer NAME"],
  [[], 2, "is no block"],
])("%j is refused", (args, code, why) => {
  const ran = block(args);
  expect([ran.code, ran.out]).toEqual([code, ""]);
  expect(ran.told).toContain(why);
});
