/** What a reviewer should see of the roles that grants name: those of other accounts. */

import type { Grant } from "../policy/grant.ts";
import { pathText } from "./check.ts";
import type { BrokerConfig } from "./config.ts";
import type { Rule } from "./lint-findings.ts";

/** The account that the function most likely runs in; which it is stands in no policy. */
export function homeAccount({ registries }: BrokerConfig): string {
  return [...registries.values()][0]?.accountId ?? "";
}

/** Of `acs:ram::ACCOUNT:role/NAME`. */
export function accountOf(roleArn: string): string {
  return roleArn.split(":")[3] ?? "";
}

/** The registry's account, where it is not the role's own: Container Registry looks for an instance in the caller's account. */
export function strangeAccount({ registry, roleArn }: Grant, { registries }: BrokerConfig): string | undefined {
  const account = registries.get(registry)?.accountId;
  return account === accountOf(roleArn) ? undefined : account;
}

export const roleRules: Readonly<Record<string, Rule>> = {
  // The confused deputy: the broker may take the role for whoever can have a grant name it.
  "role-without-external-id": (config) =>
    config.grants.flatMap(({ name, roleArn, externalId }) => {
      const home = homeAccount(config);
      if (externalId !== undefined || accountOf(roleArn) === home) return [];
      const path = ["grants", name, "role_arn"];
      const message = `${pathText(path)}: is of another account than the first registry (${home}), where the function probably runs, and has no external_id: whoever can have this broker name the role gets it; write external_id, and have the role's trust policy demand it (acr-broker ram prints it)`;
      return [{ severity: "note", path, part: "value", message }];
    }),
  "role-of-other-account": (config) =>
    config.grants.flatMap((grant) => {
      const account = strangeAccount(grant, config);
      if (account === undefined) return [];
      const path = ["grants", grant.name, "role_arn"];
      const message = `${pathText(path)}: is of another account than registry ${grant.registry} (${account}), and Container Registry finds an instance only in the account of who asks; write a role of ${account}`;
      return [{ severity: "note", path, part: "value", message }];
    }),
};
