/**
 * One server of the sandbox as a process of its own: `serve.ts cloud PORT` or `serve.ts issuer PORT`. Tells its parent where
 * it listens, and ends when the parent does.
 */

import { AUDIENCE, FUNCTION_ROLE } from "./broker-process.ts";
import { startCloud } from "./cloud.ts";
import { startIssuer } from "./issuer.ts";
import { createRealm } from "./realm.ts";
import { createOciRegistry } from "./registry.ts";

const [role, port] = process.argv.slice(2);
process.on("disconnect", () => process.exit());
// An interrupt of the terminal goes to all; the parent decides when it is over.
process.on("SIGINT", () => {});

try {
  process.send?.(role === "cloud" ? await cloud(Number(port)) : await issuer(Number(port)));
} catch (error) {
  process.send?.({ failed: error instanceof Error ? error.message : String(error) });
}

async function cloud(port: number) {
  const realm = createRealm({ issuer: "sandbox-realm", service: "acr-sandbox" });
  const { url, host, functionRoleKeys } = await startCloud({
    port,
    handlers: [realm.handler, createOciRegistry({ realm })],
  });
  return { url, host, keys: functionRoleKeys(FUNCTION_ROLE) };
}

async function issuer(port: number) {
  return { url: (await startIssuer({ port, audience: AUDIENCE })).url };
}
