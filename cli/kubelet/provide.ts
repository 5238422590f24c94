/** From the kubelet's request to its response: whose identity, what for, and for which host. */

import { AcrBroker, type AcrBrokerOptions } from "../../shared/client/acr-broker.ts";
import type { Credentials } from "../../shared/client/credentials.ts";
import type { CredentialsRequest } from "../../shared/client/request.ts";
import { UsageError } from "../command.ts";
import { hostOf } from "../credential-helper/asked-with.ts";
import { type BrokerFacts, registriesAt } from "../registries.ts";
import type { ProviderRequest } from "./api.ts";
import { parseImage } from "./image.ts";

/** An annotation of the service account, whose value names the grant to ask for. */
export const GRANT_ANNOTATION = "acr-token-broker/grant";

export interface Provided {
  /** As the image has it. */
  readonly host: string;
  readonly registry: string;
  /** What is asked for, in words. */
  readonly wanted: string;
  readonly credentials: Credentials;
}

/**
 * Undefined: the image is none of the broker's. With a service account's token that is the identity, and the node's own is not
 * looked for; a pod that has none is the node.
 * @throws UsageError, AcrBrokerError
 */
export async function provide(
  { image, serviceAccountToken, serviceAccountAnnotations }: ProviderRequest,
  options: AcrBrokerOptions,
  facts: Pick<BrokerFacts, "registries">,
  wantedRegistry?: string,
): Promise<Provided | undefined> {
  // Before its form is looked at: of other hosts any form is right.
  const [first = ""] = image.split("/", 1);
  // As it stands, or another reader could take another host for it: `host?x`, `host#@x`.
  const names = /^[A-Za-z0-9.-]+(?::\d{1,5})?$/.test(first) ? registriesAt(hostOf(first), facts) : [];
  if (names.length === 0) return undefined;
  const parsed = parseImage(image);
  if ("problem" in parsed) throw new UsageError(parsed.problem);
  const registry = names.length === 1 ? names[0] : names.find((name) => name === wantedRegistry);
  if (registry === undefined) {
    throw new UsageError(`${parsed.host} is in ${names.join(" and ")}; say which with --registry`);
  }
  // Of the node's rights no pod chooses.
  const grant = serviceAccountToken === undefined ? undefined : serviceAccountAnnotations[GRANT_ANNOTATION];
  const request: CredentialsRequest = grant ? { registry, grant } : { registry, scope: parsed.scope };
  const identity = serviceAccountToken === undefined ? {} : { identity: serviceAccountToken };
  const credentials = await new AcrBroker({ ...options, ...identity }).credentials(request);
  return { host: parsed.host, registry, wanted: grant ? `grant ${grant}` : parsed.scope, credentials };
}
