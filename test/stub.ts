import { chmodSync, writeFileSync } from "node:fs";
import { join } from "node:path";

/** A command of the folder, in the place of a real one that cannot be had here. */
export function stub(folder: string, name: string, lines: string): void {
  const path = join(folder, name);
  writeFileSync(path, `#!/bin/sh\n${lines}\n`);
  chmodSync(path, 0o755);
}

/** What the setups of docs/callers/ call: gives the password that it was given, or fails. */
export const DOCKER_LOGIN =
  '[ "$*" = "login -u cr_temp_user --password-stdin acme-registry.cn-hangzhou.cr.aliyuncs.com" ] || exit 64\ncat';
