/** Days and times as `acr-broker audit` is asked about them: UTC, since the log is. */

import { UsageError } from "../command.ts";

/** From the first on, up to the second and without it. */
export interface Period {
  readonly from: Date;
  readonly to: Date;
}

export const DAY_MS = 86_400_000;

/** A day, or the instant of a date and time with its zone. @throws UsageError */
export function periodOf(text: string, option: string): Period {
  const isDay = /^\d{4}-\d\d-\d\d$/.test(text);
  const isInstant = /^\d{4}-\d\d-\d\dT\d\d:\d\d(?::\d\d(?:\.\d{1,3})?)?(?:Z|[+-]\d\d:\d\d)$/.test(text);
  const from = new Date(isDay ? `${text}T00:00:00Z` : text);
  // 30 February becomes a day of March, or nothing.
  const day = new Date(`${text.slice(0, 10)}T00:00:00Z`);
  const isThere = !Number.isNaN(day.getTime()) && day.toISOString().startsWith(text.slice(0, 10));
  if (!(isDay || isInstant) || !isThere || Number.isNaN(from.getTime())) {
    throw new UsageError(
      `--${option} is a day, 2026-11-24, or a time with its zone, 2026-11-24T09:30:00Z; days are UTC`,
    );
  }
  return { from, to: new Date(from.getTime() + (isDay ? DAY_MS : 1)) };
}

export function isWithin(time: Date, { from, to }: Partial<Period>): boolean {
  return (from === undefined || time >= from) && (to === undefined || time < to);
}

/** To the second: `2026-11-24T09:30:00Z`. */
export function timeText(time: Date): string {
  return time.toISOString().replace(/\.\d+Z$/, "Z");
}
