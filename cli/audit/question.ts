/** What the log is asked, and how an answer stands that may rest on what is not in it. */

import { type AuditLine, type Counts, isIncomplete } from "./lines.ts";
import { type Period, timeText } from "./period.ts";

export interface Answer {
  readonly code: number;
  readonly json: object;
  readonly text: string;
  /** It rests on what is not in the log, so that nothing may be missing there. */
  readonly restsOnAbsence: boolean;
  /** Why the log does not reach as far as the question, and what to do. */
  readonly gap?: string | undefined;
}

/** Told each line, asked in the end. */
export interface Question {
  readonly take: (line: AuditLine) => void;
  readonly answer: (counts: Counts) => Answer;
}

/** Why nobody should rely on the answer; undefined where one may. */
export function doubtOf({ restsOnAbsence, gap }: Answer, counts: Counts): string | undefined {
  if (!restsOnAbsence) return undefined;
  return (
    gap ?? (isIncomplete(counts) ? "lines that could not be read may say otherwise; give the files whole" : undefined)
  );
}

/** What of the period is not in the log, going by its first and last event. */
export function gapOf({ first, last }: Counts, { from, to }: Partial<Period>): string | undefined {
  if (first !== undefined && from !== undefined && first > from) {
    return `the log begins ${timeText(first)}, and it would have to begin ${timeText(from)}; name older files too`;
  }
  if (last !== undefined && to !== undefined && last < to) {
    return `the log ends ${timeText(last)}, and it would have to end ${timeText(to)}; name newer files too`;
  }
  return undefined;
}

/** Whether the registry is the one asked about. */
export function isAsked(asked: string | undefined, name: string): boolean {
  return asked === undefined || asked === name;
}
