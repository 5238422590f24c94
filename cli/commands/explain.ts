/** `acr-broker explain`: what a broker of this policy would decide for these claims, and why; without a broker, without a token. */

import { normalAddress } from "../../shared/address.ts";
import { dateTime } from "../../shared/config/values.ts";
import { operatorView } from "../../shared/policy/explanation-view.ts";
import { readClaims } from "../claims.ts";
import { command, EXIT, UsageError } from "../command.ts";
import { explanationText } from "../explanation-text.ts";
import { readPolicy } from "../policy-cache.ts";
import { CONFIG_OPTION, JSON_OPTION, policyFile } from "../policy-file.ts";
import { answer, type Misnomer, principalOf, requestOf } from "../question.ts";

export const explain = command({
  usage: "--claims FILE|- (--scope SCOPE... | --grant NAME)",
  description: `
Says whether a caller with these claims would get these scopes from a broker of this policy, and why: the
grants that decide, the nearest miss and its first failing condition with FILE:LINE, the session policy that
would be sent, and for how long. It reads claims (the JSON in a token's middle part), never tokens.

Exit codes: 0 a credential would be issued; 1 it would be refused; 2 no answer (wrong usage, or the policy
or the claims cannot be used).`,
  options: {
    claims: { type: "string", value: "FILE", help: "the caller's claims as a JSON object; - is standard input" },
    issuer: {
      type: "string",
      value: "NAME",
      help: "who vouches for them; default: whose iss they have, or the only one",
    },
    "api-key": { type: "string", value: "NAME", help: "instead of claims: the holder of this API key" },
    scope: { type: "string", multiple: true, value: "SCOPE", help: "what is asked for; may be repeated" },
    grant: { type: "string", value: "NAME", help: "instead of scopes: all that this grant gives" },
    registry: { type: "string", value: "NAME", help: "may be left out where there is only one, or with --grant" },
    address: { type: "string", value: "IP", help: "where the request comes from; unknown when left out" },
    time: { type: "string", value: "TIME", help: "when it is made, as in 2027-06-30T00:00:00Z; now when left out" },
    config: CONFIG_OPTION,
    json: JSON_OPTION,
  },
  mostPositionals: 0,
  examples: [
    "acr-broker explain --claims claims.json --scope repository:web/app:pull,push",
    "acr-broker explain --claims - --issuer github --grant web-main --json < claims.json",
  ],
  async run({ options }, terminal) {
    const { claims, issuer, "api-key": apiKey, grant, registry } = options;
    if (claims === undefined && apiKey === undefined) throw new UsageError("--claims FILE is missing: who is asking?");
    if (apiKey !== undefined && (claims ?? issuer) !== undefined) {
      throw new UsageError("--api-key stands beside --claims or --issuer; a key's holder has neither");
    }
    // First of all: a token in the wrong place must end here, whatever else is wrong.
    const read = claims === undefined ? undefined : readClaims(claims, terminal);
    const scope = options.scope?.flatMap((text) => text.split(" ")).filter((text) => text !== "");
    const file = policyFile(options.config, terminal);
    const config = await readPolicy(file, terminal);
    const asked = { address: checkedAddress(options.address), time: checkedTime(options.time) ?? terminal.now() };
    const principal = named(principalOf({ claims: read, issuer, apiKey, ...asked }, config));
    const explanation = answer(principal, named(requestOf({ scope, grant, registry }, config)), config);
    terminal.out(
      options.json === true
        ? `${JSON.stringify({ ...operatorView(explanation), file, policy_digest: config.digest })}\n`
        : explanationText(explanation, file, terminal.colour.out),
    );
    return explanation.refusal === undefined ? EXIT.ok : EXIT.no;
  },
});

function checkedAddress(written: string | undefined): string | undefined {
  const address = normalAddress(written);
  if (written !== undefined && address === undefined) throw new UsageError("--address is not an IP address");
  return address;
}

function checkedTime(written: string | undefined): Date | undefined {
  if (written === undefined) return undefined;
  const complaint = dateTime(written);
  if (complaint !== undefined) throw new UsageError(`--time ${complaint}`);
  return new Date(written);
}

function named<T extends object>(result: T | Misnomer): T {
  if (!("problem" in result)) return result;
  throw new UsageError(`--${result.field.replace("_", "-")}: ${result.problem}`);
}
