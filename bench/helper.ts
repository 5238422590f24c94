/**
 * `docker-credential-acr-broker get` from its start to its end where the credential is kept, as a ratio to a Node of the same run
 * that does nothing. Rounds are interleaved, so that a busy machine slows both alike. The helper is the built one: `npm run build`
 * first. Where its broker should be nothing listens: a helper that asked it would fail.
 */

import { spawnSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { digestOfAll } from "../cli/credential-helper/asked-with.ts";
import { keep, keptFolder, makeKeptFolder } from "../cli/credential-helper/kept.ts";
import { type Spread, spread } from "./spread.ts";

const HELPER = fileURLToPath(new URL("../build/docker-credential-acr-broker.cjs", import.meta.url));
const HOST = "acme-registry.cn-hangzhou.cr.aliyuncs.com";

export interface HelperResult {
  readonly node: Spread;
  readonly hit: Spread;
  readonly ratioToNode: number;
}

export function benchHelper(rounds: number): HelperResult {
  const home = mkdtempSync(join(tmpdir(), "acr-broker-bench-"));
  try {
    return measured(home, rounds);
  } finally {
    rmSync(home, { recursive: true });
  }
}

function measured(home: string, rounds: number): HelperResult {
  const environment = {
    HOME: home,
    ACR_BROKER_URL: "http://127.0.0.1:2",
    // As long as a job's token is, which is read and hashed each time.
    ACR_BROKER_TOKEN: "x".repeat(1_800),
    ACR_BROKER_SCOPE: "repository:web/app:pull,push",
  };
  const user = { environment, userId: process.getuid?.(), now: () => new Date(), random: randomBytes };
  const [folder, digest] = [keptFolder(user), digestOfAll(HOST, undefined, user)];
  if (folder === undefined || digest === undefined || !makeKeptFolder(folder, user)) throw new Error("nothing is kept");
  const keptAt = Date.now();
  const secret = "s".repeat(600);
  keep(folder, digest, { host: HOST, username: "cr_temp_user", secret, keptAt, usableUntil: keptAt + 1_200_000 }, user);

  const times = { node: [] as number[], hit: [] as number[] };
  for (let round = 0; round < rounds; round++) {
    times.node.push(run(["-e", "0"], "", environment));
    times.hit.push(run([HELPER, "get"], secret, environment));
  }
  const [node, hit] = [spread(times.node), spread(times.hit)];
  return { node, hit, ratioToNode: hit.median / node.median };
}

/** Milliseconds of a Node process that must succeed, with this in its answer. */
function run(args: readonly string[], says: string, env: Readonly<Record<string, string>>): number {
  const begun = process.hrtime.bigint();
  const { status, stdout } = spawnSync(process.execPath, args, { env, input: HOST, encoding: "utf8" });
  const milliseconds = Number(process.hrtime.bigint() - begun) / 1e6;
  if (status !== 0 || !stdout.includes(says)) throw new Error(`ended with ${status}: ${stdout}`);
  return milliseconds;
}
