/** `GET /.well-known/acr-broker`: what a client needs to know before it has an identity. The same for everybody. */

import type { BrokerConfig } from "../../../shared/config/config.ts";
import { stsOrigin } from "../../../shared/identity/caller-identity.ts";
import type { Broker } from "../app.ts";
import { json } from "../http/answer.ts";

/** It changes with a deployment only; a client's first request after one may still go by the old one. */
const CACHE_SECONDS = 300;

export function discoveryRoute(app: Broker["app"], config: BrokerConfig): void {
  const document = {
    audience: config.audience,
    sts_host: new URL(stsOrigin(config)).host,
    registries: Object.fromEntries([...config.registries].map(([name, { endpoints }]) => [name, { endpoints }])),
  };
  app.get("/.well-known/acr-broker", () => json(document, { "cache-control": `public, max-age=${CACHE_SECONDS}` }));
}
