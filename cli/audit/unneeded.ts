/** What of the policy nobody needed: grants that were not used, and grants that give more than was used. */

import type { BrokerConfig } from "../../shared/config/config.ts";
import type { Grant } from "../../shared/policy/grant.ts";
import { onOneLine } from "../colours.ts";
import { EXIT } from "../command.ts";
import { plural } from "../plural.ts";
import type { PolicyFile } from "./could-push.ts";
import { scopesOfLine, wasGiven } from "./given.ts";
import type { Counts } from "./lines.ts";
import { allowOf, type Usage, usage } from "./narrower.ts";
import { DAY_MS, isWithin, type Period } from "./period.ts";
import { gapOf, type Question } from "./question.ts";

export interface Days extends Period {
  readonly days: number;
}

export function unusedGrants({ file, config }: PolicyFile, period: Days): Question {
  const { take, uses } = grantsUsed(config, period);
  return {
    take,
    answer(counts) {
      const unused = config.grants.filter((grant) => !uses.has(grant));
      const isNone = unused.length === 0;
      const lines = unused.map(
        ({ name, line }) => `${onOneLine(file)}:${line}: grant ${name} was not used in ${plural(period.days, "day")}\n`,
      );
      return {
        code: isNone ? EXIT.ok : EXIT.no,
        json: { days: period.days, unused: unused.map(({ name, line }) => ({ grant: name, line })) },
        text: isNone ? `all ${plural(config.grants.length, "grant")} were used\n` : lines.join(""),
        restsOnAbsence: !isNone,
        gap: gapInDays(counts, period),
      };
    },
  };
}

/** `yamlOf` writes grants of the policy with another `allow`. */
export function broaderGrants(
  { file, config }: PolicyFile,
  period: Days,
  yamlOf: (allows: ReadonlyMap<string, readonly string[]>) => string,
): Question {
  const { take, uses } = grantsUsed(config, period);
  return {
    take,
    answer(counts) {
      const broader = [...uses]
        .map(([grant, used]) => ({
          grant: grant.name,
          line: grant.line,
          allow: allowOf(grant),
          narrower: used.allow(),
        }))
        // Nothing is left of one whose uses are all of an earlier policy: it is unused as it is now.
        .filter(({ allow, narrower }) => narrower.length > 0 && narrower.join(" ") !== allow.join(" "))
        .sort((a, b) => a.line - b.line);
      const isNone = broader.length === 0;
      const yaml = isNone ? "" : yamlOf(new Map(broader.map(({ grant, narrower }) => [grant, narrower])));
      const lines = broader.map(
        ({ grant, line, allow }) => `# ${onOneLine(file)}:${line}: ${grant} gives ${allow.join(" ")}\n`,
      );
      return {
        code: isNone ? EXIT.ok : EXIT.no,
        json: { days: period.days, broader, ...(isNone ? {} : { yaml }) },
        text: isNone ? "# no grant that was used gives more than was used\n" : lines.join("") + yaml,
        restsOnAbsence: !isNone,
        gap: gapInDays(counts, period),
      };
    },
  };
}

/** How each grant of the policy was used within the period. */
function grantsUsed({ grants }: BrokerConfig, period: Period): { take: Question["take"]; uses: Map<Grant, Usage> } {
  const byName = new Map(grants.map((grant) => [grant.name, grant]));
  const uses = new Map<Grant, Usage>();
  return {
    uses,
    take(line) {
      if (line.event !== "decision" || !wasGiven(line) || !isWithin(new Date(line.time), period)) return;
      for (const { name } of line.grants) {
        const grant = byName.get(name);
        if (grant?.registry !== line.registry) continue;
        const used = uses.get(grant) ?? usage(grant);
        used.add(scopesOfLine(line));
        uses.set(grant, used);
      }
    },
  };
}

/** A broker that rests for a day at the end leaves no gap. */
function gapInDays(counts: Counts, { from, to }: Period): string | undefined {
  return gapOf(counts, { from, to: new Date(to.getTime() - DAY_MS) });
}
