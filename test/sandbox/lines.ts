/** What `npm run dev` prints to paste: whole lines, each with a token of its own, since one is good once. */

import { jobClaims } from "./broker-process.ts";
import type { Stack } from "./stack.ts";

const SCOPE = "repository:web/app:pull,push";

/** Lines by what they show. A line that begins with two spaces is to be pasted. */
export function linesToPaste({
  broker,
  issuerUrl,
  registryHost,
}: Pick<Stack, "broker" | "issuerUrl" | "registryHost">) {
  /** `cut` takes the token out of {"token":"…"}. */
  const token = (branch: string) =>
    `$(curl -sS ${issuerUrl}/mint -d '${JSON.stringify(jobClaims(branch))}' | cut -d'"' -f4)`;
  const curl = (branch: string, ...fields: string[]) =>
    [
      `curl -sS ${broker.url}/v1/token -H "Authorization: Bearer ${token(branch)}"`,
      ...fields.map((field) => (field.startsWith("-") ? field : `-d ${field}`)),
    ].join(" ");
  const scope = `scope=${SCOPE}`;
  const acrBroker = (words: string) =>
    `ACR_BROKER_URL=${broker.url} ACR_BROKER_TOKEN=${token("main")} npx --no-install acr-broker ${words}`;

  return `Credentials for a job on the main branch:
  ${curl("main", scope)}

The same, into docker (a refusal is shown, not sent to docker):
  if password=$(${curl("main", scope, "format=password", "--fail-with-body")}); then printf %s "$password" | docker login -u cr_temp_user --password-stdin ${registryHost}; else echo "$password"; fi
(docker tries https first, and says so; afterwards: docker logout ${registryHost})

The same with the command line, in this folder: step by step, and for one command alone (docs/cli.md has the others):
  ${acrBroker(`doctor --scope ${SCOPE}`)}
  ${acrBroker(`exec --scope ${SCOPE} -- sh -c 'ls -l "$DOCKER_CONFIG"'`)}

Refused, with the condition that failed:
  ${curl("evil", scope)}
`;
}
