/** What a reviewer should see of Redis: credentials that go to it, sealed, over a line that others may listen on. */

import type { Rule } from "./lint-findings.ts";

export const redisRules: Readonly<Record<string, Rule>> = {
  "redis-in-the-clear": ({ redis }) => {
    if (redis?.tls !== false || redis.credentialKeyVariables === undefined || isThisMachine(redis.host)) return [];
    const message =
      "redis.tls: is false, and issued credentials go there: sealed, but whoever listens can read the password, and with it delete them and have them made again; take it out, unless nobody else can listen";
    return [{ severity: "note", path: ["redis", "tls"], part: "value", message }];
  },
};

function isThisMachine(host: string): boolean {
  return host === "localhost" || host === "::1" || host.startsWith("127.");
}
