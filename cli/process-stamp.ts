/**
 * Which process left something behind, so that another can tell whether it still runs: by its number and the time it began,
 * since numbers are used again, and by where that number means anything.
 */

import { readFileSync, readlinkSync } from "node:fs";
import { hostname } from "node:os";

/** In one line, to be written into a file. */
export function processStamp(pid: number = process.pid): string {
  return `${pid} ${startOf(pid)} ${place()}`;
}

/** `unknown`: of another machine or container, or on a system that does not say when a process began. */
export function ownerOf(stamp: string): "runs" | "gone" | "unknown" {
  const [, pid, start, where] = /^([1-9]\d{0,9}) (\S+) (\S+)$/.exec(stamp.trim()) ?? [];
  if (pid === undefined || where !== place()) return "unknown";
  if (!exists(Number(pid))) return "gone";
  const now = startOf(Number(pid));
  if (now === "-" || start === "-") return "unknown";
  return now === start ? "runs" : "gone";
}

function exists(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    // Another user's is one that runs.
    return (error as NodeJS.ErrnoException).code === "EPERM";
  }
}

/** Clock ticks from the machine's start: field 22 of proc_pid_stat(5). The second field has spaces and brackets in it. */
function startOf(pid: number): string {
  const stat = textOf(() => readFileSync(`/proc/${pid}/stat`, "latin1"));
  return stat.slice(stat.lastIndexOf(")") + 2).split(" ")[19] ?? "-";
}

/** Machine, its start, and namespace of process numbers. */
function place(): string {
  const boot = textOf(() => readFileSync("/proc/sys/kernel/random/boot_id", "latin1")).trim();
  return encodeURIComponent([hostname(), boot, textOf(() => readlinkSync("/proc/self/ns/pid"))].join("/"));
}

function textOf(read: () => string): string {
  try {
    return read();
  } catch {
    return "";
  }
}
