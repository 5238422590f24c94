/** What `acr-token-broker/client` exports. Nothing inside the house imports this file. */

export { AcrBroker, type AcrBrokerOptions } from "./acr-broker.ts";
export type { RamKeys } from "./acs3.ts";
export type { Credentials } from "./credentials.ts";
export {
  AcrBrokerError,
  type ClientCode,
  ConnectionError,
  IdentityError,
  OptionsError,
  RefusedError,
} from "./errors.ts";
export { buildkite, circleci } from "./identity/command.ts";
export { detectIdentity } from "./identity/detect.ts";
export { kubernetes, tokenFile } from "./identity/file.ts";
export { githubActions } from "./identity/github-actions.ts";
export type { Identity, IdentityContext, IdentitySource } from "./identity/identity.ts";
export { signedIdentity } from "./identity/signed.ts";
export { gitlab, tokenVariable } from "./identity/variable.ts";
export type { Outside } from "./outside.ts";
export { ecsRole } from "./ram/ecs-role.ts";
export { environmentKeys, type RamKeySource, ramKeys } from "./ram/keys.ts";
export { rrsa } from "./ram/rrsa.ts";
export type { CredentialsRequest } from "./request.ts";
export type { BrokerCode } from "./wire.ts";
