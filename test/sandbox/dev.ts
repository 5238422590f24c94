/** `npm run dev`: broker, sandbox cloud and issuer on their own ports until interrupted, and lines that work when pasted (lines.ts). */

import { once } from "node:events";
import { linesToPaste } from "./lines.ts";
import { startStack } from "./stack.ts";

const stack = await startStack({ broker: 9000, cloud: 9100, issuer: 9200 }, console.log).catch((error: Error) => {
  const taken = error.message.includes("EADDRINUSE");
  console.error(taken ? `${error.message}\nPorts 9000, 9100 and 9200 of 127.0.0.1 must be free.` : error.message);
  process.exit(1);
});
const { broker, cloudUrl, issuerUrl, registryHost } = stack;

console.log(`broker         ${broker.url}
sandbox cloud  ${cloudUrl} (STS, ACR, and a registry at ${registryHost})
issuer         ${issuerUrl}

${linesToPaste(stack)}
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
