/**
 * Limits of a grant or denial that speak of the request and not of who is asking: where it comes from, and when. They only
 * ever narrow: an address is no identity, and neither is the time of day. Pure: both stand in the principal.
 */

import { networks } from "../address.ts";
import type { ClaimValue } from "./condition.ts";

export type Limit = NetworkLimit | TimeLimit;

export interface NetworkLimit {
  readonly kind: "network";
  /** IPv4 and IPv6 networks, checked; never empty. */
  readonly cidrs: readonly string[];
}

/** All that is there must hold; never empty. */
export interface TimeLimit {
  readonly kind: "time";
  /** Both included. */
  readonly notBefore?: Date;
  readonly notAfter?: Date;
  /** Of the week, by the clock of `zone`. Hours past midnight belong to the day on which they began. */
  readonly days?: readonly Day[];
  /** Minutes since midnight by the clock of `zone`, the end not included; an end before the beginning is on the next day. */
  readonly hours?: { readonly from: number; readonly to: number };
  /** IANA time zone: https://www.iana.org/time-zones. Never absent where days or hours are there. */
  readonly zone?: string;
}

export const DAYS = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"] as const;
export type Day = (typeof DAYS)[number];

/** Where and when a request is made. */
export interface Circumstances {
  /** In normal form; absent where it is not known for certain. */
  readonly address?: string | undefined;
  readonly time?: Date | undefined;
}

/** Whether the limit is kept. What is not known is not within any. */
export function keeps(limit: Limit, { address, time }: Circumstances): boolean {
  if (limit.kind === "network") return address !== undefined && networks(limit.cidrs).includes(address);
  return time !== undefined && isWithin(limit, time);
}

function isWithin({ notBefore, notAfter, days, hours, zone }: TimeLimit, time: Date): boolean {
  if (Number.isNaN(time.getTime())) return false;
  if (notBefore !== undefined && time < notBefore) return false;
  if (notAfter !== undefined && time > notAfter) return false;
  if (days === undefined && hours === undefined) return true;
  const { day, minute } = wallClock(time, zone as string);
  return keepsWeek(days, hours, day, minute);
}

/** Whether that minute of that day of the week, 0 is Sunday, is within days and hours. */
export function keepsWeek(days: TimeLimit["days"], hours: TimeLimit["hours"], day: number, minute: number): boolean {
  const isOn = (which: number) => days === undefined || days.includes(DAYS[which] as Day);
  if (hours === undefined) return isOn(day);
  const { from, to } = hours;
  if (from < to) return isOn(day) && minute >= from && minute < to;
  return (isOn(day) && minute >= from) || (isOn((day + 6) % 7) && minute < to);
}

const clocks = new Map<string, Intl.DateTimeFormat>();

/** What the clock on a wall in `zone` shows: the day of the week, 0 is Sunday, and minutes since midnight. */
function wallClock(time: Date, zone: string): { day: number; minute: number } {
  const clock =
    clocks.get(zone) ??
    new Intl.DateTimeFormat("en-US", {
      timeZone: zone,
      weekday: "short",
      hour: "2-digit",
      minute: "2-digit",
      hourCycle: "h23",
    });
  clocks.set(zone, clock); // as many as the policy names
  const parts = new Map(clock.formatToParts(time).map(({ type, value }) => [type, value]));
  return {
    day: DAYS.indexOf(parts.get("weekday")?.toLowerCase() as Day),
    minute: Number(parts.get("hour")) * 60 + Number(parts.get("minute")),
  };
}

/** What a limit is held against, as a claim's value would be. */
export function actualOf(limit: Limit, { address, time }: Circumstances): ClaimValue {
  const text = limit.kind === "network" ? address : time?.toISOString();
  return text === undefined ? { kind: "absent" } : { kind: "value", text };
}

/** The limit in words, as it stands behind "must be …". */
export function describeLimit(limit: Limit): string {
  if (limit.kind === "network") return `in ${limit.cidrs.join(" or ")}`;
  const { notBefore, notAfter, days, hours, zone } = limit;
  const words = [
    notBefore && `from ${notBefore.toISOString()}`,
    notAfter && `until ${notAfter.toISOString()}`,
    days && `on ${days.join(", ")}`,
    hours && `between ${clockText(hours.from)} and ${clockText(hours.to)}`,
    zone && `in ${zone}`,
  ];
  return words.filter((part) => part !== undefined).join(" ");
}

function clockText(minutes: number): string {
  return [Math.floor(minutes / 60), minutes % 60].map((part) => String(part).padStart(2, "0")).join(":");
}
