/**
 * From the start of `docker-credential-acr-broker get` to its end, with a credential that is kept, as a ratio to a Node of the
 * same run that does nothing. Rounds are interleaved, so that a busy machine slows both alike. Needs `npm run build`.
 */

import { spawnSync } from "node:child_process";
import { createServer } from "node:http";
import { mkdtempSync, rmSync } from "node:fs";
import type { AddressInfo } from "node:net";
import { once } from "node:events";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { type Spread, spread } from "./spread.ts";

const ROUNDS = 31;
const HELPER = fileURLToPath(new URL("../build/docker-credential-acr-broker.cjs", import.meta.url));
const HOST = "acme-registry.cn-hangzhou.cr.aliyuncs.com";

export interface HelperResult {
  readonly what: "node" | "hit";
  readonly milliseconds: Spread;
  readonly ratioToNode: number;
}
