/** What a reviewer should see of the limits of grants and denials: those of times that are over, and of addresses that stay unknown. */

import { pathText } from "./check.ts";
import type { Path } from "./document.ts";
import type { Rule } from "./lint-findings.ts";

export const limitRules: Readonly<Record<string, Rule>> = {
  "times-over": ({ grants, denials }, now) =>
    [
      ...grants.map((one) => ({ ...one, section: "grants", effect: "the grant gives nobody anything" })),
      ...denials.map((one) => ({ ...one, section: "denials", effect: "the denial denies nothing" })),
    ].flatMap(({ name, limits = [], section, effect }) => {
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

/** Of what has networks. */
export function withoutAddress(what: "grant" | "key"): string {
  return `in Function Compute the ${what} opens nothing: a caller's address is known there only from the header of a gateway of your own; name it in client_address, or take cidrs out`;
}
