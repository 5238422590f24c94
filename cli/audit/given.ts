/** Who was given what, by the log: equal credentials of one caller counted together, so that a year of them has room. */

import type { DecisionLine } from "../../shared/audit/event-schema.ts";
import { principalName } from "../../shared/identity/principal.ts";
import { LONGEST_LIFETIME_SECONDS } from "../../shared/policy/grant.ts";
import { parseScope, type Scope } from "../../shared/policy/scope.ts";
import { UsageError } from "../command.ts";

/** Some hundred megabytes. Each is one caller with one set of rights. */
const MOST_ENTRIES = 200_000;

export interface Given {
  readonly principal: string;
  readonly registry: string;
  readonly scope: readonly string[];
  readonly grants: Set<string>;
  /** How many answers had a credential, new or remembered. */
  credentials: number;
  /** When the first and the last were given. */
  first: Date;
  last: Date;
  /** When the last of them ends. */
  until: Date;
  /** Of the last. */
  requestId: string;
}

/** A credential left, or was about to: what follows in the log says so where it then did not. */
export function wasGiven({ outcome, issued, explain, cache }: DecisionLine): boolean {
  return outcome === "allow" && issued === true && explain !== true && cache !== "renewal";
}

export function callerOf({ issuer, api_key: apiKey, issuer_member: member, subject }: DecisionLine): string {
  const source = issuer === undefined ? { apiKey: apiKey ?? "" } : { issuer };
  return principalName({ source, subject, claims: {}, ...(member === undefined ? {} : { member }) });
}

export function scopesOfLine({ scope }: DecisionLine): Scope[] {
  return scope.flatMap((text) => {
    const read = parseScope(text);
    return "scope" in read ? [read.scope] : [];
  });
}

export function endOf({ time, expires_at: end }: DecisionLine): Date {
  return new Date(end ?? Date.parse(time) + LONGEST_LIFETIME_SECONDS * 1000);
}

export interface Book {
  /** @throws UsageError where there are too many different ones */
  enter(line: DecisionLine): void;
  /** The most recent first. */
  entries(): Given[];
}

export function book(): Book {
  const entries = new Map<string, Given>();
  return {
    enter(line) {
      const principal = callerOf(line);
      const { registry, scope, request_id: requestId } = line;
      const [time, until] = [new Date(line.time), endOf(line)];
      const key = JSON.stringify([principal, registry, ...scope]);
      let entry = entries.get(key);
      if (entry === undefined) {
        if (entries.size >= MOST_ENTRIES) {
          throw new UsageError(
            `over ${MOST_ENTRIES} callers and scopes differ; ask for fewer with --repository, --principal, --since or --until`,
          );
        }
        entry = {
          ...{ principal, registry, scope, grants: new Set<string>(), credentials: 0 },
          ...{ first: time, last: time, until, requestId },
        };
        entries.set(key, entry);
      }
      entry.credentials++;
      for (const { name } of line.grants) entry.grants.add(name);
      if (time < entry.first) entry.first = time;
      if (time >= entry.last) [entry.last, entry.requestId] = [time, requestId];
      if (until > entry.until) entry.until = until;
    },
    entries: () => [...entries.values()].sort((a, b) => b.last.getTime() - a.last.getTime()),
  };
}
