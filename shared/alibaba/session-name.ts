/** RoleSessionName: what ActionTrail shows for each push and pull, so it carries the caller. */

import { createHash } from "node:crypto";

/** STS AssumeRole, RoleSessionName: 2 to 64 of `[A-Za-z0-9.@_-]`. */
const LONGEST = 64;

/**
 * The caller's name as STS takes it. Where a character had to be replaced or the end cut off, twelve hex digits of the
 * whole name's SHA-256 follow, so that two callers never share a session name by accident.
 */
export function roleSessionName(caller: string): string {
  const replaced = caller.replace(/[^A-Za-z0-9.@_-]+/g, "-");
  if (replaced === caller && caller.length >= 2 && caller.length <= LONGEST) return caller;
  const suffix = `-${createHash("sha256").update(caller).digest("hex").slice(0, 12)}`;
  return replaced.slice(0, LONGEST - suffix.length) + suffix;
}
