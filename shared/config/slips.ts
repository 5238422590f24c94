/**
 * Slips that leave a policy sound in its form and without its meaning: a name where only a number can stand, the instance
 * where the namespace belongs, a right that nothing can use. Each stops the start, because whoever wrote it meant another thing.
 */

import { judgementOf } from "../identity/providers.ts";
import { quote } from "../policy/scope.ts";
import { issuerOf, type Problem, type Sound } from "./check.ts";
import type { OidcProvider } from "./config.ts";
import type { Path } from "./document.ts";
import { numberHint } from "./ids.ts";
import type { ConfigFile } from "./schema.ts";

type Conditions = NonNullable<NonNullable<NonNullable<Sound<ConfigFile>["grants"]>[string]>["when"]>;

export function slipProblems(config: Sound<ConfigFile>): Problem[] {
  const providerOf = (issuer: string | undefined) => issuerOf(config, issuer)?.provider;
  const instances = new Set(Object.values(config.registries ?? {}).map((registry) => registry?.instance_id));
  const grants = Object.entries(config.grants ?? {});
  const denials = Object.entries(config.denials ?? {});
  return [
    ...grants.flatMap(([name, grant]) =>
      namesForNumbers(["grants", name, "when"], grant?.when, providerOf(grant?.issuer)),
    ),
    ...denials.flatMap(([name, denial]) =>
      namesForNumbers(["denials", name, "when"], denial?.when, providerOf(denial?.issuer)),
    ),
    ...denials.flatMap(([name, denial]) =>
      evadable(["denials", name, "when"], denial?.when, providerOf(denial?.issuer)),
    ),
    ...grants.flatMap(([name, grant]) => instancesForNamespaces(["grants", name, "allow"], grant?.allow, instances)),
    ...denials.flatMap(([name, denial]) => instancesForNamespaces(["denials", name, "deny"], denial?.deny, instances)),
    ...instancesForNamespaces(["ceiling"], config.ceiling, instances),
    ...grants.flatMap(([name, grant]) => createsWithoutPush(["grants", name], grant)),
  ];
}

/** What is denied by a claim that the caller can leave out, or have made of other claims, is not denied. */
function evadable(path: Path, when: Conditions | undefined, provider: OidcProvider | "alibaba" | undefined): Problem[] {
  if (provider === undefined) return [];
  const { optional = [], identifyingSubject } = judgementOf(provider);
  return Object.keys(when ?? {}).flatMap((claim) => {
    const isShaped = claim === "sub" && identifyingSubject !== undefined;
    if (!optional.includes(claim) && !isShaped) return [];
    const why = isShaped ? "administrators can have it made of other claims" : "a job can leave it out of its token";
    return [
      {
        ...problem(
          [...path, claim],
          `denies nobody who does not want it: ${why}; deny by a claim that is always there`,
        ),
        part: "key" as const,
      },
    ];
  });
}

/** No token of the issuer has such a value, so that the grant would be dead, and the denial deny nothing. */
function namesForNumbers(
  path: Path,
  when: Conditions | undefined,
  provider: Parameters<typeof numberHint>[0],
): Problem[] {
  return Object.entries(when ?? {}).flatMap(([claim, condition]) => {
    const hint = numberHint(provider, claim);
    if (hint === undefined) return [];
    return places(condition).flatMap(([place, text]) =>
      /^[\d*]+$/.test(text)
        ? []
        : [
            problem(
              [...path, claim, ...place],
              `${quote(text)} is no number, and ${claim} always is one; to get it: ${hint}`,
            ),
          ],
    );
  });
}

/** Each text of a condition, and where it stands below the claim. */
function places(condition: Conditions[string]): [Path, string][] {
  if (typeof condition === "string") return [[[], condition]];
  const { any_of = [], glob, contains } = condition ?? {};
  const found: [Path, string | undefined][] = [
    ...any_of.map((text, index): [Path, string | undefined] => [["any_of", index], text]),
    [["glob"], glob],
    [["contains"], contains],
  ];
  return found.filter((entry): entry is [Path, string] => entry[1] !== undefined);
}

/** What users of ACR's own tools are used to: there the instance stands in front. */
function instancesForNamespaces(
  path: Path,
  scopes: readonly (string | undefined)[] | undefined,
  instances: ReadonlySet<string | undefined>,
): Problem[] {
  return (scopes ?? []).flatMap((text, index) => {
    const namespace = /^repository:([^/]+)\//.exec(text ?? "")?.[1];
    if (namespace === undefined || !instances.has(namespace)) return [];
    const message = `has the instance ${namespace} where the namespace stands; write repository:<namespace>/<repository>:…, the registry is named beside it`;
    return [problem([...path, index], message)];
  });
}

function createsWithoutPush(
  path: Path,
  grant: NonNullable<Sound<ConfigFile>["grants"]>[string] | undefined,
): Problem[] {
  if (grant?.create_repository !== true || grant.allow === undefined) return [];
  // One that is wrong in itself may have the push.
  const pushes = grant.allow.some((text) => text === undefined || /[:,]push(?:,|$)/.test(text));
  if (pushes) return [];
  const message =
    "adds nothing: a repository is made by its first push, and allow has none; take it out, or allow push";
  return [problem([...path, "create_repository"], message)];
}

function problem(path: Path, message: string): Problem {
  return { path, part: "value", message };
}
