/** The built broker between the sandbox cloud and a real OpenID provider: where the credentials of these tests come from. */

import { FUNCTION_ROLE, jobClaims, sandboxPolicy, startBrokerProcess } from "../sandbox/broker-process.ts";
import type { Cloud } from "../sandbox/cloud.ts";
import { startIssuer } from "../sandbox/issuer.ts";

export interface Credentials {
  readonly username: string;
  readonly password: string;
}

export interface Brokered {
  /** Fresh credentials for exactly these scopes, living 900 s. Throws with the broker's own words. */
  credentials(scopes: readonly string[], publishes?: "web" | "base"): Promise<Credentials>;
  readonly url: string;
  /** As a CI gives it to a job. */
  token(publishes?: "web" | "base"): Promise<string>;
  /** Stops the broker. Throws where a secret stands in what it wrote. */
  close(): Promise<void>;
}

/** `moreHosts` are registries that trust the cloud's realm, beside its own. */
export async function startBrokered(cloud: Cloud, moreHosts: readonly string[]): Promise<Brokered> {
  const issuer = await startIssuer();
  const policy = sandboxPolicy({ cloudUrl: cloud.url, issuerUrl: issuer.url, registryHost: cloud.host, moreHosts });
  const broker = await startBrokerProcess({ policy, keys: cloud.functionRoleKeys(FUNCTION_ROLE) });
  const token = (publishes?: "web" | "base") => issuer.mint(jobClaims("main", publishes));

  return {
    url: broker.url,
    token,
    credentials: async (scope, publishes) => {
      const response = await fetch(`${broker.url}/v1/token`, {
        method: "POST",
        headers: {
          authorization: `Bearer ${await token(publishes)}`,
          "content-type": "application/json",
        },
        // No remembered credential lives as long as that, so the tests that move the clock know when theirs expires.
        body: JSON.stringify({ scope, ttl: 900, min_ttl: 900 }),
      });
      if (response.status !== 200) throw new Error(await response.text());
      return (await response.json()) as Credentials;
    },
    close: async () => {
      await broker.stop();
      await issuer.close();
      const leaked = cloud.secrets().filter((secret) => broker.output().includes(secret));
      if (leaked.length > 0) throw new Error(`${leaked.length} secrets were found in the broker's log`);
    },
  };
}
