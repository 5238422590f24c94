/** Which identity is found without configuration: the order of docs/clients/sdk.md. */

import { describe, expect, test } from "vitest";
import { host } from "../../shared/client/host.ts";
import { detectIdentity } from "../../shared/client/identity/detect.ts";
import type { Outside } from "../../shared/client/outside.ts";

/** A machine with these variables and files, and whatever answers on its network. */
function machine(
  variables: Record<string, string>,
  files: Record<string, string> = {},
  fetch: Outside["fetch"] = async () => Promise.reject(new TypeError("fetch failed")),
): Outside {
  const readFile = async (path: string) =>
    files[path] ?? Promise.reject(Object.assign(new Error(), { code: "ENOENT" }));
  return { ...host(), environment: (name) => variables[name] || undefined, readFile, fetch };
}

const KUBERNETES = { "/var/run/secrets/acr-broker/token": "the-projected-token" };
const GITHUB = {
  GITHUB_ACTIONS: "true",
  ACTIONS_ID_TOKEN_REQUEST_URL: "https://x",
  ACTIONS_ID_TOKEN_REQUEST_TOKEN: "t",
};
const KEYS = { ALIBABA_CLOUD_ACCESS_KEY_ID: "LTAI", ALIBABA_CLOUD_ACCESS_KEY_SECRET: "s" };
const RRSA = {
  ALIBABA_CLOUD_OIDC_TOKEN_FILE: "/token",
  ALIBABA_CLOUD_OIDC_PROVIDER_ARN: "arn",
  ALIBABA_CLOUD_ROLE_ARN: "arn",
};

/** Each is found although all that come after it are there too. */
const order: [name: string, variables: Record<string, string>, files?: Record<string, string>][] = [
  ["the variable ACR_BROKER_TOKEN", { ACR_BROKER_TOKEN: "t" }],
  ["the file /run/token", { ACR_BROKER_TOKEN_FILE: "/run/token" }],
  ["GitHub Actions", GITHUB],
  ["Buildkite", { BUILDKITE: "true", BUILDKITE_AGENT_ACCESS_TOKEN: "t" }],
  ["CircleCI", { CIRCLECI: "true", CIRCLE_OIDC_TOKEN_V2: "t" }],
  ["the service-account token /var/run/secrets/acr-broker/token", {}, KUBERNETES],
  ["the RAM keys in the environment", KEYS],
  ["RRSA", RRSA],
  ["the RAM role of this ECS instance", {}],
];

test.each(order.map(([name], index) => [name, index] as const))("%s", async (name, index) => {
  const rest = order.slice(index);
  const variables = Object.assign({}, ...rest.map(([, one]) => one));
  const files = Object.assign({}, ...rest.map(([, , one]) => one ?? {}));
  expect((await detectIdentity(machine(variables, files))).name).toBe(name);
});

test("what is set and empty is not there", async () => {
  const found = await detectIdentity(machine({ ACR_BROKER_TOKEN: "", ACR_BROKER_TOKEN_FILE: "", ...KEYS }));
  expect(found.name).toBe("the RAM keys in the environment");
  const halves = { ALIBABA_CLOUD_ACCESS_KEY_ID: "LTAI", ACTIONS_ID_TOKEN_REQUEST_URL: "https://x" };
  expect((await detectIdentity(machine(halves, { ...KUBERNETES, "/x": "" }))).name).toMatch(
    /^the service-account token/,
  );
  expect((await detectIdentity(machine({}, { "/var/run/secrets/acr-broker/token": "\n" }))).name).toMatch(/ECS/);
});

test("in GitLab CI the token is that of id_tokens", async () => {
  const found = await detectIdentity(machine({ GITLAB_CI: "true", ACR_BROKER_TOKEN: "t" }));
  expect(found.name).toBe("GitLab CI (id_tokens: ACR_BROKER_TOKEN)");
});

describe("a CI's job without a token", () => {
  test.each([
    ["GITHUB_ACTIONS", "id-token: write"],
    ["GITLAB_CI", "id_tokens:"],
    ["BUILDKITE", "BUILDKITE_AGENT_ACCESS_TOKEN"],
    ["CIRCLECI", "context"],
  ])("%s: is told what it lacks, and does not become the machine that it runs on", async (variable, advice) => {
    const asked: string[] = [];
    const outside = machine({ [variable]: "true" }, {}, async (url) => {
      asked.push(url);
      return new Response("metadata-session");
    });
    await expect(detectIdentity(outside)).rejects.toMatchObject({
      name: "IdentityError",
      code: "no_identity",
      message: expect.stringContaining(advice),
    });
    expect(asked).toEqual([]);
  });

  test("may have keys of its own", async () => {
    expect((await detectIdentity(machine({ GITLAB_CI: "true", ...KEYS }))).name).toBe(
      "the RAM keys in the environment",
    );
  });
});

describe("the machine's role", () => {
  const context = (outside: Outside) => ({
    audience: async () => "https://acr-broker.example.com",
    stsHost: async () => "sts.cn-hangzhou.aliyuncs.com",
    now: () => new Date(),
    signal: new AbortController().signal,
    outside,
  });

  test("where there is no metadata service there is no identity, and what to do is said", async () => {
    const outside = machine({});
    const source = await detectIdentity(outside);
    await expect(source.token(context(outside))).rejects.toMatchObject({
      code: "no_identity",
      message: expect.stringContaining("set ACR_BROKER_TOKEN"),
    });
  });

  test("a machine without a role is told of the token that was forgotten, first", async () => {
    const outside = machine({}, {}, async () => new Response("", { status: 404 }));
    const source = await detectIdentity(outside);
    await expect(source.token(context(outside))).rejects.toMatchObject({
      code: "no_identity",
      message: expect.stringMatching(
        /set ACR_BROKER_TOKEN .*the metadata service has no RAM role for this machine either \(status 404\)$/,
      ),
    });
  });

  test("a role that is named and not there is what is told of", async () => {
    const outside = machine({ ALIBABA_CLOUD_ECS_METADATA: "typo" }, {}, async () => new Response("", { status: 404 }));
    const source = await detectIdentity(outside);
    await expect(source.token(context(outside))).rejects.toMatchObject({ code: "identity_failed", status: 404 });
  });

  test("a metadata service that is busy is a passing trouble, and not a missing identity", async () => {
    const outside = machine({}, {}, async () => new Response("", { status: 503 }));
    const source = await detectIdentity(outside);
    await expect(source.token(context(outside))).rejects.toMatchObject({ code: "identity_failed", retryable: true });
  });

  test("is asked for at the metadata service's own address, by its name where that is set", async () => {
    const asked: string[] = [];
    const outside = machine({ ALIBABA_CLOUD_ECS_METADATA: "ci-builder" }, {}, async (url, init) => {
      asked.push(`${init.method ?? "GET"} ${url}`);
      return init.method === "PUT"
        ? new Response("session")
        : Response.json({
            AccessKeyId: "STS.ofTheInstance",
            AccessKeySecret: "s",
            SecurityToken: "t",
            Expiration: "2099-01-01T00:00:00Z",
          });
    });
    const source = await detectIdentity(outside);
    expect(await source.token(context(outside))).toMatch(/^acs1\./);
    expect(asked).toEqual([
      "PUT http://100.100.100.200/latest/api/token",
      "GET http://100.100.100.200/latest/meta-data/ram/security-credentials/ci-builder",
    ]);
  });

  test("is left alone where ALIBABA_CLOUD_ECS_METADATA_DISABLED says so", async () => {
    const outside = machine({ ALIBABA_CLOUD_ECS_METADATA_DISABLED: "true" });
    await expect(detectIdentity(outside)).rejects.toMatchObject({ code: "no_identity" });
  });
});
