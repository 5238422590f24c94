/** What a reviewer should see of denials: those that take nothing away from anybody. */

import { nearName } from "../near-name.ts";
import { quote, type Scope } from "../policy/scope.ts";
import { pathText } from "./check.ts";
import type { BrokerConfig } from "./config.ts";
import { type Given, givenBy } from "./grant-order.ts";
import type { Found, Rule } from "./lint-findings.ts";

export const denialRules: Readonly<Record<string, Rule>> = {
  "denial-of-nothing": (config) =>
    config.denials.flatMap(({ name, issuer, registry, deny }) => {
      const given = grantedBeside(config, issuer, registry);
      return deny.flatMap((scope, index): Found[] => {
        if (given.some((one) => mayMeet(one, scope))) return [];
        const namespaces = given.flatMap(({ namespace }) => (typeof namespace === "string" ? [namespace] : []));
        const near = namespaces.includes(scope.namespace) ? undefined : nearName(scope.namespace, namespaces);
        const path = ["denials", name, "deny", index];
        const hint = near === undefined ? "take it out, if none is to come" : `did you mean ${quote(near)}?`;
        const message = `${pathText(path)}: no grant gives any of it, so nobody is denied anything; ${hint}`;
        return [{ severity: "warning", path, part: "value", message }];
      });
    }),
};

/** All that grants give to callers of the issuer, or to anybody. */
function grantedBeside({ grants }: BrokerConfig, issuer: string | undefined, registry: string): readonly Given[] {
  return grants
    .filter((grant) => grant.registry === registry)
    .filter(({ holder }) => issuer === undefined || ("issuer" in holder && holder.issuer === issuer))
    .flatMap(givenBy);
}

/** Whether some caller's claims could make the two have an action on a repository in common. */
function mayMeet(given: Given, denied: Scope): boolean {
  const { namespace, repository } = given;
  return (
    (typeof namespace !== "string" || namespace === denied.namespace) &&
    (typeof repository !== "string" ||
      [repository, denied.repository].includes("*") ||
      repository === denied.repository) &&
    given.actions.some((action) => denied.actions.includes(action))
  );
}
