/** The policy digest: the same for whatever means the same, another for whatever does not. */

import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { parse, stringify } from "yaml";
import { ConfigError } from "../../shared/config/config.ts";
import { parseConfig } from "../../shared/config/load.ts";
import { makeCa } from "../certificates.ts";

const TEXT = `\
version: 1
audience: https://acr-broker.example.com
registries:
  prod: { instance_id: cri-abc123, region: cn-hangzhou, account_id: "1234567890123456", endpoints: [a.example.com, b.example.com] }
  test: { instance_id: cri-abc124, region: cn-beijing, account_id: "1234567890123457", endpoints: [c.example.com] }
issuers:
  github: { provider: github, issuer: https://token.actions.githubusercontent.com, audience: github-aud, algorithms: [RS256, ES256], replay: once, max_token_lifetime: 600 }
  gitlab: { provider: gitlab, issuer: https://gitlab.example.com, jwks_uri: https://gitlab.example.com/keys }
  cluster: { provider: kubernetes, issuer: https://k8s.internal, jwks_file: ./jwks.json }
  orgs: { provider: circleci, issuer_template: "https://oidc1.example.com/org/{org}", ca_file: ./ca.pem }
  ram: { provider: alibaba, accounts: ["1234567890123456", "1234567890123457"], audience: ram-aud }
grants:
  web-main:
    issuer: github
    when: { repository_id: "123456", ref: { any_of: [refs/heads/main, refs/heads/release] }, environment: { glob: "prod-*" } }
    registry: prod
    allow: ["repository:web/*:pull,push", "repository:base/*:pull"]
    role_arn: acs:ram::1234567890123457:role/acr-web
    external_id: acme-broker-2027
    max_ttl: 1800
    create_repository: true
    cidrs: [10.0.0.0/8, 192.168.0.0/16]
    times: { not_before: 2026-01-01T00:00:00Z, not_after: 2027-06-30T00:00:00Z, days: [mon, tue], hours: "09:00-18:03", zone: Asia/Shanghai }
  nightly-pull: { api_key: nightly, registry: test, allow: ["repository:base/*:pull"], role_arn: acs:ram::1234567890123456:role/acr-web, max_ttl: 900 }
  weekly-pull: { api_key: { any_of: [nightly, weekly] }, registry: test, allow: ["repository:tools/*:pull"], role_arn: acs:ram::1234567890123456:role/acr-web, max_ttl: 900 }
api_keys:
  nightly: { sha256: 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08, expires: 2027-06-30T00:00:00Z, cidrs: [10.0.0.0/8, 192.168.0.0/16] }
  weekly: { sha256: 0f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08, expires: 2027-06-30T00:00:00Z }
denials:
  freeze: { registry: prod, deny: ["repository:web/*:push"], times: { not_after: 2027-06-30T00:00:00Z } }
client_address: { header: X-Real-IP }
alibaba: { sts_endpoint: http://127.0.0.1:9100, cr_endpoint: http://127.0.0.1:9101 }
redis: { host: r-abc.redis.rds.aliyuncs.com, port: 6380, tls: true, username: broker, password_env: REDIS_PASSWORD, key_prefix: brokers, when_unavailable: refuse }
`;
const KEYS = [{ kty: "RSA", kid: "1", n: "x", e: "AQAB" }];

const CAS = [makeCa().cert, makeCa().cert];

function digestOf(text: string, keys: unknown[] = KEYS, ca: string = CAS.join("")): string {
  const readFile = (path: string) => (path.startsWith("./ca.pem") ? ca : JSON.stringify({ keys }));
  return parseConfig(text, { file: "broker.yaml", readFile }).digest;
}

const DIGEST = digestOf(TEXT);

test("it is sha256: and 64 hex digits", () => {
  expect(DIGEST).toMatch(/^sha256:[0-9a-f]{64}$/);
});

test("order, comments and layout never change it", () => {
  fc.assert(
    fc.property(fc.infiniteStream(fc.nat()), fc.boolean(), fc.boolean(), (numbers, isFlow, isQuoted) => {
      const next = () => numbers.next().value as number;
      const text = stringify(shuffled(parse(TEXT), next), {
        collectionStyle: isFlow ? "flow" : "any",
        defaultStringType: isQuoted ? "QUOTE_DOUBLE" : "PLAIN",
        indent: 1 + (next() % 7),
      });
      expect(digestOf(`# ${next()}\n${text}\n\n# the end`)).toBe(DIGEST);
    }),
    { numRuns: 200 },
  );
});

test("a default that is written out is the same as one that is left out", () => {
  const written = TEXT.replace(
    "jwks_uri: https://gitlab.example.com/keys",
    "jwks_uri: https://gitlab.example.com/keys, algorithms: [RS256], replay: off, max_token_lifetime: 86400, audience: https://acr-broker.example.com",
  ).replace("registry: test,", "registry: test, create_repository: false,");
  expect(digestOf(written)).toBe(DIGEST);
});

test("one key's name alone is the same as a list of only it", () => {
  expect(digestOf(TEXT.replace("api_key: nightly", "api_key: { any_of: [nightly] }"))).toBe(DIGEST);
});

test("when a key was made and its last digits decide nothing", () => {
  const told = TEXT.replace("weekly: { sha256", 'weekly: { created: 2027-03-30T00:00:00Z, last4: "0a1b", sha256');
  expect(told).not.toBe(TEXT);
  expect(digestOf(told)).toBe(DIGEST);
});

test("what is asked beside, how often, who is blocked, and what is told where, decide nothing", () => {
  const more =
    "shadow: ./next.yaml\nbudget: { instances: 3 }\nblocks: { file: blocks.txt }\nlimits: { caller_per_minute: 7 }\naudit: { file: audit.jsonl }\nmetrics: { names: true }\ntracing: { endpoint: https://x.example/v1/traces }\n";
  expect(digestOf(`${TEXT}${more}`)).toBe(DIGEST);
});

test("which keys seal credentials in Redis decides nothing", () => {
  const sealed = (names: string) => TEXT.replace("key_prefix: brokers", `$&, credentials: { key_env: [${names}] }`);
  expect(sealed("A")).not.toBe(TEXT);
  expect([digestOf(sealed("A")), digestOf(sealed("B, A"))]).toEqual([DIGEST, DIGEST]);
});

test("a second key for a grant changes it", () => {
  expect(digestOf(TEXT.replace("api_key: nightly", "api_key: { any_of: [nightly, weekly] }"))).not.toBe(DIGEST);
});

test("a changed key in a pinned key set changes it", () => {
  expect(digestOf(TEXT, [{ ...KEYS[0], n: "y" }])).not.toBe(DIGEST);
});

test("another CA changes it, the same in another order does not", () => {
  expect(digestOf(TEXT, KEYS, makeCa().cert)).not.toBe(DIGEST);
  expect(digestOf(TEXT, KEYS, CAS[0])).not.toBe(DIGEST);
  expect(digestOf(TEXT, KEYS, `\n${CAS[1]}\n${CAS[0]}${CAS[1]}`)).toBe(DIGEST);
});

test("the order of a registry's endpoints is seen by clients, so it counts", () => {
  expect(digestOf(TEXT.replace("a.example.com, b.example.com", "b.example.com, a.example.com"))).not.toBe(DIGEST);
});

describe("every other value of the file counts", () => {
  // A reference or a preset has no other value that would load here.
  const ONLY_ONE = /^(version|issuers\.\w+\.provider|grants\.[\w-]+\.(issuer|api_key(\.any_of\.\d)?))$/;

  for (const path of leavesOf(parse(TEXT)).filter((leaf) => !ONLY_ONE.test(leaf.join(".")))) {
    test(path.join("."), () => {
      const seen = new Set<string>();
      const holder = (content: unknown) =>
        path.slice(0, -1).reduce((map, key) => (map as Record<string, unknown>)[key], content) as Record<
          string,
          unknown
        >;
      const key = path.at(-1) as string;
      for (const other of others(holder(parse(TEXT))[key])) {
        const content = parse(TEXT);
        holder(content)[key] = other;
        try {
          seen.add(digestOf(stringify(content)));
        } catch (error) {
          expect(error).toBeInstanceOf(ConfigError);
        }
      }
      expect(seen.size, "some other value loads").toBeGreaterThan(0);
      expect(seen).not.toContain(DIGEST);
    });
  }

  test.each(["web-main", "nightly-pull", "ram", "gitlab"])("the name %s", (name) => {
    expect(digestOf(TEXT.replace(`  ${name}:`, `  ${name}-2:`))).not.toBe(DIGEST);
  });
});

/** Values that are near the given one; for each field of the file at least one is a good one. */
function others(value: unknown): unknown[] {
  if (typeof value === "boolean") return [!value];
  if (typeof value === "number") return [value + 1];
  const text = String(value);
  return [
    `${text}x`,
    text.replace(/\d(?=\D*$)/, (digit) => String((Number(digit) + 3) % 10)),
    text.replace("2027", "2028"),
    text.replace("10.0", "11.0").replace("192.168", "192.169"),
    text.replace("/*:", "/x:"),
    ...["test", "prod", "off", "RS384", "prod-x*", "sun", "UTC", "memory"].filter((other) => other !== text),
  ].filter((other) => other !== text);
}

/** The same content in another order: of keys, and of the lists that are sets. */
function shuffled(value: unknown, next: () => number, key = ""): unknown {
  if (Array.isArray(value)) return key === "endpoints" ? value : shuffle(value, next);
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(
    shuffle(Object.entries(value), next).map(([name, part]) => [name, shuffled(part, next, name)]),
  );
}

function shuffle<T>(items: readonly T[], next: () => number): T[] {
  const rest = [...items];
  return items.flatMap(() => rest.splice(next() % rest.length, 1));
}

function leavesOf(value: unknown, above: readonly string[] = []): string[][] {
  if (typeof value !== "object" || value === null) return [[...above]];
  return Object.entries(value).flatMap(([key, part]) => leavesOf(part, [...above, key]));
}
