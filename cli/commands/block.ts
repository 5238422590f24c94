/** `acr-broker block`: how to shut a caller, a token or a grant out at once. Prints the commands; runs none and writes nothing. */

import { dirname, join } from "node:path";
import { BLOCK_VARIABLE, blocksKey, isOfPolicy } from "../../shared/config/block-places.ts";
import type { BrokerConfig, RedisSettings } from "../../shared/config/config.ts";
import { parseBlock } from "../../shared/policy/blocks.ts";
import { command, EXIT, UsageError } from "../command.ts";
import { readPolicy } from "../policy-cache.ts";
import { CONFIG_OPTION, policyFile } from "../policy-file.ts";

export const block = command({
  usage: "all | issuer NAME | subject ISSUER SUBJECT | token ISSUER JTI | grant NAME | api-key NAME",
  description: `
Checks a block against the policy and prints the commands that put it in force, or lift it: for the set in
Redis and the file of blocks, where the policy has them, else the line for ${BLOCK_VARIABLE}. It runs none.
A subject that ends in * stands for all that begin so. What a block does: docs/configuration.md, blocks.

Exit codes: 0 printed; 1 the policy has nothing of that name; 2 no answer (no block, or the policy cannot be
used).`,
  options: {
    lift: { type: "boolean", help: "the commands that lift the block again" },
    config: CONFIG_OPTION,
  },
  choices: ["all", "issuer", "subject", "token", "grant", "api-key"],
  mostPositionals: 3,
  examples: [
    "acr-broker block subject github 'repo:acme/app:*'",
    "acr-broker block grant web-main --lift",
    "acr-broker block api-key nightly | sh",
  ],
  async run({ options, positionals }, terminal) {
    const entry = positionals.join(" ").trim();
    const parsed = parseBlock(entry);
    if ("problem" in parsed) throw new UsageError(parsed.problem);
    const file = policyFile(options.config, terminal);
    const config = await readPolicy(file, terminal);
    if (parsed.block !== undefined && !isOfPolicy(parsed.block, config)) {
      terminal.tell(`acr-broker: ${file} has nothing of that name, so this would block nothing: ${entry}\n`);
      return EXIT.no;
    }
    const commands = commandsFor(entry, options.lift === true, config, file);
    terminal.out(`${commands.length > 0 ? commands.join("\n") : entry}\n`);
    if (commands.length === 0) terminal.tell(inEnvironment(options.lift === true));
    return EXIT.ok;
  },
});

function commandsFor(entry: string, lift: boolean, { redis, blocks }: BrokerConfig, policy: string): string[] {
  const file = blocks?.file === undefined ? undefined : quoted(join(dirname(policy), blocks.file));
  return [
    ...(redis === undefined ? [] : [inRedis(entry, lift, redis)]),
    ...(file === undefined ? [] : [lift ? outOfFile(entry, file) : `echo ${quoted(entry)} >> ${file}`]),
  ];
}

/** `none` stays, so that the set does not vanish with its last block: a set that is gone may have been lost, and lifts nothing. */
function inRedis(entry: string, lift: boolean, redis: RedisSettings): string {
  const { host, port, tls } = redis;
  const key = quoted(blocksKey(redis));
  const ask = `redis-cli -h ${quoted(host)} -p ${port}${tls === false ? "" : " --tls"}`;
  return lift
    ? `${ask} SADD ${key} none && ${ask} SREM ${key} ${quoted(entry)}`
    : `${ask} SADD ${key} none ${quoted(entry)}`;
}

function outOfFile(entry: string, file: string): string {
  return `{ grep -vxF -e ${quoted(entry)} -e none ${file}; echo none; } > ${file}.new && mv ${file}.new ${file}`;
}

function inEnvironment(lift: boolean): string {
  const what = lift ? "take this line out of" : "add this line to";
  return `acr-broker: the policy has neither redis nor blocks.file: ${what} ${BLOCK_VARIABLE} in the environment of the function or process\n`;
}

/** One word for a shell (POSIX), whatever is in it. */
function quoted(text: string): string {
  return /^[\w.:/@%+,-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`;
}
