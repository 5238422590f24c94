/** Who was given what: each caller with each set of scopes. */

import { overlaps, type Scope } from "../../shared/policy/scope.ts";
import { onOneLine } from "../colours.ts";
import { EXIT } from "../command.ts";
import { plural } from "../plural.ts";
import { book, callerOf, type Given, scopesOfLine, wasGiven } from "./given.ts";
import { isWithin, type Period, timeText } from "./period.ts";
import { gapOf, isAsked, type Question } from "./question.ts";

export interface Wanted {
  readonly repository?: Scope | undefined;
  /** The whole name, or its beginning and `*`. */
  readonly principal?: string | undefined;
  readonly registry?: string | undefined;
  readonly period: Partial<Period>;
}

export function whoGotWhat({ repository, principal, registry, period }: Wanted): Question {
  const found = book();
  return {
    take(line) {
      if (line.event !== "decision" || !wasGiven(line) || !isWithin(new Date(line.time), period)) return;
      if (!isAsked(registry, line.registry)) return;
      if (principal !== undefined && !isNamed(callerOf(line), principal)) return;
      const isWanted = repository === undefined || scopesOfLine(line).some((scope) => overlaps(scope, repository));
      if (isWanted) found.enter(line);
    },
    answer(counts) {
      const entries = found.entries();
      const isNobody = entries.length === 0;
      return {
        code: isNobody ? EXIT.no : EXIT.ok,
        json: { given: entries.map(givenJson) },
        text: isNobody ? "nobody got anything of it\n" : entries.map(givenText).join(""),
        restsOnAbsence: isNobody,
        gap: gapOf(counts, period),
      };
    },
  };
}

function isNamed(caller: string, wanted: string): boolean {
  return wanted.endsWith("*") ? caller.startsWith(wanted.slice(0, -1)) : caller === wanted;
}

export function givenJson({ grants, credentials, first, last, until, requestId, ...entry }: Given): object {
  return {
    ...entry,
    grants: [...grants].sort(),
    credentials,
    first: first.toISOString(),
    last: last.toISOString(),
    until: until.toISOString(),
    request_id: requestId,
  };
}

/** In quotes where it could be taken for more than a name: what stands behind it is the log's word, not the caller's. */
function nameText(principal: string): string {
  const name = onOneLine(principal);
  return /^[\w:/.@-]+$/.test(name) ? name : JSON.stringify(name);
}

export function givenText({ principal, registry, scope, grants, credentials, first, last, until }: Given): string {
  const when = credentials === 1 ? timeText(last) : `${timeText(first)} to ${timeText(last)}`;
  const what = onOneLine(`${registry} ${scope.join(" ")}`);
  const by = onOneLine([...grants].sort().join(", "));
  return `${nameText(principal)}: ${what}, ${plural(credentials, "credential")}, ${when}, good until ${timeText(until)}, by ${by}\n`;
}
