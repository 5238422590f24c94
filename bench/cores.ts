/**
 * Two cores, so that what is measured and what measures do not take time from each other: the server has one to itself; the
 * load generator, the cloud and the issuer share the other. Without `taskset`, or with one core, nothing is pinned, and the
 * results say so.
 */

import { spawnSync } from "node:child_process";

/** What a server runs on. */
export interface Place {
  /** The Node, by its path. */
  readonly node: string;
  /** The core that it is pinned to; undefined where it is not. */
  readonly core: number | undefined;
}

/** Where it does not matter: this Node, on any core. */
export const ANYWHERE: Place = { node: process.execPath, core: undefined };

/** Pins this process, and all that it starts from now on, to a core beside the one that is returned for servers; undefined where it cannot. */
export function pinBeside(): number | undefined {
  const own = ["-a", "-c", "-p"];
  const { status, stdout } = spawnSync("taskset", [...own, String(process.pid)], { encoding: "utf8" });
  if (status !== 0) return undefined;
  const cores = listed(/: ([\d,-]+)$/m.exec(stdout)?.[1] ?? "");
  const [server, client] = cores;
  if (server === undefined || client === undefined) return undefined;
  return spawnSync("taskset", [...own, String(client), String(process.pid)]).status === 0 ? server : undefined;
}

/** The numbers of a list as taskset writes it: `0,2-4`. */
function listed(list: string): number[] {
  return list.split(",").flatMap((part) => {
    const [from = Number.NaN, to = from] = part.split("-").map(Number);
    return Array.from({ length: Number.isNaN(from) ? 0 : to - from + 1 }, (_, index) => from + index);
  });
}
