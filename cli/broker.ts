/** The broker that a command speaks to and what it asks for, of its options, else of the environment. */

import { AcrBroker, type AcrBrokerOptions } from "../shared/client/acr-broker.ts";
import { ecsRole } from "../shared/client/ram/ecs-role.ts";
import { environmentKeys, type RamKeySource } from "../shared/client/ram/keys.ts";
import { rrsa } from "../shared/client/ram/rrsa.ts";
import type { CredentialsRequest } from "../shared/client/request.ts";
import { type Options, type Terminal, UsageError, type Values } from "./command.ts";
import { holdsSecret, NO_ARGUMENT } from "./secrets.ts";

export const BROKER_OPTIONS = {
  url: { type: "string", value: "URL", help: "the broker's address; default $ACR_BROKER_URL" },
  audience: {
    type: "string",
    value: "AUDIENCE",
    help: "what tokens must be for; default what the broker names, if that is its own address",
  },
  "function-compute": {
    type: "boolean",
    help: "sign with RAM keys, for a trigger of authType: function; or ACR_BROKER_FUNCTION_COMPUTE=1",
  },
  deadline: { type: "string", value: "SECONDS", help: "for all tries and waits together; default 30" },
} as const satisfies Options;

export const REQUEST_OPTIONS = {
  scope: {
    type: "string",
    multiple: true,
    value: "SCOPE",
    help: "repository:<namespace>/<repository>:pull,push; may be given again; default $ACR_BROKER_SCOPE",
  },
  grant: { type: "string", value: "NAME", help: "instead: all that the grant gives; default $ACR_BROKER_GRANT" },
  registry: { type: "string", value: "NAME", help: "default $ACR_BROKER_REGISTRY, then the only one" },
  ttl: { type: "string", value: "SECONDS", help: "how long it shall live, 900 or more; the grants cap it" },
  "min-ttl": { type: "string", value: "SECONDS", help: "how long it must live at least" },
} as const satisfies Options;

/** @throws UsageError, OptionsError */
export function brokerOf(options: Values<typeof BROKER_OPTIONS>, terminal: Terminal): AcrBroker {
  return new AcrBroker(brokerOptions(options, terminal));
}

/** @throws UsageError */
export function brokerOptions(
  options: Values<typeof BROKER_OPTIONS>,
  { environment, outside }: Pick<Terminal, "environment" | "outside">,
): AcrBrokerOptions {
  const url = options.url ?? environment["ACR_BROKER_URL"];
  if (!url) throw new UsageError("which broker? give --url https://… or set ACR_BROKER_URL");
  const { audience } = options;
  const deadlineSeconds = seconds("deadline", options.deadline);
  const signs = options["function-compute"] ?? /^(?:1|true)$/i.test(environment["ACR_BROKER_FUNCTION_COMPUTE"] ?? "");
  refuseSecrets({ url, audience });
  return {
    url,
    outside,
    ...(audience === undefined ? {} : { audience }),
    ...(deadlineSeconds === undefined ? {} : { deadlineSeconds }),
    ...(signs ? { functionCompute: ramKeySource(environment) } : {}),
  };
}

/** In the order in which the SDK looks for an identity of keys. */
function ramKeySource(environment: Terminal["environment"]): RamKeySource {
  if (environment["ALIBABA_CLOUD_ACCESS_KEY_ID"]) return environmentKeys();
  if (environment["ALIBABA_CLOUD_OIDC_TOKEN_FILE"]) return rrsa();
  const role = environment["ALIBABA_CLOUD_ECS_METADATA"];
  return ecsRole(role ? { role } : {});
}

/** @throws UsageError */
export function requestOf(options: Values<typeof REQUEST_OPTIONS>, { environment }: Terminal): CredentialsRequest {
  const { scope, grant } = wantedOf(options, environment);
  const registry = registryOf(options, environment);
  const [ttl, minTtl] = [seconds("ttl", options.ttl), seconds("min-ttl", options["min-ttl"])];
  refuseSecrets({ grant, registry, scope: scope?.join(" ") });
  return {
    ...(scope === undefined ? {} : { scope }),
    ...(grant === undefined ? {} : { grant }),
    ...(registry === undefined ? {} : { registry }),
    ...(ttl === undefined ? {} : { ttl }),
    ...(minTtl === undefined ? {} : { minTtl }),
  };
}

export function registryOf(
  { registry }: { readonly registry?: string },
  environment: Terminal["environment"],
): string | undefined {
  return registry ?? (environment["ACR_BROKER_REGISTRY"] || undefined);
}

/** Whether an option or a variable says what for. */
export function isAskedFor({ scope, grant }: Values<typeof REQUEST_OPTIONS>, { environment }: Terminal): boolean {
  return Boolean(scope || grant || environment["ACR_BROKER_SCOPE"] || environment["ACR_BROKER_GRANT"]);
}

/** What an option says puts aside both variables. */
function wantedOf(
  { scope, grant }: Values<typeof REQUEST_OPTIONS>,
  environment: Terminal["environment"],
): { scope?: readonly string[]; grant?: string } {
  if (scope !== undefined && grant !== undefined) throw new UsageError("give --scope or --grant, not both");
  if (scope !== undefined) return { scope };
  if (grant !== undefined) return { grant };
  const { ACR_BROKER_SCOPE: scopes, ACR_BROKER_GRANT: named } = environment;
  if (scopes && named)
    throw new UsageError("ACR_BROKER_SCOPE and ACR_BROKER_GRANT are both set; give --scope or --grant");
  if (scopes) return { scope: [scopes] };
  if (named) return { grant: named };
  throw new UsageError(
    "for what? nothing asked for never means everything: give --scope repository:<namespace>/<repository>:pull or --grant NAME, or set ACR_BROKER_SCOPE or ACR_BROKER_GRANT",
  );
}

export function seconds(name: string, written: string | undefined): number | undefined {
  if (written === undefined) return undefined;
  if (!/^\d{1,6}$/.test(written)) throw new UsageError(`--${name} is a whole number of seconds`);
  return Number(written);
}

/** Pasted in the wrong place, it would come back in a message or go to the broker in clear. */
export function refuseSecrets(given: Readonly<Record<string, string | undefined>>): void {
  const wrong = Object.entries(given).find(([, value]) => value !== undefined && holdsSecret(value));
  if (wrong === undefined) return;
  throw new UsageError(`--${wrong[0]} is a token or key; treat it as leaked if others can read this: ${NO_ARGUMENT}`);
}
