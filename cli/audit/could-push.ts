/** Who could push to a repository: who held a credential for it, and whom the policy would have given one. */

import type { BrokerConfig } from "../../shared/config/config.ts";
import { describeCondition } from "../../shared/policy/condition.ts";
import { type Grant, LONGEST_LIFETIME_SECONDS } from "../../shared/policy/grant.ts";
import { overlaps, type Scope } from "../../shared/policy/scope.ts";
import { couldCover } from "../../shared/policy/scope-template.ts";
import { onOneLine } from "../colours.ts";
import { EXIT } from "../command.ts";
import { book, endOf, scopesOfLine, wasGiven } from "./given.ts";
import { allowOf } from "./narrower.ts";
import { isWithin, type Period } from "./period.ts";
import { gapOf, isAsked, type Question } from "./question.ts";
import { givenJson, givenText } from "./who-got-what.ts";

/** Enough to say that the policy was another. */
const MOST_DIGESTS = 10;

export interface PolicyFile {
  readonly file: string;
  readonly config: BrokerConfig;
}

export function whoCouldPush(
  target: Scope,
  period: Period,
  registry: string | undefined,
  policy: PolicyFile | undefined,
): Question {
  const found = book();
  const digests = new Set<string>();
  return {
    take(line) {
      if (line.event !== "decision") return;
      const time = new Date(line.time);
      if (isWithin(time, period) && digests.size < MOST_DIGESTS) digests.add(line.policy_digest);
      // One that was given before may still have lived.
      const wasAlive = time < period.to && endOf(line) > period.from;
      if (!wasAlive || !wasGiven(line) || !isAsked(registry, line.registry)) return;
      if (scopesOfLine(line).some((scope) => overlaps(scope, target))) found.enter(line);
    },
    answer(counts) {
      const held = found.entries();
      const given = policy && byPolicy(policy, target, registry, digests);
      const isNobody = held.length === 0;
      const from = new Date(period.from.getTime() - LONGEST_LIFETIME_SECONDS * 1000);
      return {
        code: isNobody && (given?.grants.length ?? 0) === 0 ? EXIT.no : EXIT.ok,
        json: { held: held.map(givenJson), ...given?.json },
        text: `${isNobody ? "nobody held a credential to push there\n" : held.map(givenText).join("")}${given?.text ?? ""}`,
        restsOnAbsence: isNobody,
        gap: gapOf(counts, { from, to: period.to }),
      };
    },
  };
}

function byPolicy(
  { file, config }: PolicyFile,
  target: Scope,
  registry: string | undefined,
  digests: ReadonlySet<string>,
) {
  const grants = config.grants.filter((grant) => isAsked(registry, grant.registry) && couldGive(grant, target));
  const others = [...digests].filter((digest) => digest !== config.digest);
  return {
    grants,
    json: {
      policy_digest: config.digest,
      other_policy_digests: others,
      may: grants.map((grant) => ({ grant: grant.name, line: grant.line, allow: allowOf(grant) })),
    },
    text: [
      ...grants.map((grant) => `${onOneLine(file)}:${grant.line}: ${grantText(grant)}\n`),
      grants.length === 0 ? "no grant of the policy gives it\n" : "",
      others.length > 0 ? `the policy was another then: ${others.join(", ")}\n` : "",
    ].join(""),
  };
}

/** To some caller; of a whole namespace, any repository in it. */
function couldGive({ allow, allowFor = [] }: Grant, target: Scope): boolean {
  const isWhole = target.repository === "*";
  return (
    allow.some((pattern) => overlaps(pattern, target)) ||
    allowFor.some((template) => couldCover(isWhole ? { ...template, repository: "*" } : template, target, "push"))
  );
}

/** Whom it is for, for somebody who looks for one. Denials and the ceiling may take from it. */
function grantText({ name, holder, when, limits = [] }: Grant): string {
  // What a preset adds to grants stands in no file.
  const written = when.filter(({ kind }) => kind !== "none_of");
  const whom =
    "issuer" in holder
      ? `callers of ${holder.issuer} with ${written.map((one) => `${one.claim} ${describeCondition(one)}`).join(", ")}`
      : `API key ${holder.apiKeys.join(", ")}`;
  return `grant ${name} gives it to ${onOneLine(whom)}${limits.length > 0 ? ", within its cidrs and times" : ""}`;
}
