/** What two policies say otherwise of all that stands around their grants: issuers, registries, API keys, the ceiling, settings. */

import { createHash } from "node:crypto";
import type { ApiKey, BrokerConfig, Issuer, RedisSettings, Registry } from "../../shared/config/config.ts";
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
    ...Object.entries(redisFields(now.redis)).flatMap(([field, is]) =>
      settingChange(`redis.${field}`, redisFields(old.redis)[field], is),
    ),
  ];
}

/** Every field, so that the same ones are there whether Redis is configured or not. */
function redisFields(redis: RedisSettings | undefined): Record<string, string | undefined> {
  const tls = redis?.tls;
  return {
    host: redis && `${redis.host}:${redis.port}`,
    tls:
      tls === false
        ? "false"
        : tls && (tls.ca === undefined ? "true" : `${tls.ca.path}, ${fingerprint(tls.ca.certificates.join(""))}`),
    username: redis?.username,
    password_env: redis?.passwordVariable,
    key_prefix: redis?.keyPrefix,
    when_unavailable: redis?.whenUnavailable,
    "credentials.key_env": redis?.credentialKeyVariables?.join(", "),
  };
}

function fingerprint(text: string): string {
  return `sha256:${createHash("sha256").update(text).digest("hex").slice(0, 12)}`;
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
    ...changed("issuer", issOf(was), issOf(is), "both"),
    ...changed("issuer_template", templateOf(was), templateOf(is), "both"),
    ...changed("audience", was.audience, is.audience, "both"),
    ...setChange("algorithms", was.algorithms, is.algorithms),
    // Whose keys count is who may vouch for everybody; and whose certificates, who may hand out the keys.
    ...sourceChange("keys", was.keys, is.keys, keysText),
    ...sourceChange("ca_file", was.ca, is.ca, (ca) => ca?.path ?? "the system's CAs"),
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

type Oidc = Exclude<Issuer, { readonly provider: "alibaba" }>;

function issOf(issuer: Oidc): string | undefined {
  return "accepted" in issuer ? undefined : issuer.issuer;
}

function templateOf(issuer: Oidc): string | undefined {
  return "accepted" in issuer ? issuer.template : undefined;
}

function keysText(keys: Oidc["keys"]): string {
  return keys.from === "discovery" ? "discovery" : keys.from === "url" ? keys.url : keys.path;
}

/** Of what may come from a file: its content counts too. */
function sourceChange<Source>(field: string, was: Source, is: Source, textOf: (source: Source) => string): Detail[] {
  if (JSON.stringify(was) === JSON.stringify(is)) return [];
  const [before, after] = [textOf(was), textOf(is)];
  const text =
    before === after
      ? `the same file with other ${field === "keys" ? "keys" : "certificates"} in it`
      : `${before} → ${after}`;
  return [{ field, direction: "both", text }];
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
