/** Each source of tokens, from what its platform really gives to credentials of the real broker. */

import { chmod, mkdtemp, rm, writeFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from "vitest";
import { AcrBroker, type AcrBrokerOptions } from "../../shared/client/acr-broker.ts";
import { host } from "../../shared/client/host.ts";
import { buildkite, circleci } from "../../shared/client/identity/command.ts";
import { kubernetes, tokenFile } from "../../shared/client/identity/file.ts";
import { githubActions } from "../../shared/client/identity/github-actions.ts";
import type { Identity } from "../../shared/client/identity/identity.ts";
import { signedIdentity } from "../../shared/client/identity/signed.ts";
import { gitlab, tokenVariable } from "../../shared/client/identity/variable.ts";
import { ecsRole } from "../../shared/client/ram/ecs-role.ts";
import { environmentKeys, ramKeys } from "../../shared/client/ram/keys.ts";
import { rrsa } from "../../shared/client/ram/rrsa.ts";
import { AUDIENCE, type RamHarness, startRamHarness } from "./ram-harness.ts";
import { bodyOf, json, problem, serve, testTime, tokenAnswer } from "./servers.ts";

const require = createRequire(import.meta.url);

let h: RamHarness;
let folder: string;
beforeAll(async () => {
  h = await startRamHarness();
  folder = await mkdtemp(join(tmpdir(), "acr-client-"));
});
afterEach(() => vi.unstubAllEnvs());
afterAll(async () => {
  await rm(folder, { recursive: true });
  await h.close();
});

const brokerWith = (identity: Identity, options: Partial<AcrBrokerOptions> = {}) =>
  new AcrBroker({ url: h.url, identity, deadlineSeconds: 5, ...options });
const ask = (broker: AcrBroker, repository = "app") =>
  broker.credentials({ registry: "prod", scope: `repository:web/${repository}:pull` });
const environment = (variables: Record<string, string>) => ({ environment: (name: string) => variables[name] });

async function grantsOf(identity: Identity, options: Partial<AcrBrokerOptions> = {}): Promise<readonly string[]> {
  return (await ask(brokerWith(identity, options))).grants;
}

test("a string", async () => {
  expect(await grantsOf(await h.mint())).toEqual(["web-main"]);
});

test("a function, which is told the audience", async () => {
  expect(await grantsOf(async ({ audience }) => h.mint({ aud: await audience() }))).toEqual(["web-main"]);
});

test("the audience that is configured goes before the broker's", async () => {
  const seen: string[] = [];
  const identity: Identity = async ({ audience }) => {
    seen.push(await audience());
    return h.mint();
  };
  await grantsOf(identity, { audience: "api://AzureADTokenExchange" });
  expect(seen).toEqual(["api://AzureADTokenExchange"]);
});

describe("a file", () => {
  test("is read again for each request", async () => {
    const path = join(folder, "token");
    const broker = brokerWith(tokenFile(path));
    for (const repository of ["one", "two"]) {
      await writeFile(path, `${await h.mint()}\n`);
      expect((await ask(broker, repository)).grants).toEqual(["web-main"]);
    }
    // Its token has been used: replay is once.
    await expect(ask(broker, "three")).rejects.toMatchObject({ code: "token_replayed" });
  });

  test("that is not there is named, with the system's code", async () => {
    await expect(grantsOf(kubernetes(join(folder, "absent")))).rejects.toMatchObject({
      name: "IdentityError",
      code: "identity_failed",
      message: expect.stringMatching(/absent could not be read: ENOENT$/),
    });
  });
});

test("GitLab's variable, and any other", async () => {
  expect(await grantsOf(gitlab(), { outside: environment({ ACR_BROKER_TOKEN: await h.mint() }) })).toEqual([
    "web-main",
  ]);
  expect(await grantsOf(gitlab("ACR_TOKEN"), { outside: environment({ ACR_TOKEN: await h.mint() }) })).toEqual([
    "web-main",
  ]);
  await expect(grantsOf(tokenVariable("ACR_TOKEN"), { outside: environment({}) })).rejects.toMatchObject({
    code: "no_identity",
    message: expect.stringContaining("ACR_TOKEN"),
  });
});

describe("GitHub Actions", () => {
  const REQUEST_TOKEN = "the-request-token-of-the-job";
  /** GitHub's token service, as far as a job sees it. */
  const service = (fail: (count: number) => number | undefined = () => undefined) =>
    serve(async (request, response, count) => {
      const url = new URL(request.url ?? "", "http://github");
      const allowed =
        request.headers.authorization === `Bearer ${REQUEST_TOKEN}` && url.searchParams.has("api-version");
      const status = fail(count) ?? (allowed ? 200 : 401);
      if (status !== 200) return json(response, status, { message: `no, ${request.headers.authorization}` });
      json(response, 200, { value: await h.mint({ aud: url.searchParams.get("audience") }) });
    });
  const variables = (url: string, token = REQUEST_TOKEN) =>
    environment({
      ACTIONS_ID_TOKEN_REQUEST_URL: `${url}/token?api-version=2.0`,
      ACTIONS_ID_TOKEN_REQUEST_TOKEN: token,
    });

  test("is asked for a token with the broker's audience, a new one for each request", async () => {
    const { url, requests } = await service();
    const broker = brokerWith(githubActions(), { outside: variables(url) });
    for (const repository of ["one", "two"]) expect((await ask(broker, repository)).grants).toEqual(["web-main"]);
    expect(requests).toEqual(Array(2).fill(`GET /token?api-version=2.0&audience=${encodeURIComponent(AUDIENCE)}`));
  });

  test("is asked again when it is in trouble", async () => {
    const { url, requests } = await service((count) => (count === 1 ? 500 : undefined));
    const { outside } = testTime();
    expect(await grantsOf(githubActions(), { outside: { ...variables(url), sleep: outside.sleep } })).toEqual([
      "web-main",
    ]);
    expect(requests.length).toBe(2);
  });

  test("that refuses ends it, without a word of what was sent", async () => {
    const { url, requests } = await service();
    const options = { outside: variables(url, "a-wrong-request-token") };
    await expect(grantsOf(githubActions(), options)).rejects.toMatchObject({
      code: "identity_failed",
      status: 401,
      message: expect.not.stringContaining("request-token"),
    });
    expect(requests.length).toBe(1);
  });

  test("whose job may not ask is told what to add", async () => {
    await expect(grantsOf(githubActions(), { outside: environment({}) })).rejects.toMatchObject({
      code: "no_identity",
      message: expect.stringContaining("id-token: write"),
    });
  });

  test("is not sent its secret over plain http", async () => {
    const options = { outside: variables("http://tokens.example") };
    await expect(grantsOf(githubActions(), options)).rejects.toMatchObject({ code: "identity_failed" });
  });
});

describe("a CI's command", () => {
  /** A program of that name, first on the PATH, which takes just these arguments. */
  async function program(name: string, args: readonly string[], output: string): Promise<void> {
    const path = join(folder, name);
    const expected = args.map((arg) => `'${arg}'`).join(" ");
    const lines = [
      "#!/bin/sh",
      'given=""; for arg in "$@"; do given="$given\'$arg\' "; done',
      `if [ "$given" != "${expected} " ]; then echo "bad arguments and a-secret-on-stderr" >&2; exit 9; fi`,
      `echo '${output}'`,
    ];
    await writeFile(path, `${lines.join("\n").replace(`"${expected} "`, `"$(cat <<'END'\n${expected} \nEND\n)"`)}\n`);
    await chmod(path, 0o755);
    vi.stubEnv("PATH", `${folder}:${process.env["PATH"]}`);
  }

  test("buildkite-agent is asked for a token with the broker's audience", async () => {
    await program("buildkite-agent", ["oidc", "request-token", "--audience", AUDIENCE], await h.mint());
    expect(await grantsOf(buildkite())).toEqual(["web-main"]);
  });

  test("and for optional claims", async () => {
    const args = ["oidc", "request-token", "--audience", AUDIENCE, "--claim", "organization_id"];
    await program("buildkite-agent", args, await h.mint());
    expect(await grantsOf(buildkite({ claims: ["organization_id"] }))).toEqual(["web-main"]);
  });

  test("circleci is asked for a token with the broker's audience, where that is wanted", async () => {
    await program("circleci", ["run", "oidc", "get", "--claims", JSON.stringify({ aud: AUDIENCE })], await h.mint());
    expect(await grantsOf(circleci({ ask: true }))).toEqual(["web-main"]);
    const own = { outside: environment({ CIRCLE_OIDC_TOKEN_V2: await h.mint() }) };
    expect(await grantsOf(circleci(), own)).toEqual(["web-main"]);
  });

  test("that fails is named with how it ended, and nothing that it said", async () => {
    await program("buildkite-agent", ["other"], "unused");
    await expect(grantsOf(buildkite())).rejects.toMatchObject({
      code: "identity_failed",
      message: "buildkite-agent gave no token: it ended with 9",
    });
  });

  test("that is not there is named", async () => {
    vi.stubEnv("PATH", join(folder, "nowhere"));
    await expect(grantsOf(circleci({ ask: true }))).rejects.toMatchObject({
      message: "circleci gave no token: it is not installed",
    });
  });
});

describe("RAM keys", () => {
  test("sign who they belong to", async () => {
    expect(await grantsOf(signedIdentity(ramKeys(h.builder)))).toEqual(["builders"]);
  });

  test("from the environment", async () => {
    const variables = {
      ALIBABA_CLOUD_ACCESS_KEY_ID: h.builder.accessKeyId,
      ALIBABA_CLOUD_ACCESS_KEY_SECRET: h.builder.accessKeySecret,
      ALIBABA_CLOUD_SECURITY_TOKEN: h.builder.securityToken,
    };
    const source = signedIdentity(environmentKeys());
    expect(await grantsOf(source, { outside: environment(variables) })).toEqual(["builders"]);
    await expect(grantsOf(source, { outside: environment({}) })).rejects.toMatchObject({ code: "no_identity" });
  });

  test("sign anew for each request", async () => {
    const broker = brokerWith(signedIdentity(ramKeys(h.builder)));
    for (const repository of ["one", "two"]) expect((await ask(broker, repository)).grants).toEqual(["builders"]);
  });

  test.each([-3, 3])("sign with the broker's time where the machine's is %i h off", async (hours) => {
    const outside = { now: () => new Date(Date.now() + hours * 3_600_000) };
    expect(await grantsOf(signedIdentity(ramKeys(h.builder)), { outside })).toEqual(["builders"]);
  });

  test.each([
    ["access key id", { accessKeyId: "LTAI5tWith Blank" }],
    ["access key secret", { accessKeySecret: "" }],
    ["access key secret", { accessKeySecret: "a-secret-from-a-file\n" }],
    ["security token", { securityToken: "a-token-from-a-file\n" }],
  ])("that cannot be any are not signed with: the %s", async (named, change) => {
    const { url, requests } = await serve((_, response) =>
      json(response, 200, { audience: AUDIENCE, sts_host: "sts.x" }),
    );
    const keys = ramKeys({ ...h.builder, ...change });
    for (const options of [{ identity: signedIdentity(keys) }, { identity: "a-token", functionCompute: keys }]) {
      await expect(ask(new AcrBroker({ url, ...options }))).rejects.toMatchObject({
        code: "identity_failed",
        message: expect.stringMatching(new RegExp(`^the ${named} of the RAM keys given .*line end\\?$`)),
      });
    }
    expect(requests).toEqual(["GET /.well-known/acr-broker"]);
  });

  test("of nobody are refused by STS, by way of the broker", async () => {
    const keys = { ...h.builder, accessKeySecret: "a-secret-of-somebody-else" };
    await expect(grantsOf(signedIdentity(ramKeys(keys)))).rejects.toMatchObject({
      code: "invalid_identity",
      status: 401,
    });
  });
});

describe("the RAM role of an ECS instance", () => {
  const roles = "/latest/meta-data/ram/security-credentials/";
  /** The metadata service in security-hardened mode: nothing without a token, which only PUT gives. */
  const metadata = (lifeSeconds = 6 * 3600, role = "ci-builder") =>
    serve((request, response) => {
      const { headers, method, url } = request;
      if (method === "PUT" && url === "/latest/api/token") {
        const ttl = Number(headers["x-aliyun-ecs-metadata-token-ttl-seconds"]);
        return ttl >= 1 && ttl <= 21_600 ? response.end("metadata-session\n") : response.writeHead(400).end();
      }
      if (method !== "GET" || headers["x-aliyun-ecs-metadata-token"] !== "metadata-session") {
        return response.writeHead(403).end();
      }
      if (url === roles && role !== "") return response.end(`${role}\n`);
      if (role === "" || url !== `${roles}${role}`) return response.writeHead(404).end();
      json(response, 200, {
        Code: "Success",
        AccessKeyId: h.builder.accessKeyId,
        AccessKeySecret: h.builder.accessKeySecret,
        SecurityToken: h.builder.securityToken,
        Expiration: new Date(Date.now() + lifeSeconds * 1000).toISOString().replace(/\.\d+/, ""),
      });
    });

  test("comes from the metadata service with a token of its own", async () => {
    const { url, requests } = await metadata();
    expect(await grantsOf(signedIdentity(ecsRole({ metadataUrl: url })))).toEqual(["builders"]);
    expect(requests).toEqual(["PUT /latest/api/token", `GET ${roles}`, `GET ${roles}ci-builder`]);
  });

  test("may be named", async () => {
    const { url, requests } = await metadata();
    await grantsOf(signedIdentity(ecsRole({ metadataUrl: url, role: "ci-builder" })));
    expect(requests).toEqual(["PUT /latest/api/token", `GET ${roles}ci-builder`]);
  });

  test("has its keys kept until five minutes before they end", async () => {
    for (const [lifeSeconds, fetches] of [
      [3600, 1],
      [299, 2],
    ] as const) {
      const { url, requests } = await metadata(lifeSeconds);
      const broker = brokerWith(signedIdentity(ecsRole({ metadataUrl: url })));
      for (const repository of ["one", "two"]) await ask(broker, repository);
      expect(requests.length).toBe(3 * fetches);
    }
  });

  test("that is not there is said so", async () => {
    const { url } = await metadata(3600, "");
    await expect(grantsOf(signedIdentity(ecsRole({ metadataUrl: url })))).rejects.toMatchObject({
      code: "identity_failed",
      status: 404,
      message: expect.stringContaining("RAM role"),
    });
  });
});

describe("RRSA", () => {
  const variables = (file: string) => ({
    ALIBABA_CLOUD_ROLE_ARN: "acs:ram::1234567890123456:role/ci-builder",
    ALIBABA_CLOUD_OIDC_PROVIDER_ARN: "acs:ram::1234567890123456:oidc-provider/ack-rrsa-c0123456789abcdef",
    ALIBABA_CLOUD_OIDC_TOKEN_FILE: file,
    ALIBABA_CLOUD_ROLE_SESSION_NAME: "pod-7",
  });
  interface Exchange {
    readonly query: Record<string, string>;
    readonly form: Record<string, string>;
    readonly type: string | undefined;
  }
  /** STS, for AssumeRoleWithOIDC alone; notes what it was asked. */
  async function sts(answer: (exchange: Exchange) => { status: number; body: unknown }) {
    const exchanges: Exchange[] = [];
    const played = await serve(async (request, response) => {
      const query = Object.fromEntries(new URL(request.url ?? "", "http://sts").searchParams);
      const form = Object.fromEntries(new URLSearchParams(await bodyOf(request)));
      exchanges.push({ query, form, type: request.headers["content-type"] });
      const { status, body } = answer(exchanges.at(-1) as Exchange);
      json(response, status, body);
    });
    return { ...played, exchanges };
  }
  const keys = () => ({
    AccessKeyId: h.builder.accessKeyId,
    AccessKeySecret: h.builder.accessKeySecret,
    SecurityToken: h.builder.securityToken,
    Expiration: new Date(Date.now() + 3_600_000).toISOString(),
  });

  test("exchanges the pod's token for its role's keys, as the vendor's package does", async () => {
    const file = join(folder, "rrsa-token");
    await writeFile(file, "the-token-that-ack-mounts\n");
    const { url, exchanges } = await sts(() => ({ status: 200, body: { Credentials: keys() } }));
    const source = signedIdentity(rrsa({ stsUrl: url }));
    expect(await grantsOf(source, { outside: environment(variables(file)) })).toEqual(["builders"]);

    // The same server, asked by the vendor's provider; only its https is turned aside.
    const { default: Provider } = require("@alicloud/credentials/dist/src/providers/oidc_role_arn");
    await writeFile(file, "the-token-that-ack-mounts");
    for (const [name, value] of Object.entries(variables(file))) vi.stubEnv(name, value);
    const vendor = Provider.builder().withStsEndpoint(new URL(url).host).build();
    const { doRequest } = vendor;
    vendor.doRequest = (request: { protocol: string; toRequestURL(): string }) => {
      const https = request.toRequestURL();
      return doRequest(Object.assign(request, { toRequestURL: () => https.replace(/^https/, "http") }));
    };
    expect(await vendor.getCredentials()).toMatchObject({ accessKeyId: h.builder.accessKeyId });

    const [ours, theirs] = exchanges as [Exchange, Exchange];
    const { DurationSeconds: _, ...form } = theirs.form;
    expect(ours.form).toEqual(form);
    expect({ ...ours.query, Timestamp: "" }).toEqual({ ...theirs.query, Timestamp: "" });
    expect(ours.query["Timestamp"]).toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/);
    expect(ours.type).toBe(theirs.type);
  });

  test("that is refused is said with STS's code, and none of its words", async () => {
    const file = join(folder, "rrsa-token");
    await writeFile(file, "the-token-that-ack-mounts");
    const { url } = await sts(({ form }) => ({
      status: 400,
      body: { Code: "AuthenticationFail.OIDCToken.Expired", Message: `expired: ${form["OIDCToken"]}` },
    }));
    const source = signedIdentity(rrsa({ stsUrl: url }));
    await expect(grantsOf(source, { outside: environment(variables(file)) })).rejects.toMatchObject({
      code: "identity_failed",
      message: "STS did not give this pod its role: AuthenticationFail.OIDCToken.Expired",
    });
  });

  test.each([
    [{}, "sts.aliyuncs.com"],
    [{ ALIBABA_CLOUD_STS_REGION: "cn-hangzhou" }, "sts.cn-hangzhou.aliyuncs.com"],
    [
      { ALIBABA_CLOUD_STS_REGION: "cn-hangzhou", ALIBABA_CLOUD_VPC_ENDPOINT_ENABLED: "true" },
      "sts-vpc.cn-hangzhou.aliyuncs.com",
    ],
  ])("with %o asks %s, and never a host that the broker names", async (extra, expected) => {
    const file = join(folder, "rrsa-token");
    await writeFile(file, "the-token-that-ack-mounts");
    const asked: string[] = [];
    const outside = {
      ...environment({ ...variables(file), ...extra }),
      fetch: (url: string, init: RequestInit) => {
        if (url.startsWith(h.url)) return fetch(url, init);
        asked.push(new URL(url).host);
        return Promise.resolve(Response.json({ Credentials: keys() }));
      },
    };
    expect(await grantsOf(signedIdentity(rrsa()), { outside })).toEqual(["builders"]);
    expect(asked).toEqual([expected]);
  });

  test("does not take a region that would lead elsewhere", async () => {
    const file = join(folder, "rrsa-token");
    const outside = environment({ ...variables(file), ALIBABA_CLOUD_STS_REGION: "evil.example/" });
    await expect(grantsOf(signedIdentity(rrsa()), { outside })).rejects.toMatchObject({ code: "identity_failed" });
  });
});

describe("the audience that the broker names", () => {
  /** The broker's harness, as if it were at another address. */
  const at = (address: string, options: Partial<AcrBrokerOptions> = {}) => {
    const reach = (url: string, init: RequestInit) => fetch(url.replace(new URL(url).origin, h.url), init);
    const identity: Identity = async ({ audience }) => h.mint({ aud: await audience() });
    return ask(new AcrBroker({ url: address, identity, ...options, outside: { fetch: reach } }));
  };

  test("is believed where it is the broker's own address", async () => {
    expect((await at(AUDIENCE)).grants).toEqual(["web-main"]);
  });

  test.each([
    "https://other.example",
    "https://acr-broker.example.com.evil.example",
    "https://acr-broker.example.com:8443",
  ])("is not believed at %s: a token for another's audience would work there", async (address) => {
    await expect(at(address)).rejects.toMatchObject({
      name: "IdentityError",
      code: "untrusted_audience",
      message: expect.stringContaining(JSON.stringify(AUDIENCE)),
    });
  });

  test("need not be believed where it is configured", async () => {
    expect((await at("https://other.example", { audience: AUDIENCE })).grants).toEqual(["web-main"]);
  });

  test("is not asked for where no source needs it, and once in five minutes where one does", async () => {
    const { url, requests } = await serve((request, response) =>
      request.url === "/.well-known/acr-broker"
        ? json(response, 200, { audience: AUDIENCE, sts_host: "sts.example", registries: {} })
        : json(response, 200, tokenAnswer("p")),
    );
    await ask(new AcrBroker({ url, identity: "a-token" }));
    expect(requests).toEqual(["POST /v1/token"]);
    const { outside, forward } = testTime();
    const broker = new AcrBroker({ url, identity: async ({ audience }) => audience(), outside });
    for (const [repository, later] of [
      ["one", 0],
      ["two", 299_000],
      ["three", 2_000],
    ] as const) {
      forward(later);
      await ask(broker, repository);
    }
    expect(requests.filter((request) => request.includes("well-known")).length).toBe(2);
  });

  test("that cannot be learned is the broker's failure", async () => {
    const { url } = await serve((_, response) => problem(response, 404, "not_found"));
    const identity: Identity = async ({ audience }) => audience();
    await expect(ask(new AcrBroker({ url, identity }))).rejects.toMatchObject({ code: "not_found", status: 404 });
  });
});

test("where a runtime has no environment there are no variables", () => {
  vi.stubGlobal("process", undefined);
  expect(host().environment("PATH")).toBeUndefined();
  vi.unstubAllGlobals();
});

test("of a file that does not end, no more is read than a token can be", async () => {
  await expect(host().readFile("/dev/zero")).rejects.toMatchObject({ code: "EFBIG" });
});
