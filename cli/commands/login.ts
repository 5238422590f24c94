/** `acr-broker login`: a credential into docker's config.json, or into auth.json of podman, skopeo and buildah. */

import { BROKER_OPTIONS, brokerOf, REQUEST_OPTIONS, requestOf } from "../broker.ts";
import { command, EXIT, UsageError } from "../command.ts";
import { AUTH_FILE_OPTIONS, authFileOf } from "../docker/auth-file.ts";
import { readDockerConfig } from "../docker/config-file.ts";
import { helpersIn, refuseHelpers, writeLogin } from "../docker/logins.ts";
import { lifeText } from "../life.ts";
import { JSON_OPTION } from "../policy-file.ts";

export const login = command({
  usage: "--scope SCOPE... | --grant NAME [--endpoint HOST]... [--podman | --authfile FILE]",
  description: `
Asks the broker for a credential and writes it into docker's config.json, for each of the registry's hosts;
what else is in the file stays as it is. Any number of logins may run at the same time. The credential ends by
itself; acr-broker logout takes it out sooner. Where docker asks a credential helper for the host, it would not
look at the file: then nothing is written, and it says what to do.

Exit codes: 0 written; 1 the broker refused; 2 nothing written: wrong usage, no identity, the broker not
reached, a file that is no docker config or is a helper's.`,
  options: {
    ...BROKER_OPTIONS,
    ...REQUEST_OPTIONS,
    endpoint: {
      type: "string",
      multiple: true,
      value: "HOST",
      help: "of the registry's hosts only this; may be given again",
    },
    ...AUTH_FILE_OPTIONS,
    json: JSON_OPTION,
  },
  mostPositionals: 0,
  examples: ["acr-broker login --scope repository:web/app:pull,push", "acr-broker login --grant web-main --podman"],
  async run({ options }, terminal) {
    const { file, isDocker } = authFileOf(options, terminal);
    const broker = brokerOf(options, terminal);
    const request = requestOf(options, terminal);
    // A file that could not be written afterwards is found before anything is issued.
    refuseHelpers(file, helpersIn(readDockerConfig(file), isDocker), options.endpoint ?? []);
    const credentials = await broker.credentials(request);
    const { username, password, registry, expiresAt } = credentials;
    const endpoints = chosen(options.endpoint, credentials.endpoints);
    await writeLogin(file, terminal, { username, password, registry, endpoints, expiresAt }, isDocker);
    if (options.json === true) {
      const { fingerprint, requestId, expiresInSeconds } = credentials;
      const [expires, facts] = [expiresAt.toISOString(), { token_fingerprint: fingerprint, request_id: requestId }];
      terminal.out(
        `${JSON.stringify({ file, endpoints, scope: credentials.scope, expires_at: expires, expires_in: expiresInSeconds, ...facts })}\n`,
      );
    } else {
      terminal.tell(`logged in to ${endpoints.join(", ")} in ${file}\n`);
      terminal.tell(`it is good for ${credentials.scope.join(" ")}, and expires ${lifeText(credentials)}\n`);
    }
    return EXIT.ok;
  },
});

/** A password goes to no host that the broker has not named. */
function chosen(wanted: readonly string[] | undefined, endpoints: readonly string[]): readonly string[] {
  const strange = wanted?.find((host) => !endpoints.includes(host));
  if (strange === undefined) return wanted ?? endpoints;
  throw new UsageError(
    `--endpoint ${JSON.stringify(strange)} is none of the registry's hosts: ${endpoints.join(", ")}; the broker's operator adds it to endpoints`,
  );
}
