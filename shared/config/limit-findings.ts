/**
 * What a reviewer should see of the limits of grants and denials: those of times that are over or never come, those that
 * limit nothing, and those of addresses that stay unknown.
 */

import { DAYS, keeps, type Limit, type TimeLimit } from "../policy/limit.ts";
import { pathText } from "./check.ts";
import type { BrokerConfig } from "./config.ts";
import type { Path } from "./document.ts";
import type { Found, Rule } from "./lint-findings.ts";

export const limitRules: Readonly<Record<string, Rule>> = {
  "times-never": (config) =>
    limited(config).flatMap(({ name, limits, section, effect }) => {
      if (!limits.some((limit) => limit.kind === "time" && neverComes(limit))) return [];
      const path: Path = [section, name, "times"];
      const message = `${pathText(path)}: between not_before and not_after no such day or hour comes, and ${effect}; make them agree`;
      return [{ severity: "warning", path, part: "key", message }];
    }),
  "limit-without-effect": (config) =>
    limited(config).flatMap(({ name, limits, section }): Found[] =>
      limits.flatMap((limit) => {
        const [field, all] =
          limit.kind === "time"
            ? (["times", limit.days?.length === DAYS.length && "the days are all seven"] as const)
            : (["cidrs", limit.cidrs.find((cidr) => cidr.endsWith("/0")) && "its networks are all there are"] as const);
        if (!all) return [];
        const path: Path = [section, name, field];
        const message = `${pathText(path)}: ${all}, and limit nothing; write which are meant, or take them out`;
        return [{ severity: "warning", path, part: "key", message }];
      }),
    ),
  "times-over": (config, now) =>
    limited(config).flatMap(({ name, limits, section, effect }) => {
      if (!limits.some((limit) => limit.kind === "time" && limit.notAfter !== undefined && limit.notAfter < now))
        return [];
      const path: Path = [section, name, "times", "not_after"];
      const message = `${pathText(path)}: has passed, and ${effect}; take it out, or write a later time`;
      return [{ severity: "warning", path, part: "value", message }];
    }),
  "grant-without-address": ({ grants, clientAddress }) =>
    grants.flatMap(({ name, limits = [] }) => {
      if (clientAddress !== undefined || !limits.some(({ kind }) => kind === "network")) return [];
      const path: Path = ["grants", name, "cidrs"];
      return [{ severity: "note", path, part: "key", message: `${pathText(path)}: ${withoutAddress("grant")}` }];
    }),
};

interface Limited {
  readonly section: "grants" | "denials";
  readonly name: string;
  readonly limits: readonly Limit[];
  /** Of a limit that is never kept. */
  readonly effect: string;
}

function limited({ grants, denials }: BrokerConfig): Limited[] {
  return [
    ...grants.map(({ name, limits = [] }) => ({
      ...{ section: "grants" as const, name, limits },
      effect: "the grant gives nobody anything",
    })),
    ...denials.map(({ name, limits = [] }) => ({
      ...{ section: "denials" as const, name, limits },
      effect: "the denial denies nothing",
    })),
  ];
}

const MINUTE_MS = 60_000;
/** In that many days every day of the week comes, and each of its hours, also where a clock is put forward. */
const EVERY_DAY_MS = 15 * 24 * 60 * MINUTE_MS;

/** Whether no minute of it is within days and hours. */
function neverComes(limit: TimeLimit): boolean {
  const { notBefore, notAfter } = limit;
  if (notBefore === undefined || notAfter === undefined) return false;
  const [from, to] = [notBefore.getTime(), notAfter.getTime()];
  if (to - from >= EVERY_DAY_MS) return false;
  for (let time = from; time <= to; time += MINUTE_MS) if (keeps(limit, { time: new Date(time) })) return false;
  return !keeps(limit, { time: notAfter });
}

/** Of what has networks. */
export function withoutAddress(what: "grant" | "key"): string {
  return `in Function Compute the ${what} opens nothing: a caller's address is known there only from the header of a gateway of your own; name it in client_address, or take cidrs out`;
}
