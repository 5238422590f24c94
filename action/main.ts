/** The action of this repository, action.yml: logs the job in. docs/clients/ci.md#github-actions */

import { mkdtempSync } from "node:fs";
import { homedir, tmpdir } from "node:os";
import { join } from "node:path";
import { AcrBroker } from "../shared/client/acr-broker.ts";
import { AcrBrokerError } from "../shared/client/errors.ts";
import { githubActions } from "../shared/client/identity/github-actions.ts";
import { basicAuth, writeLogin } from "./docker-config.ts";
import { exportVariable, fail, input, mask, saveState, say, setOutput } from "./runner.ts";

async function logIn(): Promise<void> {
  const [audience, scope, grant, registry, ttl] = ["audience", "scope", "grant", "registry", "ttl"].map(input);
  if (ttl && !/^\d+$/.test(ttl)) throw new Error(`ttl is ${JSON.stringify(ttl)}; it must be a number of seconds`);
  const logout = input("logout") || "true";
  if (!/^(?:true|false)$/.test(logout))
    throw new Error(`logout is ${JSON.stringify(logout)}; it must be true or false`);

  const broker = new AcrBroker({
    url: input("url"),
    identity: async (context) => {
      const token = await githubActions().token(context);
      mask(token);
      return token;
    },
    ...(audience ? { audience } : {}),
  });
  const credentials = await broker.credentials({
    ...(scope ? { scope } : {}),
    ...(grant ? { grant } : {}),
    ...(registry ? { registry } : {}),
    ...(ttl ? { ttl: Number(ttl) } : {}),
  });
  mask(credentials.password);

  const { username, password, expiresAt } = credentials;
  const login = { username, password, endpoints: chosen(credentials.endpoints) };
  mask(basicAuth(login));
  const folder = mkdtempSync(join(process.env["RUNNER_TEMP"] || tmpdir(), "acr-login-"));
  // Before there is anything to remove: the job may be cancelled at any time.
  if (logout === "true") saveState("folder", folder);
  writeLogin(folder, process.env["DOCKER_CONFIG"] || join(homedir(), ".docker"), login);
  exportVariable("DOCKER_CONFIG", folder);
  exportVariable("REGISTRY_AUTH_FILE", join(folder, "auth.json"));

  setOutput("username", username);
  setOutput("password", password);
  setOutput("registry", credentials.registry);
  setOutput("endpoints", login.endpoints.join(" "));
  setOutput("expires-at", expiresAt.toISOString());
  say(`logged in to ${login.endpoints.join(", ")} until ${expiresAt.toISOString()}`);
}

function chosen(endpoints: readonly string[]): readonly string[] {
  const wanted = input("endpoints")
    .split(/[\s,]+/)
    .filter((host) => host !== "");
  const stranger = wanted.find((host) => !endpoints.includes(host));
  if (stranger !== undefined) throw new Error(`endpoints has ${stranger}; the registry has ${endpoints.join(", ")}`);
  return wanted.length === 0 ? endpoints : wanted;
}

logIn().catch((error: unknown) => {
  if (!(error instanceof AcrBrokerError)) return fail(error instanceof Error ? error.message : "the login failed");
  const { code, message, requestId } = error;
  return fail(`${code}: ${message}${requestId === undefined ? "" : ` (request_id ${requestId})`}`);
});
