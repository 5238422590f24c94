/** `acr-broker doctor`, as a process, against the broker: each thing that is wrong is named, with what to change. */

import { once } from "node:events";
import { chmodSync, mkdtempSync, writeFileSync } from "node:fs";
import { createServer } from "node:https";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import type { Step } from "../../cli/doctor/step.ts";
import { policy } from "../broker/harness.ts";
import { makeCa } from "../certificates.ts";
import { serve } from "../client/servers.ts";
import { type Caller, HOSTS, SCOPE, startCaller } from "./broker.ts";

let call: Caller;
let registry: string;
let stranger: string;
let docker: string;
beforeAll(async () => {
  const challenge = { "www-authenticate": 'Bearer realm="https://auth.example"' };
  const asking = await serve((_, response) => response.writeHead(401, challenge).end());
  const other = await serve((_, response) =>
    response.writeHead(200, { date: "Wed, 01 Jan 2020 00:00:00 GMT" }).end("hello"),
  );
  [registry, stranger] = [new URL(asking.url).host, new URL(other.url).host];
  call = await startCaller({
    policy: (cloudUrl, issuerUrl) =>
      policy(cloudUrl, issuerUrl)
        .replace(`[${HOSTS.join(", ")}]`, `["${registry}", "127.0.0.1:2"]`)
        .replace("[lost.example.com]", `["${stranger}", "127.0.0.1:3"]`),
  });
});
afterAll(() => call.close());
beforeEach(() => {
  docker = mkdtempSync(join(call.home, "docker-"));
});

async function examine(args: string[] = [], more: Record<string, string> = {}) {
  const { code, out, told } = await call.run(["doctor", "--json", ...args], { DOCKER_CONFIG: docker, ...more });
  expect(told).toBe("");
  const { ok, steps } = JSON.parse(out) as { ok: boolean; steps: Step[] };
  expect(code).toBe(ok ? 0 : 1);
  for (const { outcome, change } of steps) if (outcome === "warning") expect(change).toBeDefined();
  return { code, steps, of: (name: Step["step"]) => steps.filter(({ step }) => step === name) };
}

describe("where all is well", () => {
  test("each step says what it found, and nothing is issued", async () => {
    const issued = call.passwords().length;
    const { code, steps } = await examine(["--scope", SCOPE]);
    expect(code).toBe(0);
    expect(steps).toEqual([
      { step: "url", outcome: "ok", says: `${call.harness.url}/` },
      {
        step: "broker",
        outcome: "ok",
        says: expect.stringContaining("its audience is https://acr-broker.example.com, its registries are prod, lost"),
      },
      {
        step: "clock",
        outcome: "ok",
        says: expect.stringMatching(/^this machine's is \d s (behind|ahead of) the broker's$/),
      },
      {
        step: "identity",
        outcome: "ok",
        says: expect.stringMatching(
          /^the variable ACR_BROKER_TOKEN: a token of iss http:\/\/\S+, sub job, aud https:\/\/acr-broker.example.com, expires in \d+ s$/,
        ),
      },
      { step: "audience", outcome: "ok", says: "the token is for https://acr-broker.example.com" },
      { step: "whoami", outcome: "ok", says: "job, of issuer ci; grants: web-main, base-pull, lost" },
      { step: "explain", outcome: "ok", says: `${SCOPE} would be issued for 1800 s, by web-main` },
      { step: "docker", outcome: "ok", says: `for ${registry}, 127.0.0.1:2 docker looks into ${docker}/config.json` },
      { step: "registry", outcome: "ok", says: `${registry} (prod) answers, and asks for a login` },
      { step: "registry", outcome: "skipped", says: "prod at 127.0.0.1:2 could not be reached (ECONNREFUSED)" },
    ]);
    expect(call.passwords().length).toBe(issued);
  });

  test("for a person, a line each; never with the token in it", async () => {
    const token = await call.harness.mint();
    const { code, out } = await call.run(["doctor"], {
      DOCKER_CONFIG: docker,
      ACR_BROKER_TOKEN: token,
      FORCE_COLOR: "1",
    });
    expect(code).toBe(0);
    expect(out).toContain("\u001b[32mok      \u001b[39m whoami    job, of issuer ci");
    expect(out).toContain("give --scope or --grant");
    for (const part of token.split(".")) expect(out).not.toContain(part.slice(0, 24));
  });
});

describe("what it finds", () => {
  test.each<[string, Record<string, string>, Step["step"], Step["outcome"], string, string]>([
    [
      "no broker",
      { ACR_BROKER_URL: "http://127.0.0.1:2" },
      "broker",
      "failed",
      "could not be reached (ECONNREFUSED)",
      "nothing listens there",
    ],
    [
      "no identity",
      { ACR_BROKER_TOKEN: "", GITHUB_ACTIONS: "true" },
      "identity",
      "failed",
      "id-token: write",
      "docs/clients/sdk.md",
    ],
    [
      "no token",
      { ACR_BROKER_TOKEN: "not-a-token" },
      "identity",
      "failed",
      "none of the three kinds",
      "a JWT, an API key",
    ],
    [
      "a proxy that Node does not use",
      { ACR_BROKER_URL: "http://127.0.0.1:2", HTTPS_PROXY: "http://proxy" },
      "broker",
      "failed",
      "ECONNREFUSED",
      "NODE_USE_ENV_PROXY=1",
    ],
  ])("%s", async (_, environment, step, outcome, says, change) => {
    const { code, of } = await examine([], environment);
    expect(code).toBe(1);
    expect(of(step)).toEqual([
      { step, outcome, says: expect.stringContaining(says), change: expect.stringContaining(change) },
    ]);
  });

  test("another service at the url", async () => {
    const { of } = await examine([], { ACR_BROKER_URL: `http://${stranger}` });
    expect(of("broker")).toMatchObject([{ outcome: "failed", says: expect.stringContaining("is not the broker's") }]);
    expect(of("whoami")).toMatchObject([{ outcome: "skipped" }]);
  });

  test("a certificate that this machine does not trust", async () => {
    const server = createServer(makeCa().server("127.0.0.1"), (_, response) => response.end());
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    const { of } = await examine([], { ACR_BROKER_URL: `https://127.0.0.1:${(server.address() as AddressInfo).port}` });
    server.close();
    expect(of("broker")).toMatchObject([
      { outcome: "failed", change: expect.stringContaining("NODE_EXTRA_CA_CERTS=FILE") },
    ]);
  });

  test("a clock that is wrong", async () => {
    const ahead = await serve(async (request, response) => {
      const answer = await fetch(call.harness.url + request.url?.replace(/^\/v1.*/, "/.well-known/acr-broker"));
      response.writeHead(200, {
        "content-type": "application/json",
        date: new Date(Date.now() + 600_000).toUTCString(),
      });
      response.end(await answer.text());
    });
    const { of } = await examine([], { ACR_BROKER_URL: ahead.url });
    // It is another service for the rest: that is said, too.
    expect(of("whoami")).toMatchObject([{ outcome: "failed", says: expect.stringContaining("not the broker's") }]);
    expect(of("clock")).toMatchObject([
      {
        outcome: "warning",
        says: expect.stringMatching(/^this machine's is (599|600|601) s behind/),
        change: expect.stringContaining("NTP"),
      },
    ]);
  });

  test("a token for another audience, and one that has expired", async () => {
    const other = await examine([], { ACR_BROKER_TOKEN: await call.harness.mint({ aud: "https://other.example" }) });
    expect(other.of("audience")).toMatchObject([
      { outcome: "warning", says: expect.stringContaining("the token is for https://other.example") },
    ]);
    expect(other.of("whoami")).toMatchObject([
      { outcome: "failed", says: expect.stringContaining("invalid_audience: ") },
    ]);
    const past = Math.floor(Date.now() / 1000) - 600;
    const expired = await examine([], {
      ACR_BROKER_TOKEN: await call.harness.mint({ iat: past - 60, nbf: past - 60, exp: past }),
    });
    expect(expired.of("identity")).toMatchObject([
      { outcome: "failed", says: expect.stringMatching(/expired \d+ s ago$/) },
    ]);
    expect(expired.of("whoami")).toMatchObject([
      { outcome: "failed", says: expect.stringContaining("token_expired: ") },
    ]);
  });

  test("an API key, which says nothing of itself; and one that is none of the broker's", async () => {
    const { of } = await examine([], { ACR_BROKER_TOKEN: `abk_nightly_${"0".repeat(64)}` });
    expect(of("identity")).toMatchObject([{ outcome: "ok", says: "the variable ACR_BROKER_TOKEN: an API key" }]);
    expect(of("whoami")).toMatchObject([{ outcome: "failed", says: expect.stringContaining("invalid_api_key: ") }]);
  });

  test("nobody's grant, and a scope that no grant gives", async () => {
    const nobody = await examine([], { ACR_BROKER_TOKEN: await call.harness.mint({ sub: "nobody" }) });
    expect(nobody.of("whoami")).toMatchObject([
      { outcome: "failed", says: "nobody, of issuer ci; no grant is for you" },
    ]);
    const { of } = await examine(["--scope", "repository:secret/app:pull"]);
    expect(of("explain")).toMatchObject([{ outcome: "failed", says: expect.stringContaining("access_denied: ") }]);
  });

  test("helpers that docker asks in place of a login, and one that is not there", async () => {
    const path = mkdtempSync(join(call.home, "bin-"));
    for (const helper of ["pass", "acr-broker"]) {
      writeFileSync(join(path, `docker-credential-${helper}`), "");
      chmodSync(join(path, `docker-credential-${helper}`), 0o755);
    }
    const found = async (config: object) => {
      writeFileSync(join(docker, "config.json"), JSON.stringify(config));
      return (await examine([], { PATH: path })).of("docker").map(({ outcome, says }) => `${outcome}: ${says}`);
    };
    const file = `as ${docker}/config.json has it`;
    expect(await found({ credsStore: "pass", credHelpers: { [registry]: "acr-broker" } })).toEqual([
      `ok: for ${registry} docker asks docker-credential-acr-broker, ${file}`,
      `warning: for 127.0.0.1:2 docker asks docker-credential-pass, ${file}`,
    ]);
    expect(await found({ credsStore: "desktop" })).toEqual([
      `failed: for ${registry}, 127.0.0.1:2 docker asks docker-credential-desktop, ${file}, and that is not in PATH`,
    ]);
    writeFileSync(join(docker, "config.json"), "{");
    expect((await examine()).of("docker")).toMatchObject([
      { outcome: "failed", says: expect.stringContaining("it is not JSON") },
    ]);
  });

  test("a login that has ended, and one in a variable that docker prefers", async () => {
    const auth = { auth: "b2xk" };
    writeFileSync(join(docker, "config.json"), JSON.stringify({ auths: { [registry]: auth } }));
    const logins = { [registry]: { sha256: "", expires_at: "2020-01-01T00:00:00Z" } };
    writeFileSync(join(docker, ".config.json.acr-broker-logins"), JSON.stringify({ logins }));
    const { code, of } = await examine([], { DOCKER_AUTH_CONFIG: JSON.stringify({ auths: { [registry]: auth } }) });
    expect(code).toBe(0);
    expect(of("docker").slice(1)).toMatchObject([
      {
        outcome: "warning",
        says: expect.stringContaining(`the login of acr-broker to ${registry}`),
        change: "acr-broker login again, or acr-broker logout",
      },
      { outcome: "warning", says: expect.stringContaining(`DOCKER_AUTH_CONFIG has a login to ${registry}`) },
    ]);
  });

  test("a registry that is none, and one of which no host is reached", async () => {
    const { of } = await examine(["--registry", "lost"]);
    expect(of("registry")).toMatchObject([
      { outcome: "warning", says: `${stranger} (lost) answers with 200, and a registry would ask for a login` },
      { outcome: "skipped" },
    ]);
    const elsewhere = await serve((_, response) =>
      response.writeHead(200, { "content-type": "application/json" }).end(
        JSON.stringify({
          audience: "https://acr-broker.example.com",
          sts_host: "x",
          registries: { far: { endpoints: ["127.0.0.1:2"] } },
        }),
      ),
    );
    const far = await examine([], { ACR_BROKER_URL: elsewhere.url });
    expect(far.of("registry")).toMatchObject([
      { outcome: "failed", change: expect.stringContaining("in their VPC only") },
    ]);
  });
});

test("without a url there is nothing to examine: exit code 2", async () => {
  expect(await call.run(["doctor"], { ACR_BROKER_URL: "" })).toMatchObject({
    code: 2,
    out: "",
    told: expect.stringContaining("--url"),
  });
});
