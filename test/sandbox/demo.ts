/**
 * `npm run demo`: the whole job once, on the built broker and the sandbox: token, credentials, an allowed push and pull,
 * and what is refused. Ends with 1 where anything is other than it should be.
 */

import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { jobClaims } from "./broker-process.ts";
import { pullImage, pushImage, RegistryError, writeImage } from "./image.ts";
import { startStack } from "./stack.ts";

const stack = await startStack({ broker: 0, cloud: 0, issuer: 0 });
const folder = await mkdtemp(join(tmpdir(), "acr-demo-"));
try {
  await demo();
} finally {
  await stack.stop();
  await rm(folder, { recursive: true, force: true });
}

async function demo(): Promise<void> {
  const { broker, cloudUrl, issuerUrl, registryHost } = stack;
  say(`broker ${broker.url}, sandbox cloud ${cloudUrl}, issuer ${issuerUrl}`);
  say(`registry ${registryHost}: the sandbox's own, in process`);

  step("A CI job on the main branch gets a token from its issuer");
  const token = await mint("main");
  say(`${token.slice(0, 24)}… (${token.length} characters)`);

  step("and asks the broker for what it needs: push to web/app, pull from base/alpine");
  const answer = await ask(token, ["repository:web/app:pull,push", "repository:base/alpine:pull"]);
  assert.equal(answer.status, 200, await answer.clone().text());
  const credentials = (await answer.json()) as { username: string; password: string; expires_in: number };
  say(JSON.stringify({ ...credentials, password: mask(credentials.password) }, null, 2));

  step("With them it pushes an image, and pulls it back");
  await writeImage(folder, "demo");
  const { username, password } = credentials;
  const at = (repository: string) => ({ registry: `http://${registryHost}`, repository, username, password });
  const pushed = await pushImage(at("web/app"), folder, "1.0");
  const pulled = await pullImage(at("web/app"), "1.0");
  assert.deepEqual(pulled, pushed);
  say(`pushed and pulled web/app:1.0, ${pushed.manifest}`);

  step("They reach no further: the registry refuses");
  for (const repository of ["web/other", "base/alpine", "secret/vault"]) {
    const error = await pushImage(at(repository), folder, "1.0").catch((thrown: unknown) => thrown);
    assert(error instanceof RegistryError, `a push to ${repository} was not refused`);
    say(`push to ${repository}: ${error.status} ${error.code}`);
  }

  step("A job on another branch gets none: the broker refuses, and says why");
  const refused = await ask(await mint("evil"), ["repository:web/app:push"]);
  const problem = (await refused.json()) as { code: string; detail: string };
  assert.deepEqual([refused.status, problem.code], [403, "access_denied"]);
  say(`${refused.status} ${problem.code}: ${problem.detail}`);
  assert.match(problem.detail, /claim ref failed: the claim is "refs\/heads\/evil"/);

  assert(!broker.output().includes(credentials.password), "the password is in the broker's log");
  console.log("\nAll as it should be.");
}

async function mint(branch: string): Promise<string> {
  const response = await fetch(`${stack.issuerUrl}/mint`, { method: "POST", body: JSON.stringify(jobClaims(branch)) });
  return ((await response.json()) as { token: string }).token;
}

function ask(token: string, scope: string[]): Promise<Response> {
  return fetch(`${stack.broker.url}/v1/token`, {
    method: "POST",
    headers: { authorization: `Bearer ${token}`, "content-type": "application/json" },
    body: JSON.stringify({ registry: "prod", scope }),
  });
}

function mask(secret: string): string {
  return `${secret.slice(0, 4)}… (${secret.length} characters)`;
}

function step(text: string): void {
  console.log(`\n${text}`);
}

function say(text: string): void {
  console.log(`  ${text.replaceAll("\n", "\n  ")}`);
}
