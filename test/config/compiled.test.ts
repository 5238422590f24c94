/** A compiled policy is the configuration that the loader would make, or it is nothing. */

import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { isDeepStrictEqual } from "node:util";
import fc from "fast-check";
import { afterAll, beforeEach, describe, expect, test } from "vitest";
import { compile, readCompiled, type Source } from "../../shared/config/compiled.ts";
import type { BrokerConfig } from "../../shared/config/config.ts";
import { loadConfig, parseConfig } from "../../shared/config/load.ts";

const LOADER = "0.0.0-test 00ff";
const KEYS = JSON.stringify({ keys: [{ kty: "RSA", kid: "1", n: "x", e: "AQAB", __proto__x: { deep: [1.5, null] } }] });
const POLICY = `\
version: 1
audience: https://acr-broker.example.com
registries:
  prod: { instance_id: cri-abc123, region: cn-hangzhou, account_id: "1234567890123456", endpoints: [a.example.com] }
issuers:
  github: { provider: github, issuer: https://token.actions.githubusercontent.com, replay: { count: 3 } }
  cluster: { provider: kubernetes, issuer: https://k8s.internal, jwks_file: ./keys/jwks.json }
  ram: { provider: alibaba, accounts: ["1234567890123456"] }
grants:
  "7": { issuer: github, when: { repository_id: "123456", ref: { glob: "refs/heads/v*" } }, registry: prod, allow: ["repository:web/\${repository_id}:pull"], role_arn: acs:ram::1234567890123456:role/acr-web, max_ttl: 900 }
  nightly: { api_key: nightly, registry: prod, allow: ["repository:base/*:pull"], role_arn: acs:ram::1234567890123456:role/acr-web, max_ttl: 900 }
denials:
  no-tools: { registry: prod, deny: ["repository:tools/*:push"] }
ceiling: ["repository:web/*:pull,push", "repository:base/*:pull"]
api_keys:
  nightly: { sha256: 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08, expires: 2027-06-30T00:00:00Z, created: 2027-06-01T00:00:00Z, cidrs: [10.0.0.0/8] }
client_address: { header: X-Real-IP }
alibaba: { sts_endpoint: http://127.0.0.1:9100 }
`;

const folders: string[] = [];
let policy: string;
let compiled: string;
beforeEach(() => {
  const folder = mkdtempSync(join(tmpdir(), "compiled-"));
  folders.push(folder);
  policy = join(folder, "broker.yaml");
  compiled = join(folder, "broker.compiled.json");
});
afterAll(() => {
  for (const folder of folders) rmSync(folder, { recursive: true });
});

/** Writes the policy and what it names, loads it, and writes it compiled beside it. */
function build(text = POLICY): BrokerConfig {
  writeFileSync(policy, text);
  const keys = join(policy, "../keys");
  rmSync(keys, { recursive: true, force: true });
  mkdirSync(keys);
  writeFileSync(join(keys, "jwks.json"), KEYS);
  const sources: Source[] = [];
  const config = loadConfig(policy, (source) => sources.push(source));
  writeFileSync(compiled, compile(config, sources, LOADER));
  return config;
}

const read = (loader = LOADER) => readCompiled(compiled, policy, loader);

/** There and back, whatever it is. */
function again(config: unknown): unknown {
  writeFileSync(policy, "");
  const sources = [{ name: "broker.yaml", bytes: Buffer.from("") }];
  writeFileSync(compiled, compile(config as BrokerConfig, sources, LOADER));
  return read();
}

/** Each policy that stands in a page or a test as a whole, and loads. */
function policiesAround(): { from: string; config: BrokerConfig }[] {
  const root = new URL("../../", import.meta.url);
  const textOf = (from: string) => readFileSync(new URL(from, root), "utf8");
  const files = ["test", "docs"].flatMap((top) =>
    readdirSync(new URL(top, root), { recursive: true, encoding: "utf8" }).map((name) => `${top}/${name}`),
  );
  const quoted = [...files.filter((name) => /\.(?:ts|md)$/.test(name)), "README.md"].flatMap((from) =>
    [...textOf(from).matchAll(/`[a-z]*(?:\\?\n)?(version: 1\n[^`]*)`/g)].map(([, text = ""]) => ({ from, text })),
  );
  return [{ from: "broker.yaml", text: textOf("broker.yaml") }, ...quoted].flatMap(({ from, text }) => {
    try {
      return [{ from, config: parseConfig(text, { file: from, readFile: () => KEYS }) }];
    } catch {
      return []; // not whole, or wrong on purpose
    }
  });
}

function unfrozen(value: unknown, path = "config"): string[] {
  if (typeof value !== "object" || value === null) return [];
  const parts = value instanceof Map ? [...value] : Object.entries(value);
  return [
    ...(Object.isFrozen(value) ? [] : [path]),
    ...parts.flatMap(([key, part]) => unfrozen(part, `${path}.${key}`)),
  ];
}

describe("what comes back", () => {
  test("is what was loaded: maps, dates, order and digest, frozen to its last part", () => {
    const config = build();
    expect(read()).toStrictEqual(config);
    expect(read()?.grants.map(({ name }) => name)).toEqual(["7", "nightly"]);
    expect(read()?.apiKeys.get("nightly")?.expires).toEqual(new Date("2027-06-30T00:00:00Z"));
    expect(unfrozen(read())).toEqual([]);
  });

  const around = policiesAround();

  test("policies to try stand in the pages and the tests", () => {
    expect(new Set(around.map(({ from }) => from)).size).toBeGreaterThan(3);
  });

  test.each(around)("is what was loaded from a policy in $from", ({ config }) => {
    expect(again(config)).toStrictEqual(config);
  });

  test("is the same whatever a configuration may come to hold of maps, dates, lists and texts, one in another", () => {
    const { whole } = fc.letrec((part) => ({
      whole: fc.dictionary(fc.string(), part("part"), { noNullPrototype: true }),
      part: fc.oneof(
        { depthSize: "small" },
        fc.oneof(
          fc.string({ unit: "binary" }),
          fc.constantFrom("\u0000", "\u0000map", "\u0000\u0000map", "\u0000date 1"),
          fc.integer(),
          fc.boolean(),
          fc.constant(null),
          fc.date({ noInvalidDate: true }),
        ),
        fc.array(part("part")),
        fc.array(fc.tuple(fc.string(), part("part"))).map((entries) => new Map(entries)),
        fc.dictionary(fc.constantFrom("a", "\u0000map", "__proto__", "0", "1"), part("part"), {
          noNullPrototype: true,
        }),
      ),
    }));
    fc.assert(
      fc.property(whole, (config) => {
        const back = again(config);
        expect(isDeepStrictEqual(back, config)).toBe(true);
        expect(unfrozen(back)).toEqual([]);
      }),
      { numRuns: 100 },
    );
  });

  test.each([
    ["a set", new Set(["x"])],
    ["what is undefined", undefined],
    ["no number", Number.NaN],
    ["a pattern", /x/],
  ])("%s would come back as another thing, so it is not compiled", (_, value) => {
    expect(() => compile({ value } as unknown as BrokerConfig, [], LOADER)).toThrow("cannot be compiled");
  });
});

describe("it is as if it were not there", () => {
  test("after any byte of the policy changed, also one that means nothing", () => {
    build();
    writeFileSync(policy, `${POLICY}\n`);
    expect(read()).toBeUndefined();
    writeFileSync(policy, POLICY);
    expect(read()).toBeDefined();
  });

  test("after the pinned key set changed, or went away", () => {
    build();
    const keys = join(policy, "../keys/jwks.json");
    writeFileSync(keys, KEYS.replace("AQAB", "AQAC"));
    expect(read()).toBeUndefined();
    rmSync(keys);
    expect(read()).toBeUndefined();
  });

  test("to another loader, and in another format", () => {
    build();
    expect(read("0.0.0-test 00fe")).toBeUndefined();
    writeFileSync(compiled, readFileSync(compiled, "utf8").replace('"format":1', '"format":2'));
    expect(read()).toBeUndefined();
  });

  test("to a policy of another name, although the first still stands beside it", () => {
    build();
    const other = join(policy, "../other.yaml");
    writeFileSync(other, POLICY);
    expect(readCompiled(compiled, other, LOADER)).toBeUndefined();
  });

  test("with a single byte of it changed, wherever", () => {
    build();
    const whole = readFileSync(compiled);
    for (let at = 0; at < whole.length; at += 29) {
      const damaged = Buffer.from(whole);
      damaged[at] = (damaged[at] as number) ^ 1;
      writeFileSync(compiled, damaged);
      expect(read(), `byte ${at}`).toBeUndefined();
    }
  });

  test.each(["", "\n", "{}", "null\nnull", "[]\n{}", '{"format":1}', "not JSON"])("being %j", (content) => {
    build();
    writeFileSync(compiled, content);
    expect(read()).toBeUndefined();
  });

  test("cut short, or missing", () => {
    build();
    const whole = readFileSync(compiled);
    for (const end of [1, whole.indexOf("\n"), whole.length - 1]) {
      writeFileSync(compiled, whole.subarray(0, end));
      expect(read()).toBeUndefined();
    }
    rmSync(compiled);
    expect(read()).toBeUndefined();
  });
});

test("the loader tells each file that a policy is made of, by its name and with its bytes", () => {
  build();
  const sources: Source[] = [];
  loadConfig(policy, (source) => sources.push(source));
  expect(sources.map(({ name, bytes }) => [name, Buffer.from(bytes).toString()])).toEqual([
    ["broker.yaml", POLICY],
    ["./keys/jwks.json", KEYS],
  ]);
});
