/** What a good configuration becomes, and how a bad one is told. */

import { X509Certificate } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Ajv2020 } from "ajv/dist/2020.js";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { parse, stringify } from "yaml";
import { type BrokerConfig, ConfigError } from "../../shared/config/config.ts";
import { loadConfig, parseConfig } from "../../shared/config/load.ts";
import { editorSchema } from "../../shared/config/schema.ts";
import { makeCa } from "../certificates.ts";

/** The example of the contract. */
const CONTRACT = `\
version: 1
audience: https://acr-broker.example.com          # default audience for every issuer
registries:
  prod: { instance_id: cri-abc123, region: cn-hangzhou, account_id: "1234567890123456",
          endpoints: [acme-registry.cn-hangzhou.cr.aliyuncs.com] }
issuers:
  github: { provider: github, issuer: https://token.actions.githubusercontent.com, algorithms: [RS256], replay: once }
  cluster: { provider: kubernetes, issuer: https://k8s.internal, jwks_file: ./cluster-jwks.json }
  ram: { provider: alibaba, accounts: ["1234567890123456"] }           # acs1 identities of these accounts only
grants:
  web-main:
    issuer: github
    when:
      repository_id: "123456"                      # exact
      ref: { any_of: [refs/heads/main, refs/heads/release] }
      environment: { glob: "prod-*" }              # * stays within one segment: never crosses / : @
    registry: prod
    allow: ["repository:web/*:pull,push", "repository:base/*:pull"]
    role_arn: acs:ram::1234567890123456:role/acr-web
    max_ttl: 1800
    create_repository: false                     # true adds cr:CreateRepository on exactly the repositories pushed to
  builders:                                        # RAM identities
    { issuer: ram, when: { account_id: "1234567890123456", role_name: ci-builder }, registry: prod, allow: ["repository:web/*:pull"], role_arn: acs:ram::1234567890123456:role/acr-web, max_ttl: 900 }
  nightly-pull:
    { api_key: nightly, registry: prod, allow: ["repository:base/*:pull"], role_arn: acs:ram::1234567890123456:role/acr-web, max_ttl: 900 }
api_keys:                                          # sha256: hex digest of the whole key
  nightly: { sha256: 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08, expires: 2027-06-30T00:00:00Z, cidrs: [10.0.0.0/8] }
alibaba:                                           # optional; for VPC endpoints, other partitions and the sandbox
  sts_endpoint: http://127.0.0.1:9100
  cr_endpoint: http://127.0.0.1:9100
`;
const KEY = { kty: "RSA", kid: "1", n: "x", e: "AQAB" };

function load(text: string, keys: unknown[] = [KEY]): BrokerConfig {
  return parseConfig(text, { file: "broker.yaml", readFile: () => JSON.stringify({ keys }) });
}

function complaintsOf(text: string): string[] {
  try {
    load(text);
  } catch (error) {
    if (error instanceof ConfigError) return error.message.split("\n");
    throw error;
  }
  return [];
}

describe("the contract's example", () => {
  const config = load(CONTRACT);

  test("loads, with the defaults of its presets", () => {
    expect(config.registries.get("prod")).toEqual({
      name: "prod",
      instanceId: "cri-abc123",
      region: "cn-hangzhou",
      accountId: "1234567890123456",
      endpoints: ["acme-registry.cn-hangzhou.cr.aliyuncs.com"],
    });
    expect(config.issuers.get("github")).toEqual({
      name: "github",
      provider: "github",
      issuer: "https://token.actions.githubusercontent.com",
      audience: "https://acr-broker.example.com",
      algorithms: ["RS256"],
      keys: { from: "discovery" },
      maxTokenLifetimeSeconds: 3600,
      replay: "once",
    });
    expect(config.issuers.get("cluster")).toMatchObject({
      keys: { from: "file", path: "./cluster-jwks.json", jwks: { keys: [KEY] } },
      maxTokenLifetimeSeconds: 86_400,
      replay: "off",
    });
    expect(config.issuers.get("ram")).toEqual({
      name: "ram",
      provider: "alibaba",
      accounts: ["1234567890123456"],
      audience: "https://acr-broker.example.com",
    });
    expect(config.apiKeys.get("nightly")).toMatchObject({
      expires: new Date("2027-06-30T00:00:00Z"),
      cidrs: ["10.0.0.0/8"],
    });
    expect(config.alibaba).toEqual({ stsEndpoint: "http://127.0.0.1:9100", crEndpoint: "http://127.0.0.1:9100" });
  });

  test("its grants come in the order of the file, each with its line", () => {
    expect(config.grants.map(({ name, line }) => [name, line])).toEqual([
      ["web-main", 11],
      ["builders", 22],
      ["nightly-pull", 24],
    ]);
    expect(config.grants[0]).toEqual({
      name: "web-main",
      holder: { issuer: "github" },
      when: [
        { claim: "repository_id", kind: "exact", value: "123456" },
        { claim: "ref", kind: "any_of", values: ["refs/heads/main", "refs/heads/release"], callerChosen: true },
        { claim: "environment", kind: "glob", pattern: "prod-*", callerChosen: true },
        { claim: "event_name", kind: "none_of", values: ["pull_request", "pull_request_target"] },
      ],
      registry: "prod",
      allow: [
        { namespace: "web", repository: "*", actions: ["pull", "push"] },
        { namespace: "base", repository: "*", actions: ["pull"] },
      ],
      roleArn: "acs:ram::1234567890123456:role/acr-web",
      maxTtlSeconds: 1800,
      createRepository: false,
      line: 11,
    });
    expect(config.grants[2]).toMatchObject({ holder: { apiKeys: ["nightly"] }, when: [] });
  });

  test("nothing of it can be changed", () => {
    const seen: object[] = [];
    const visit = (value: unknown) => {
      if (typeof value !== "object" || value === null) return;
      seen.push(value);
      for (const part of value instanceof Map ? value.values() : Object.values(value)) visit(part);
    };
    visit(config);
    expect(seen.length).toBeGreaterThan(30);
    expect(seen.filter((value) => !Object.isFrozen(value))).toEqual([]);
  });

  test("an editor sees nothing wrong in it", () => {
    expect(new Ajv2020({ strict: false, validateFormats: false }).compile(editorSchema())(parse(CONTRACT))).toBe(true);
  });
});

describe("limits and blocks", () => {
  const documented = readFileSync(new URL("../../docs/configuration.md", import.meta.url), "utf8");
  const example = (name: string) =>
    new RegExp(`^\`\`\`yaml\\n(${name}:\\n[^\`]*)^\`\`\`$`, "m").exec(documented)?.[1] ?? "";

  test("the documented examples load", () => {
    expect(load(`${CONTRACT}${example("limits")}`).limits).toEqual({ callerPerMinute: 600, grantPerMinute: 3000 });
    expect(load(`${CONTRACT}${example("blocks")}`).blocks).toEqual({
      file: "./blocks.txt",
      whenUnreadable: "keep",
      contact: "#acr-broker on-call",
    });
  });

  test.each([
    ["limits: {}", "limits: is an empty map; name a number, or take the key out"],
    ["limits: { caller_per_minute: 0 }", "limits.caller_per_minute: is too small; write 1 to 1000000"],
    ["blocks: {}", "blocks: is an empty map; name a file or a contact, or take the key out"],
    ['blocks: { file: "" }', "blocks.file: is empty; name the file with the blocks"],
    ['blocks: { contact: "a\\nb" }', "write whom a blocked caller shall ask, 1 to 200 characters of ASCII"],
  ])("%s is refused", (text, why) => {
    expect(() => load(`${CONTRACT}${text}\n`)).toThrow(why);
  });
});

describe("audit", () => {
  const withAudit = (text: string, files: Readonly<Record<string, string>> = {}) => {
    const readFile = (path: string) => {
      if (path === "./cluster-jwks.json") return JSON.stringify({ keys: [KEY] });
      if (files[path] === undefined) throw Object.assign(new Error("no such file"), { code: "ENOENT" });
      return files[path];
    };
    return parseConfig(`${CONTRACT}audit: ${text}\n`, { file: "broker.yaml", readFile }).audit;
  };

  test("the documented examples load", () => {
    const page = (name: string) => readFileSync(new URL(`../../docs/${name}.md`, import.meta.url), "utf8");
    const example = (name: string) => /^```yaml\naudit:\n([^`]*)^```$/m.exec(page(name))?.[1] ?? "";
    expect(withAudit(`\n${example("configuration")}`)).toEqual({
      to: { url: "https://logs.example.com/acr-broker", authorizationVariable: "ACR_BROKER_AUDIT_AUTHORIZATION" },
      whenUnavailable: "refuse",
    });
    expect(withAudit(`\n${example("audit")}`)).toEqual({
      to: { file: "/mnt/audit/acr-broker/{instance}.jsonl" },
      whenUnavailable: "refuse",
    });
    expect(withAudit("{ file: a.jsonl, when_unavailable: continue }")?.whenUnavailable).toBe("continue");
  });

  test("a private CA of the collector is read from beside the policy", () => {
    const { cert } = makeCa();
    expect(withAudit("{ url: https://logs.example.com, ca_file: ./logs.pem }", { "./logs.pem": cert })?.to).toEqual({
      url: "https://logs.example.com",
      ca: { path: "./logs.pem", certificates: [cert] },
    });
  });

  const ONE_OF_TWO =
    "audit: is to have file or url, one of the two; name where the events go beside standard output, or take the key out";
  test.each([
    ["{}", "{}", ONE_OF_TWO],
    ["{ when_unavailable: refuse }", "{", ONE_OF_TWO],
    ["{ file: a, url: https://logs.example.com }", "{", ONE_OF_TWO],
    ['{ file: "" }', '""', "audit.file: is empty; name the file that the audit events go to"],
    ['{ file: "a\\nb" }', '"a', "has a control character or line break in it; take it out"],
    ['{ file: "a-{pid}" }', '"a', '"a-{pid}" has another brace in it than those of {instance}; write that, or none'],
    ["{ file: a, ca_file: b }", "ca_file", "audit.ca_file: stands beside file, which asks nobody; keep it for a url"],
    [
      "{ file: a, authorization_env: B }",
      "authorization_env",
      "audit.authorization_env: stands beside file, which asks nobody; keep it for a url",
    ],
    [
      "{ url: http://logs.example.com }",
      "http",
      '"http://logs.example.com" is not https; http is for this machine alone',
    ],
    ["{ url: https://secret@logs.example.com }", "http", '"…@logs.example.com" is not a plain URL'],
    ["{ url: https://logs.example.com?token=secret }", "http", '"https://logs.example.com?…" is not a plain URL'],
    [
      "{ url: http://127.0.0.1:1, ca_file: b }",
      "ca_file",
      "audit.ca_file: stands beside an http url, where nothing is vouched for",
    ],
    ["{ url: https://logs.example.com, ca_file: gone.pem }", "gone.pem", 'audit.ca_file: "gone.pem" cannot be read'],
    [
      "{ url: https://logs.example.com, authorization_env: Bearer abc }",
      "Bearer",
      "is no environment variable's name; write the name, such as ACR_BROKER_AUDIT_AUTHORIZATION",
    ],
    [
      "{ url: https://logs.example.com, authorization_env: ALIBABA_CLOUD_SECURITY_TOKEN }",
      "ALIBABA",
      "names one of the broker's own keys, which would be sent to the collector",
    ],
    ["{ file: a, when_unavailable: ignore }", "ignore", 'audit.when_unavailable: "ignore"'],
    ["{ file: a, sink: b }", "sink", "audit.sink: "],
  ])("%s is refused, with its place", (text, place, why) => {
    const line = CONTRACT.split("\n").length;
    const refused = () => withAudit(text);
    expect(refused).toThrow(why);
    expect(refused).toThrow(`broker.yaml:${line}:${`audit: ${text}`.indexOf(place) + 1}: `);
    expect(refused).not.toThrow("secret");
  });
});

describe("metrics", () => {
  const withMetrics = (lines: string) => load(`${CONTRACT}metrics: ${lines}\n`).metrics;

  test("one key leaves the other at its default, and the documented example says what is so without either", () => {
    expect(withMetrics("{ names: true }")).toEqual({ endpoint: true, names: true });
    expect(withMetrics("{ endpoint: false }")).toEqual({ endpoint: false, names: false });
    const documented = readFileSync(new URL("../../docs/configuration.md", import.meta.url), "utf8");
    const [, example = ""] = /^```yaml\nmetrics:\n([^`]*)^```$/m.exec(documented) ?? [];
    expect(withMetrics(`\n${example}`)).toEqual({ endpoint: true, names: false });
  });

  test("an empty map is refused with what to write", () => {
    expect(() => withMetrics("{}")).toThrow("metrics: is an empty map; write endpoint or names, or take the key out");
  });
});

describe("tracing", () => {
  const withTracing = (lines: string) => load(`${CONTRACT}tracing: ${lines}\n`).tracing;

  test("one in ten is traced where the policy does not say, and no more of those whose caller does", () => {
    const endpoint = "https://collector.example.com:4318/v1/traces";
    const given = { endpoint, headerVariables: {} };
    expect(withTracing(`{ endpoint: "${endpoint}" }`)).toEqual({ ...given, ratio: 0.1, parentRatio: 0.1 });
    expect(withTracing(`{ endpoint: "${endpoint}", ratio: 0.5 }`)).toEqual({ ...given, ratio: 0.5, parentRatio: 0.5 });
    const documented = readFileSync(new URL("../../docs/configuration.md", import.meta.url), "utf8");
    const [, example = ""] = /^```yaml\ntracing:\n([^`]*)^```$/m.exec(documented) ?? [];
    expect(withTracing(`\n${example}`)).toEqual({
      endpoint,
      headerVariables: { authorization: "ACR_BROKER_OTLP_AUTHORIZATION" },
      ratio: 0.05,
      parentRatio: 1,
    });
  });

  test.each([
    ["{}", "tracing.endpoint: is missing; write where spans are posted"],
    ["{ endpoint: ftp://x.example }", 'tracing.endpoint: "ftp://x.example" will not do; write where spans are posted'],
    ['{ endpoint: "https://user:secret@x.example/v1/traces" }', "tracing.endpoint: "],
    ['{ endpoint: "https://x.example/v1/traces?key=secret" }', "tracing.endpoint: "],
    ["{ endpoint: https://x.example, ratio: 2 }", "tracing.ratio: is too large; write 0 to 1"],
    [
      "{ endpoint: https://x.example, headers_env: { authorization: ALIBABA_CLOUD_SECURITY_TOKEN } }",
      "names one of the broker's own keys, which would be sent to the collector",
    ],
    ["{ endpoint: https://x.example, headers_env: { authorization: Bearer x } }", "never the header's value itself"],
  ])("%s is refused", (text, why) => {
    expect(() => withTracing(text)).toThrow(why);
  });
});

describe("budget", () => {
  const withBudget = (lines: string) => load(`${CONTRACT}budget: ${lines}\n`).budget;

  test("may be left out, in whole or in part", () => {
    expect(load(CONTRACT).budget).toBeUndefined();
    expect(withBudget("{ instances: 3 }")).toEqual({ instances: 3 });
    expect(withBudget("{ assume_role_per_second: 200 }")).toEqual({ assumeRolePerSecond: 200 });
  });

  test("the documented example says what is so without it", () => {
    const documented = readFileSync(new URL("../../docs/configuration.md", import.meta.url), "utf8");
    const [, example = ""] = /^```yaml\nbudget:\n([^`]*)^```$/m.exec(documented) ?? [];
    expect(withBudget(`\n${example}`)).toEqual({ assumeRolePerSecond: 80, instances: 10 });
  });

  test.each([
    ["{}", "budget: is an empty map; name a number, or take the key out"],
    ["{ instances: 0 }", "budget.instances: is too small; write 1 to 1000"],
    ["{ assume_role_per_second: 10001 }", "budget.assume_role_per_second: is too large; write 1 to 10000"],
  ])("%s is refused with what to write", (lines, says) => {
    expect(() => withBudget(lines)).toThrow(says);
  });
});

describe("redis", () => {
  const ca = makeCa().cert;
  const withRedis = (lines: string) =>
    parseConfig(`${CONTRACT}redis: ${lines}\n`, {
      file: "broker.yaml",
      readFile: (path) => (path === "./ca.pem" ? ca : JSON.stringify({ keys: [KEY] })),
    });

  test("its host is enough: TLS, no password, and memory alone where it fails", () => {
    expect(load(CONTRACT).redis).toBeUndefined();
    expect(withRedis("{ host: 10.0.0.7 }").redis).toEqual({
      host: "10.0.0.7",
      port: 6379,
      tls: {},
      keyPrefix: "acr-token-broker",
      whenUnavailable: "memory",
    });
  });

  test("all that can be said of it", () => {
    const { redis } = withRedis(
      "{ host: r-abc.redis.rds.aliyuncs.com, port: 6380, ca_file: ./ca.pem, username: broker, password_env: REDIS_PASSWORD, key_prefix: brokers, when_unavailable: refuse, credentials: { key_env: [CACHE_KEY, CACHE_KEY_OLD] } }",
    );
    expect(redis).toEqual({
      host: "r-abc.redis.rds.aliyuncs.com",
      port: 6380,
      tls: { ca: { path: "./ca.pem", certificates: [ca] } },
      username: "broker",
      passwordVariable: "REDIS_PASSWORD",
      keyPrefix: "brokers",
      whenUnavailable: "refuse",
      credentialKeyVariables: ["CACHE_KEY", "CACHE_KEY_OLD"],
    });
    expect(withRedis("{ host: localhost, tls: false }").redis?.tls).toBe(false);
  });

  test("the documentation's examples load", () => {
    const documented = readFileSync(new URL("../../docs/configuration.md", import.meta.url), "utf8");
    const examples = [...documented.matchAll(/^```yaml\nredis:\n([^`]*)^```$/gm)].map(([, lines = ""]) => lines);
    expect(
      examples.map((lines) => withRedis(`\n${lines.replaceAll("./redis-ca.pem", "./ca.pem")}`).redis),
    ).toMatchObject([
      { host: "r-abc.redis.rds.aliyuncs.com", whenUnavailable: "refuse" },
      { host: "r-abc.redis.rds.aliyuncs.com", credentialKeyVariables: ["ACR_BROKER_CACHE_KEY"] },
    ]);
  });

  test("whose certificates are believed counts in the digest", () => {
    expect(withRedis("{ host: a, ca_file: ./ca.pem }").digest).not.toBe(withRedis("{ host: a }").digest);
  });
});

describe("fields that may be left out, and those that may not", () => {
  /** Everything else is required, or something else needs it. */
  const OPTIONAL = [
    /^issuers\.cluster$/,
    /^issuers\.\w+\.(algorithms|replay|jwks_file)$/,
    /^grants\.[\w-]+$/,
    /^grants\.web-main\.(create_repository|when\.(ref|environment))$/,
    /^grants\.builders\.when\.\w+$/,
    /^api_keys\.nightly\.cidrs$/,
    /^alibaba$/,
    /^alibaba\.\w+$/,
  ];

  for (const path of keysOf(parse(CONTRACT))) {
    const isOptional = OPTIONAL.some((pattern) => pattern.test(path.join(".")));
    test(`without ${path.join(".")} it ${isOptional ? "loads" : "does not load"}`, () => {
      const content = parse(CONTRACT);
      const holder = path.slice(0, -1).reduce((map, key) => map[key], content);
      delete holder[path.at(-1) as string];

      const complaints = complaintsOf(stringify(content));

      if (isOptional) expect(complaints).toEqual([]);
      else expect(complaints).not.toEqual([]);
    });
  }

  function keysOf(value: unknown, above: readonly string[] = []): string[][] {
    if (typeof value !== "object" || value === null || Array.isArray(value)) return [];
    return Object.entries(value).flatMap(([key, part]) => [[...above, key], ...keysOf(part, [...above, key])]);
  }
});

describe("how a bad file is told", () => {
  test("every problem at once, in the order of the file, each beginning with FILE:LINE:COLUMN", () => {
    const broken = CONTRACT.replace("version: 1", "version: 3")
      .replace("algorithms: [RS256]", "algorithms: [HS256]")
      .replace('repository_id: "123456" ', "repository_id: 123456 ")
      .replace("    max_ttl: 1800\n", "")
      .replace("registry: prod, allow: ", "registry: test, allow: ")
      .replace("cidrs: [10.0.0.0/8]", "cidr: [10.0.0.0/8]");

    expect(complaintsOf(broken).map((line) => line.replace(/;.*/, ""))).toEqual([
      'broker.yaml:1:10: version: "3" is not known here',
      'broker.yaml:7:97: issuers.github.algorithms[0]: "HS256" is not known here',
      "broker.yaml:11:3: grants.web-main.max_ttl: is missing",
      "broker.yaml:14:22: grants.web-main.when.repository_id: is a number to YAML",
      'broker.yaml:22:95: grants.builders.registry: "test" is not in registries',
      "broker.yaml:26:119: api_keys.nightly.cidr: is not known here",
    ]);
  });

  test("what stands in the place of a key's digest is never shown", () => {
    const digest = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";
    const numeric = "1234567890".repeat(6).concat("1234");
    for (const broken of [
      CONTRACT.replace(digest, "abk_nightly_canary"),
      CONTRACT.replace(digest, digest.toUpperCase()),
      CONTRACT.replace(digest, numeric),
      CONTRACT.replace("nightly: {", `weekly: { sha256: ${digest}, expires: 2027-06-30T00:00:00Z }\n  nightly: {`),
      CONTRACT.replace(/nightly: \{ sha.*/, "nightly: abk_nightly_canary"),
      CONTRACT.replace(/nightly: \{ sha.*/, "nightly: [abk_nightly_canary]"),
      CONTRACT.replace("  nightly: { sha", "  abk_nightly_canary: { sha"),
      CONTRACT.replace("api_key: nightly", "api_key: abk_nightly_canary"),
      CONTRACT.replace("expires: 2027", "expires: abk_nightly_canary"),
      CONTRACT.replace("cidrs: [10.0.0.0/8]", "last4: abk_nightly_canary"),
      CONTRACT.replace("cidrs: [10.0.0.0/8]", "created: abk_nightly_canary"),
      CONTRACT.replace("cidrs: [10.0.0.0/8]", "cidrs: [abk_nightly_canary]"),
      CONTRACT.replace("api_key: nightly", "api_key: { any_of: [nightly, abk_nightly_canary] }"),
      CONTRACT.replace("alibaba:  ", "client_address: { header: abk_nightly_canary }\nalibaba:  "),
    ]) {
      const told = complaintsOf(broken).join("\n");
      expect(told).not.toBe("");
      expect(told).not.toMatch(/canary|9f86d08|9F86D08|1234567890123456789/);
    }
  });

  test("a private key in a pinned key set is never shown", () => {
    expect(() => load(CONTRACT, [{ ...KEY, d: "canary" }])).toThrow(
      /^broker\.yaml:8:77: .*keep only public keys in it$/,
    );
  });
});

describe("what may be written", () => {
  test.each([
    ["issuer: https://k8s.internal", "issuer: http://127.0.0.1:9200"],
    ["issuer: https://k8s.internal", "issuer: http://127.1.2.3/realm/ci"],
    ["issuer: https://k8s.internal", 'issuer: "http://[::1]:9200"'],
    ["issuer: https://k8s.internal", "issuer: http://localhost:9200"],
    ["issuer: https://k8s.internal", "issuer: https://oidc.example.com:8443/id/ABC_1-2.3~x"],
    ["jwks_file: ./cluster-jwks.json", "jwks_uri: https://k8s.internal/openid/v1/jwks"],
    ["acme-registry.cn-hangzhou.cr.aliyuncs.com", "127.0.0.1:5000"],
    ["10.0.0.0/8", '10.0.0.0/8, 192.0.2.7/32, "2001:db8::/32", "::1/128", 0.0.0.0/0'],
    ["expires: 2027-06-30T00:00:00Z", 'expires: "2020-01-01T08:00:00.5+08:00"'],
    ["role/acr-web\n", "role/Acr.Web_2\n"],
    ['repository_id: "123456"', 'sub: { glob: "repo:acme/*:ref:refs/heads/*" }'],
    ['repository_id: "123456"', 'sub: { glob: "repo:acme@42/app@7:*:*" }'],
    ['repository_id: "123456"', 'repository: { glob: "acme/*" }'],
    ['repository_id: "123456"', 'repository_owner: { any_of: ["acme", "Acme [x]? {y}"] }'],
    ["web-main:", '"2024":'],
    ["api_key: nightly", "api_key: { any_of: [nightly] }"],
    ["cidrs: [10.0.0.0/8]", 'created: 2027-03-30T00:00:00Z, last4: "0e12"'],
    ["alibaba:  ", "client_address: { header: X-Real-IP }\nalibaba:  "],
  ])("%s → %s", (replaced, by) => {
    expect(CONTRACT).toContain(replaced);
    expect(complaintsOf(CONTRACT.replace(replaced, () => by))).toEqual([]);
  });

  test("a byte order mark and DOS line ends", () => {
    expect(complaintsOf(`\ufeff${CONTRACT.replaceAll("\n", "\r\n")}`)).toEqual([]);
  });
});

test("a template stands for each iss that its grants name, once", () => {
  const grant = (name: string, iss: string) =>
    `  ${name}: { issuer: orgs, when: { iss: ${iss}, sub: x }, registry: prod, allow: ["repository:web/*:pull"], role_arn: acs:ram::1234567890123456:role/acr-web, max_ttl: 900 }\n`;
  const text = CONTRACT.replace(
    "grants:\n",
    `  orgs: { provider: generic, issuer_template: "https://oidc.example.com/org/{org}" }\ngrants:\n${grant("b", "https://oidc.example.com/org/b")}${grant("a", "{ any_of: [https://oidc.example.com/org/b, https://oidc.example.com/org/a] }")}`,
  );
  const orgs = load(text).issuers.get("orgs");
  expect(orgs).toMatchObject({
    template: "https://oidc.example.com/org/{org}",
    accepted: ["https://oidc.example.com/org/a", "https://oidc.example.com/org/b"],
    keys: { from: "discovery" },
  });
  expect(orgs).not.toHaveProperty("issuer");
});

describe("files", () => {
  let folder = "";
  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), "broker-config-"));
    writeFileSync(join(folder, "broker.yaml"), CONTRACT);
  });
  afterAll(() => rmSync(folder, { recursive: true }));

  test("a pinned key set is found beside the configuration", () => {
    const path = join(folder, "broker.yaml");
    expect(() => loadConfig(path)).toThrow(
      `${path}:8:77: issuers.cluster.jwks_file: "./cluster-jwks.json" cannot be read`,
    );
    writeFileSync(join(folder, "cluster-jwks.json"), JSON.stringify({ keys: [KEY] }));
    expect(loadConfig(path).digest).toBe(load(CONTRACT).digest);
  });

  test("a CA's certificate in binary form is told how to become text", () => {
    const path = join(folder, "private.yaml");
    writeFileSync(path, CONTRACT.replace("jwks_file: ./cluster-jwks.json", "ca_file: ./ca.der"));
    writeFileSync(join(folder, "ca.der"), new X509Certificate(makeCa().cert).raw);
    expect(() => loadConfig(path)).toThrow(
      'issuers.cluster.ca_file: "./ca.der" is no text; write PEM, as openssl x509 -inform der makes it',
    );
  });

  test("a file that is not there, is a folder, or is no text", () => {
    const binary = join(folder, "binary.yaml");
    writeFileSync(binary, Uint8Array.of(0x61, 0x3a, 0x20, 0xff));
    const missing = join(folder, "missing.yaml");
    expect(() => loadConfig(missing)).toThrow(
      `${missing}:1:1: cannot be read (ENOENT); name another file with BROKER_CONFIG`,
    );
    expect(() => loadConfig(folder)).toThrow(ConfigError);
    expect(() => loadConfig(binary)).toThrow(ConfigError);
  });

  test("the example at the top of the repository loads, and an editor sees nothing wrong in it", () => {
    const path = new URL("../../broker.yaml", import.meta.url).pathname;
    expect(loadConfig(path).grants.length).toBeGreaterThan(1);
    const isValid = new Ajv2020({ strict: false, validateFormats: false }).compile(editorSchema());
    expect(isValid(parse(readFileSync(path, "utf8")))).toBe(true);
  });
});
