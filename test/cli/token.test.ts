/** `acr-broker token`, as a process, against the broker. */

import { spawn } from "node:child_process";
import { rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, describe, expect, test } from "vitest";
import { bodyOf, json, serve } from "../client/servers.ts";
import { caller, HOSTS, SCOPE } from "./broker.ts";
import { ACR_BROKER } from "./run.ts";

const call = caller();

describe("on standard output", () => {
  test("JSON as the API answers it, where nothing else was asked for and nobody looks", async () => {
    const { code, out, told } = await call.it.run(["token", "--scope", SCOPE]);
    expect({ code, told }).toEqual({ code: 0, told: "" });
    const answer = JSON.parse(out);
    const api = (await (await call.it.harness.ask({ registry: "prod", scope: [SCOPE] })).json()) as Record<
      string,
      unknown
    >;
    expect(Object.keys(answer)).toEqual(Object.keys(api));
    expect(answer).toMatchObject({ username: "cr_temp_user", endpoints: HOSTS, scope: [SCOPE], grants: ["web-main"] });
    expect(call.it.passwords()).toContain(answer.password);
  });

  test.each(["docker-config", "env", "kubernetes-secret"])(
    "%s as the API answers it, but for password and time",
    async (format) => {
      const { out } = await call.it.run(["token", "--scope", SCOPE, "--format", format]);
      const response = await call.it.harness.request("/v1/token", {
        method: "POST",
        headers: { authorization: `Bearer ${await call.it.harness.mint()}`, "content-type": "application/json" },
        body: JSON.stringify({ registry: "prod", scope: [SCOPE], format }),
      });
      expect(out).toBe(await response.text());
    },
  );

  test("the password alone, in a line", async () => {
    const { out } = await call.it.run(["token", "--scope", SCOPE, "--format", "password"]);
    expect(call.it.passwords()).toContain(out.trimEnd());
    expect(out).toMatch(/^\S+\n$/);
  });

  test("on a terminal what was issued, and no password unless it is asked for", async () => {
    const environment = await call.it.environment();
    const onTerminal = async (args: string) => {
      const child = spawn(
        "script",
        ["-qec", `${process.execPath} ${ACR_BROKER} token --scope ${SCOPE} ${args}`, "/dev/null"],
        {
          env: environment,
          stdio: ["ignore", "pipe", "inherit"],
        },
      );
      let out = "";
      for await (const chunk of child.stdout.setEncoding("utf8")) out += chunk;
      return out;
    };
    const shown = await onTerminal("");
    expect(shown).toContain("password  not shown on a terminal");
    expect(shown).toMatch(/expires {3}in \d+ min \(20/);
    expect(call.it.passwords().filter((secret) => shown.includes(secret))).toEqual([]);
    const asked = await onTerminal("--format password");
    expect(call.it.passwords()).toContain(asked.trim());
  });
});

describe("what is asked for", () => {
  test("comes from the environment where no option says it", async () => {
    const scopes = await call.it.run(["token", "--json"], { ACR_BROKER_SCOPE: `${SCOPE} repository:base/go:pull` });
    expect(JSON.parse(scopes.out).scope).toEqual(["repository:base/go:pull", SCOPE]);
    const grant = await call.it.run(["token", "--json"], {
      ACR_BROKER_GRANT: "base-pull",
    });
    expect(JSON.parse(grant.out).grants).toEqual(["base-pull"]);
    const over = await call.it.run(["token", "--json", "--grant", "base-pull"], { ACR_BROKER_SCOPE: SCOPE });
    expect(JSON.parse(over.out).grants).toEqual(["base-pull"]);
  });

  test("may be several scopes, and a life", async () => {
    const { out } = await call.it.run(
      ["token", "--scope", SCOPE, "--scope", "repository:base/go:pull", "--ttl", "900", "--min-ttl", "890"].concat(
        "--registry",
        "prod",
      ),
    );
    const { scope, expires_in } = JSON.parse(out);
    expect(scope).toEqual(["repository:base/go:pull", SCOPE]);
    expect(expires_in).toBeGreaterThan(880);
    expect(expires_in).toBeLessThanOrEqual(900);
  });
});

describe("what ends without a credential", () => {
  test("a refusal has the broker's code, words and request id, and exit code 1", async () => {
    const { code, out, told } = await call.it.run(["token", "--scope", "repository:secret/app:pull"]);
    expect({ code, out }).toEqual({ code: 1, out: "" });
    const said = /^acr-broker: access_denied: (.+) \(request_id (request-\d+)\)\n$/.exec(told);
    expect(call.it.harness.logged().filter(({ request_id }) => request_id === said?.[2])).not.toEqual([]);
    const again = await call.it.harness.ask({ registry: "prod", scope: ["repository:secret/app:pull"] });
    expect(said?.[1]).toBe(((await again.json()) as { detail: string }).detail);
  });

  test("a broker that is not there has exit code 2, and is named", async () => {
    const { code, told } = await call.it.run([
      "token",
      "--scope",
      SCOPE,
      "--url",
      "http://127.0.0.1:2",
      "--deadline",
      "1",
    ]);
    expect(code).toBe(2);
    expect(told).toBe(
      "acr-broker: network_error: the broker at 127.0.0.1:2 could not be reached (ECONNREFUSED); acr-broker doctor says more\n",
    );
  });

  test.each<[string[], Record<string, string>, string]>([
    [[], {}, "for what? nothing asked for never means everything"],
    [["--scope", SCOPE, "--grant", "web-main"], {}, "give --scope or --grant, not both"],
    [[], { ACR_BROKER_SCOPE: SCOPE, ACR_BROKER_GRANT: "x" }, "ACR_BROKER_SCOPE and ACR_BROKER_GRANT are both set"],
    [["--scope", SCOPE], { ACR_BROKER_URL: "" }, "which broker? give --url"],
    [["--scope", SCOPE], { ACR_BROKER_URL: "http://broker.example.com" }, "credentials go over https only"],
    [["--scope", SCOPE, "--url", "broker.example.com"], {}, "invalid_options: url is"],
    [["--scope", SCOPE, "--ttl", "soon"], {}, "--ttl is a whole number of seconds"],
    [["--scope", SCOPE, "--format", "yaml"], {}, "--format is one of json, password"],
    [["--scope", SCOPE], { ACR_BROKER_TOKEN: "", CI: "", GITHUB_ACTIONS: "true" }, "id-token: write"],
    [
      ["--scope", SCOPE],
      { ACR_BROKER_TOKEN: "", ACR_BROKER_TOKEN_FILE: "/nowhere" },
      "/nowhere could not be read: ENOENT",
    ],
  ])("%j with %j: says what to write", async (args, environment, says) => {
    const { code, out, told } = await call.it.run(["token", ...args], environment);
    expect({ code, out }).toEqual({ code: 2, out: "" });
    expect(told).toContain(says);
  });

  test("a token is no argument, and is not repeated", async () => {
    const token = await call.it.harness.mint();
    for (const args of [
      ["--token", token],
      ["--password", token],
      [`--token=${token}`],
      ["--api-key", token],
      ["--scope", token],
      ["--url", `https://${token}`],
      [token],
    ]) {
      const { code, told } = await call.it.run(["token", ...args]);
      expect(code).toBe(2);
      expect(told).not.toContain(token.slice(0, 30));
      if (args[0] !== token) expect(told).toContain("stand in the process list and in histories");
    }
  });
});

describe("the identity", () => {
  const file = () => join(call.it.home, "token");
  afterEach(() => rmSync(file(), { force: true }));

  test("may be in a file", async () => {
    writeFileSync(file(), `${await call.it.harness.mint()}\n`);
    const { code } = await call.it.run(["token", "--scope", SCOPE], {
      ACR_BROKER_TOKEN: "",
      ACR_BROKER_TOKEN_FILE: file(),
    });
    expect(code).toBe(0);
  });
});

describe("behind a trigger that demands a signature", () => {
  const keys = {
    ALIBABA_CLOUD_ACCESS_KEY_ID: "LTAI5tSigner00000001",
    ALIBABA_CLOUD_ACCESS_KEY_SECRET: "secret-of-the-signer",
  };
  const signing: [string[], Record<string, string>][] = [
    [["--function-compute"], {}],
    [[], { ACR_BROKER_FUNCTION_COMPUTE: "1" }],
  ];
  const gate = () =>
    serve(async (request, response) => {
      const { authorization = "", "x-acr-broker-authorization": credential = "" } = request.headers;
      if (!/^ACS3-HMAC-SHA256 Credential=LTAI5tSigner00000001,/.test(authorization)) return json(response, 403, {});
      const answer = await fetch(call.it.harness.url + request.url, {
        method: "POST",
        headers: { authorization: credential as string, "content-type": "application/json" },
        body: await bodyOf(request),
      });
      json(response, answer.status, await answer.json());
    });

  test.each(signing)("%j %j signs with the RAM keys that are there, beside the identity", async (args, environment) => {
    const { url } = await gate();
    const { code, told } = await call.it.run(["token", "--scope", SCOPE, ...args], {
      ACR_BROKER_URL: url,
      ...keys,
      ...environment,
    });
    expect({ code, told }).toEqual({ code: 0, told: "" });
  });

  test("without one, the message says which option it takes", async () => {
    const { url } = await gate();
    const { code, told } = await call.it.run(["token", "--scope", SCOPE], { ACR_BROKER_URL: url });
    expect(code).toBe(2);
    expect(told).toMatch(/^acr-broker: bad_response: .*; here: --function-compute\n$/);
  });
});
