/** `npm run dev`: broker, sandbox cloud and issuer on their own ports until interrupted, and curl lines that work when pasted. */

import { once } from "node:events";
import { jobClaims } from "./broker-process.ts";
import { startStack } from "./stack.ts";

const stack = await startStack({ broker: 9000, cloud: 9100, issuer: 9200 }, console.log).catch((error: Error) => {
  const taken = error.message.includes("EADDRINUSE");
  console.error(taken ? `${error.message}\nPorts 9000, 9100 and 9200 of 127.0.0.1 must be free.` : error.message);
  process.exit(1);
});
const { broker, cloudUrl, issuerUrl, registryHost } = stack;

/** Mints a token and asks for credentials with it; `cut` takes the token out of {"token":"…"}. */
function curl(branch: string, ...fields: string[]): string {
  const token = `$(curl -sS ${issuerUrl}/mint -d '${JSON.stringify(jobClaims(branch))}' | cut -d'"' -f4)`;
  return [
    `curl -sS ${broker.url}/v1/token -H "Authorization: Bearer ${token}"`,
    ...fields.map((field) => (field.startsWith("-") ? field : `-d ${field}`)),
  ].join(" ");
}

const scope = "scope=repository:web/app:pull,push";
console.log(`broker         ${broker.url}
sandbox cloud  ${cloudUrl} (STS, ACR, and a registry at ${registryHost})
issuer         ${issuerUrl}

Credentials for a job on the main branch:
  ${curl("main", scope)}

The same, into docker (a refusal is shown, not sent to docker):
  if password=$(${curl("main", scope, "format=password", "--fail-with-body")}); then printf %s "$password" | docker login -u cr_temp_user --password-stdin ${registryHost}; else echo "$password"; fi
  (docker tries https first, and says so; afterwards: docker logout ${registryHost})

Refused, with the condition that failed:
  ${curl("evil", scope)}

Ctrl-C ends all three. What the broker logs:`);

const why = await Promise.race([
  once(process, "SIGINT").then(() => undefined),
  once(process, "SIGTERM").then(() => undefined),
  broker.ended.then((code) => `the broker ended by itself with ${code}`),
]);
await stack.stop();
if (why !== undefined) {
  console.error(why);
  process.exitCode = 1;
}
