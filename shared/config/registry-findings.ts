/** What a reviewer should see of registries: hosts that are another region's. */

import { quote } from "../policy/scope.ts";
import { pathText } from "./check.ts";
import type { Found, Rule } from "./lint-findings.ts";

/** `NAME-registry.REGION.cr.aliyuncs.com`, `NAME-registry-vpc.…`: the vendor's own; others are custom domains, which say nothing. */
const VENDORS_HOST = /\.([a-z0-9-]+)\.cr\.aliyuncs\.com$/;

export const registryRules: Readonly<Record<string, Rule>> = {
  "registry-elsewhere": ({ registries }) =>
    [...registries.values()].flatMap(({ name, region, endpoints }) =>
      endpoints.flatMap((endpoint, index): Found[] => {
        const theirs = VENDORS_HOST.exec(endpoint)?.[1];
        if (theirs === undefined || theirs === region) return [];
        const path = ["registries", name, "endpoints", index];
        const message = `${pathText(path)}: is a host in ${theirs}, and the registry's region is ${quote(region)}; make them agree, or logins will be for another registry`;
        return [{ severity: "warning", path, part: "value", message }];
      }),
    ),
};
