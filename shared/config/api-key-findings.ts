/** What a reviewer should see of the API keys: those that have grown old, and those that open nothing. */

import type { ApiKey, BrokerConfig } from "./config.ts";
import { withoutAddress } from "./limit-findings.ts";
import type { Found, Rule } from "./lint-findings.ts";

const DAY_MS = 86_400_000;
/** A key that leaked without anybody noticing is of use until it is replaced. */
const OLD_DAYS = 90;

export const apiKeyRules: Readonly<Record<string, Rule>> = {
  "api-key-expired": eachKey(({ expires }, _, now) =>
    expires <= now
      ? {
          severity: "warning",
          field: "expires",
          message: `has passed, and the key opens nothing; take it out, or make a new one (acr-broker key new)`,
        }
      : undefined,
  ),
  "api-key-old": eachKey(({ name, created, expires }, _, now) => {
    if (expires <= now) return undefined;
    if (created === undefined) {
      return {
        severity: "note",
        message: `has no created, so that nobody is told when it is over ${OLD_DAYS} days old; write the day it was made`,
      };
    }
    const days = Math.floor((now.getTime() - created.getTime()) / DAY_MS);
    return days > OLD_DAYS
      ? {
          severity: "warning",
          field: "created",
          message: `was ${days} days ago; make a new key (acr-broker key new), let the grants take both with api_key: { any_of: [${name}, …] }, and take this one out when its holder has the new one`,
        }
      : undefined;
  }),
  "api-key-unused": eachKey(({ name }, { grants }) =>
    grants.some(({ holder }) => "apiKeys" in holder && holder.apiKeys.includes(name))
      ? undefined
      : {
          severity: "warning",
          message: "is in no grant's api_key, and opens nothing; name it in a grant, or take it out",
        },
  ),
  "api-key-without-address": eachKey(({ cidrs }, { clientAddress }) =>
    cidrs.length > 0 && clientAddress === undefined
      ? {
          severity: "note",
          field: "cidrs",
          message: withoutAddress("key"),
        }
      : undefined,
  ),
};

interface OfOneKey extends Pick<Found, "severity" | "message"> {
  /** The field that is pointed at; the key's name where there is none. */
  readonly field?: string;
}

function eachKey(find: (key: ApiKey, config: BrokerConfig, now: Date) => OfOneKey | undefined): Rule {
  return (config, now) =>
    [...config.apiKeys.values()].flatMap((key) => {
      const found = find(key, config, now);
      if (found === undefined) return [];
      const { field, severity, message } = found;
      const where = field === undefined ? [key.name] : [key.name, field];
      return [
        {
          severity,
          path: ["api_keys", ...where],
          part: field === undefined ? "key" : "value",
          message: `${["api_keys", ...where].join(".")}: ${message}`,
        },
      ];
    });
}
