/** What two policies say otherwise of all that stands around their grants: issuers, registries, API keys, the ceiling, settings. */

import type { ApiKey, BrokerConfig, Issuer, Registry } from "../../shared/config/config.ts";
import { type Change, changed, type Detail, type Direction, scopeChange, setChange, together } from "./change.ts";

export function surroundingChanges(old: BrokerConfig, now: BrokerConfig): Change[] {
  return [
    ...ceilingChange(old, now),
    ...sectionChanges("issuer", old.issuers, now.issuers, betweenIssuers),
    ...sectionChanges("registry", old.registries, now.registries, betweenRegistries),
    ...sectionChanges("api key", old.apiKeys, now.apiKeys, betweenKeys),
    ...settingChange("client_address", old.clientAddress?.header, now.clientAddress?.header),
    ...settingChange("alibaba.sts_endpoint", old.alibaba.stsEndpoint, now.alibaba.stsEndpoint),
    ...settingChange("alibaba.cr_endpoint", old.alibaba.crEndpoint, now.alibaba.crEndpoint),
  ];
}

function ceilingChange({ ceiling: was }: BrokerConfig, { ceiling: is }: BrokerConfig): Change[] {
  if (was === undefined && is === undefined) return [];
  const details: Detail[] =
    was === undefined
      ? [{ field: "ceiling", direction: "narrowed", text: "there is one now" }]
      : is === undefined
        ? [{ field: "ceiling", direction: "widened", text: "there is none any more" }]
        : scopeChange("ceiling", was, is);
  return details.length === 0
    ? []
    : [{ subject: "ceiling", name: "ceiling", kind: "changed", direction: together(details), details }];
}

function settingChange(name: string, was: string | undefined, is: string | undefined): Change[] {
  const details = changed(name, was, is, "both");
  return details.length === 0 ? [] : [{ subject: "setting", name, kind: "changed", direction: "both", details }];
}

/** One that comes or goes gives nobody anything by itself: the grants that name it do, and are compared by themselves. */
function sectionChanges<One>(
  subject: Change["subject"],
  old: ReadonlyMap<string, One>,
  now: ReadonlyMap<string, One>,
  between: (was: One, is: One) => Detail[],
): Change[] {
  return [...new Set([...now.keys(), ...old.keys()])].flatMap((name): Change[] => {
    const [was, is] = [old.get(name), now.get(name)];
    if (was === undefined || is === undefined) {
      return [{ subject, name, kind: was === undefined ? "added" : "removed", direction: "same", details: [] }];
    }
    const details = between(was, is);
    return details.length === 0 ? [] : [{ subject, name, kind: "changed", direction: together(details), details }];
  });
}

function betweenIssuers(was: Issuer, is: Issuer): Detail[] {
  if (was.provider === "alibaba" || is.provider === "alibaba") {
    return was.provider === is.provider && "accounts" in was && "accounts" in is
      ? [...changed("audience", was.audience, is.audience, "both"), ...setChange("accounts", was.accounts, is.accounts)]
      : changed("provider", was.provider, is.provider, "both");
  }
  return [
    ...changed("provider", was.provider, is.provider, "both"),
    ...changed("issuer", was.issuer, is.issuer, "both"),
    ...changed("audience", was.audience, is.audience, "both"),
    ...setChange("algorithms", was.algorithms, is.algorithms),
    ...(JSON.stringify(was.keys) === JSON.stringify(is.keys) ? [] : [keyChange(was.keys, is.keys)]),
    ...changed(
      "max_token_lifetime",
      was.maxTokenLifetimeSeconds,
      is.maxTokenLifetimeSeconds,
      upwards(was.maxTokenLifetimeSeconds, is.maxTokenLifetimeSeconds),
    ),
    ...changed(
      "replay",
      was.replay,
      is.replay,
      was.replay === "off" ? "narrowed" : is.replay === "off" ? "widened" : "both",
    ),
  ];
}

type Keys = Extract<Issuer, { readonly keys: unknown }>["keys"];

/** Whose keys count is who may vouch for everybody. */
function keyChange(was: Keys, is: Keys): Detail {
  const text = (keys: Keys) => (keys.from === "discovery" ? "discovery" : keys.from === "url" ? keys.url : keys.path);
  const other = text(was) === text(is) ? "the same file with other keys in it" : `${text(was)} → ${text(is)}`;
  return { field: "keys", direction: "both", text: other };
}

function betweenRegistries(was: Registry, is: Registry): Detail[] {
  return [
    ...changed("instance_id", was.instanceId, is.instanceId, "both"),
    ...changed("region", was.region, is.region, "both"),
    ...changed("account_id", was.accountId, is.accountId, "both"),
    ...changed("endpoints", was.endpoints, is.endpoints, "same"),
  ];
}

function betweenKeys(was: ApiKey, is: ApiKey): Detail[] {
  const limits = (key: ApiKey) => (key.cidrs.length === 0 ? undefined : key.cidrs);
  const [before, after] = [limits(was), limits(is)];
  return [
    ...(was.sha256 === is.sha256 ? [] : [{ field: "sha256", direction: "both", text: "another key" } as const]),
    ...changed(
      "expires",
      was.expires.toISOString(),
      is.expires.toISOString(),
      upwards(was.expires.getTime(), is.expires.getTime()),
    ),
    ...(before === undefined || after === undefined
      ? changed("cidrs", before ?? "anywhere", after ?? "anywhere", after === undefined ? "widened" : "narrowed")
      : setChange("cidrs", before, after)),
  ];
}

function upwards(was: number, is: number): Direction {
  return is > was ? "widened" : "narrowed";
}
