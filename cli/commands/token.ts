/** `acr-broker token`: a credential to standard output. */

import type { Credentials } from "../../shared/client/credentials.ts";
import { dockerConfig, environmentFile, kubernetesSecret } from "../../shared/credential-formats.ts";
import { BROKER_OPTIONS, brokerOf, REQUEST_OPTIONS, requestOf } from "../broker.ts";
import { command, EXIT } from "../command.ts";
import { formatOf } from "../format.ts";
import { lifeText } from "../life.ts";

const FORMATS = ["json", "password", "docker-config", "env", "kubernetes-secret"] as const;
type Format = (typeof FORMATS)[number];

export const token = command({
  usage: "--scope SCOPE... | --grant NAME [--format FORMAT]",
  description: `
Asks the broker for a credential and writes it to standard output: as JSON, the password alone, docker's
config.json, variables for a shell, or a Kubernetes Secret. On a terminal, where no format was asked for, it
says what was issued and does not show the password. Who the caller is comes from the environment:
ACR_BROKER_TOKEN, ACR_BROKER_TOKEN_FILE, or what the CI, Kubernetes or Alibaba Cloud gives.

Exit codes: 0 issued; 1 the broker refused; 2 no answer: wrong usage, no identity, the broker not reached.`,
  options: {
    ...BROKER_OPTIONS,
    ...REQUEST_OPTIONS,
    format: { type: "string", value: "FORMAT", choices: FORMATS, help: `${FORMATS.join(", ")}; default json` },
    json: { type: "boolean", help: "the same as --format json" },
  },
  mostPositionals: 0,
  examples: [
    "acr-broker token --scope repository:web/app:pull",
    "acr-broker token --grant web-main --format password | skopeo login --username cr_temp_user --password-stdin REGISTRY",
  ],
  async run({ options }, terminal) {
    const format = formatOf(options, FORMATS);
    const credentials = await brokerOf(options, terminal).credentials(requestOf(options, terminal));
    terminal.out(format === undefined && terminal.isWatched ? summary(credentials) : written(credentials, format));
    return EXIT.ok;
  },
});

function written(credentials: Credentials, format: Format = "json"): string {
  switch (format) {
    case "json":
      return `${JSON.stringify(answerOf(credentials))}\n`;
    case "password":
      return `${credentials.password}\n`;
    case "docker-config":
      return `${JSON.stringify(dockerConfig(credentials), null, 2)}\n`;
    case "env":
      return environmentFile(credentials);
    case "kubernetes-secret":
      return `${JSON.stringify(kubernetesSecret(credentials), null, 2)}\n`;
  }
}

/** As `POST /v1/token` answers. */
function answerOf(credentials: Credentials) {
  return {
    username: credentials.username,
    password: credentials.password,
    registry: credentials.registry,
    endpoints: credentials.endpoints,
    scope: credentials.scope,
    grants: credentials.grants,
    issued_at: credentials.issuedAt.toISOString(),
    expires_at: credentials.expiresAt.toISOString(),
    expires_in: credentials.expiresInSeconds,
    refresh_after: credentials.refreshAfter.toISOString(),
    token_fingerprint: credentials.fingerprint,
    request_id: credentials.requestId,
  };
}

function summary(credentials: Credentials): string {
  return `registry  ${credentials.registry}: ${credentials.endpoints.join(", ")}
scope     ${credentials.scope.join(" ")}
grants    ${credentials.grants.join(", ")}
expires   ${lifeText(credentials)}
username  ${credentials.username}
password  not shown on a terminal; --format json, or a pipe, has it
`;
}
