/** Which registries the broker has, and at which hosts: its `/.well-known/acr-broker`. Takes no identity. */

import { AcrBroker, type AcrBrokerOptions } from "../shared/client/acr-broker.ts";
import { withinDeadline } from "../shared/client/attempts.ts";
import { brokerApi } from "../shared/client/broker-api.ts";
import { clock } from "../shared/client/clock.ts";
import { ConnectionError } from "../shared/client/errors.ts";
import type { Outside } from "../shared/client/outside.ts";
import type { Discovery } from "../shared/client/wire.ts";
import { hostOf } from "./credential-helper/asked-with.ts";

export interface BrokerFacts {
  readonly audience: string;
  /** Hosts by registry, as docker writes them. */
  readonly registries: Readonly<Record<string, readonly string[]>>;
}

const DEADLINE_MS = 5_000;

/** @throws OptionsError of a url that is none, ConnectionError, RefusedError */
export async function brokerFacts(options: AcrBrokerOptions, outside: Outside): Promise<BrokerFacts> {
  // The SDK says what is wrong with a url.
  const base = new URL(new AcrBroker(options).url);
  const api = brokerApi(base, options.functionCompute, clock(outside), outside);
  const { signal } = new AbortController();
  return factsOf(await withinDeadline(DEADLINE_MS, signal, outside, (until) => api.discovery(until)), base);
}

/** The SDK has not looked at the registries; without a host of strict form nothing is asked there, or written down. @throws ConnectionError */
export function factsOf({ audience, ...document }: Discovery, base: URL): BrokerFacts {
  const { registries } = document as { registries?: unknown };
  if (!isRegistries(registries)) {
    const message = `the answer of ${base.host} is not the broker's: its registries are missing or of another form; check the url`;
    throw new ConnectionError("bad_response", message);
  }
  const hosts = Object.entries(registries).map(([name, { endpoints }]) => [name, endpoints.map(hostOf)] as const);
  return { audience, registries: Object.fromEntries(hosts) };
}

function isRegistries(value: unknown): value is Record<string, { endpoints: string[] }> {
  return (
    isObject(value) &&
    Object.values(value).every(
      (one) => isObject(one) && Array.isArray(one["endpoints"]) && one["endpoints"].every(isEndpoint),
    )
  );
}

/** A host, with a port or without. */
function isEndpoint(value: unknown): boolean {
  return typeof value === "string" && /^[a-z0-9.-]+(?::\d+)?$/i.test(value);
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** Names of the registries that have this host. */
export function registriesAt(host: string, { registries }: Pick<BrokerFacts, "registries">): string[] {
  return Object.keys(registries).filter((name) => registries[name]?.includes(host));
}
