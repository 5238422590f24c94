/** `npm run dev`: broker, sandbox cloud and issuer on their own ports until interrupted, and curl lines that work when pasted. */

import { once } from "node:events";
import { jobClaims } from "./broker-process.ts";
import { startStack } from "./stack.ts";

const stack = await startStack({ broker: 9000, cloud: 9100, issuer: 9200 }).catch((error: Error) => {
  console.error(`${error.message}\nAre ports 9000, 9100 and 9200 of 127.0.0.1 free?`);
  process.exit(1);
});
const { broker, cloudUrl, issuerUrl, registryHost } = stack;

/** Mints a token and asks for credentials with it; `cut` takes the token out of {"token":"…"}. */
function curl(branch: string, ...fields: string[]): string {
  const token = `$(curl -sS ${issuerUrl}/mint -d '${JSON.stringify(jobClaims(branch))}' | cut -d'"' -f4)`;
  return [
    `curl -sS ${broker.url}/v1/token -H "Authorization: Bearer ${token}"`,
    ...fields.map((field) => `-d ${field}`),
  ].join(" ");
}

const scope = "scope=repository:web/app:pull,push";
console.log(`broker         ${broker.url}
sandbox cloud  ${cloudUrl} (STS, ACR, and a registry at ${registryHost})
issuer         ${issuerUrl}

Credentials for a job on the main branch:
  ${curl("main", scope)}

The same, into docker:
  ${curl("main", scope, "format=password")} | docker login -u cr_temp_user --password-stdin ${registryHost}

Refused, with the condition that failed:
  ${curl("evil", scope)}

Ctrl-C ends all three.`);

await Promise.race([once(process, "SIGINT"), once(process, "SIGTERM")]);
await stack.stop();
