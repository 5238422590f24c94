/** What a reviewer should see of patterns: whom else they admit, by example. */

import { pathText } from "./check.ts";
import type { Found, Rule } from "./lint-findings.ts";
import { strangersOf } from "./patterns.ts";
import { conditioned } from "./written-conditions.ts";

export const patternRules: Readonly<Record<string, Rule>> = {
  "pattern-strangers": (config) => [
    ...conditioned(config).flatMap(({ section, conditions }) =>
      conditions.flatMap(({ path, condition }): Found[] => {
        // A denial that denies more is no danger.
        if (section === "denials" || condition.kind !== "glob") return [];
        const strangers = strangersOf(condition.pattern).map((value) => JSON.stringify(value));
        if (strangers.length === 0) return [];
        const place = [...path, "glob"];
        const message = `${pathText(place)}: ${JSON.stringify(condition.pattern)} also admits ${listed(strangers)}; if one of them should not get in, list the values with any_of`;
        return [{ severity: "note", path: place, part: "value", message }];
      }),
    ),
    ...config.grants.flatMap(({ name, allow, allowFor = [] }): Found[] => {
      // To pull what is new is what a whole namespace is mostly for; to overwrite it is worth a thought.
      const whole = [
        ...allow.map(({ namespace, repository, actions }) => ({ shown: `${namespace}/*`, repository, actions })),
        ...allowFor.map(({ text, repository, actions }) => ({ shown: text, repository, actions })),
      ].filter(({ repository, actions }) => repository === "*" && actions.includes("push"));
      if (whole.length === 0) return [];
      const path = ["grants", name, "allow"];
      const message = `${pathText(path)}: ${listed(whole.map(({ shown }) => shown))} may be pushed to, also repositories made tomorrow, by others too; if that is too much, name the repositories`;
      return [{ severity: "note", path, part: "key", message }];
    }),
  ],
};

function listed(parts: readonly string[]): string {
  return parts.length < 2 ? parts.join("") : `${parts.slice(0, -1).join(", ")} and ${parts.at(-1)}`;
}
