/**
 * Broken configurations, each one small step from a good one: none loads, and each is told with its line, its column and
 * what to write instead. Where an editor with the JSON Schema can see it too, it does.
 */

import { Ajv2020 } from "ajv/dist/2020.js";
import { describe, expect, test } from "vitest";
import { parse } from "yaml";
import { ConfigError, type ConfigProblem } from "../../shared/config/config.ts";
import { parseConfig } from "../../shared/config/load.ts";
import { editorSchema } from "../../shared/config/schema.ts";
import { makeCa } from "../certificates.ts";

const GOOD = `\
version: 1
audience: https://acr-broker.example.com
registries:
  prod:
    instance_id: cri-abc123
    region: cn-hangzhou
    account_id: "1234567890123456"
    endpoints: [acme-registry.cn-hangzhou.cr.aliyuncs.com]
issuers:
  github:
    provider: github
    issuer: https://token.actions.githubusercontent.com
    algorithms: [RS256]
    replay: once
    max_token_lifetime: 600
  cluster:
    provider: kubernetes
    issuer: https://k8s.internal
    jwks_file: ./jwks.json
  ram:
    provider: alibaba
    accounts: ["1234567890123456"]
grants:
  web-main:
    issuer: github
    when:
      repository_id: "123456"
      ref: { any_of: [refs/heads/main, refs/heads/release] }
      environment: { glob: "prod-*" }
    registry: prod
    allow: ["repository:web/*:pull,push", "repository:base/*:pull"]
    role_arn: acs:ram::1234567890123456:role/acr-web
    max_ttl: 1800
    create_repository: false
  nightly-pull:
    api_key: nightly
    registry: prod
    allow: ["repository:tools/*:pull"]
    role_arn: acs:ram::1234567890123456:role/acr-web
    max_ttl: 900
api_keys:
  nightly:
    sha256: 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08
    expires: 2027-06-30T00:00:00Z
    cidrs: [10.0.0.0/8]
alibaba:
  sts_endpoint: https://sts-vpc.cn-hangzhou.aliyuncs.com
redis:
  host: r-abc.redis.rds.aliyuncs.com
  port: 6379
  ca_file: ./ca.pem
  username: broker
  password_env: ACR_BROKER_REDIS_PASSWORD
  key_prefix: acr-token-broker
  when_unavailable: refuse
  credentials: { key_env: [CACHE_KEY, CACHE_KEY_OLD] }
`;

/**
 * `replaced` by `by` in GOOD gives a problem at `at` (line:column, a regular expression) that says `says`.
 * "editor": the JSON Schema refuses it too.
 */
type Row = [replaced: string, by: string, at: string, says: string, seen?: "editor"];

/** What the grant web-main stands on, all of it. */
const WEB_MAIN = GOOD.slice(GOOD.indexOf("    issuer: github\n"), GOOD.indexOf("    registry: prod\n"));
const PROD = GOOD.slice(GOOD.indexOf("  prod:\n"), GOOD.indexOf("issuers:\n"));
const HASH = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";
const CLUSTER = "    issuer: https://k8s.internal\n    jwks_file: ./jwks.json\n";
const IN_A = 'when: { iss: https://k8s.internal/id/a, sub: "system:serviceaccount:ci:builder" }\n';
/** A good one, too: many clusters under one entry. */
const TEMPLATED = GOOD.replace(CLUSTER, "    issuer_template: https://k8s.internal/id/{id}\n")
  .replace(WEB_MAIN, `    issuer: cluster\n    ${IN_A}`)
  .replace(
    "alibaba:\n  sts",
    'denials:\n  x: { issuer: cluster, registry: prod, deny: ["repository:web/legacy:push"] }\n$&',
  );
const templated = (replaced: string, by: string) => TEMPLATED.replace(replaced, () => by);
const second = (name: string, lines: string) => `  ${name}:\n${lines.replace(/^/gm, "    ")}\n`;

// biome-ignore format: a table reads by its rows
const ROWS: Record<string, Row[]> = {
  "the file as YAML": [
    [GOOD, "", "1:1", "the file is empty; begin with version: 1"],
    [GOOD, "# only a comment\n", "1:1", "the file is empty; begin with version: 1"],
    [GOOD, "- version: 1\n", "1:1", "is not a map", "editor"],
    ["  prod:\n", "\tprod:\n", "4:1", "a tab; indent and separate with spaces"],
    ["version: 1", "version:\t1", "1:9", "a tab; indent and separate with spaces"],
    ["[RS256]", "[RS256", "14:5", "not YAML: Flow sequence"],
    ["region: cn-hangzhou", "region: cn: hangzhou", "6:13", "put text that holds one in quotes"],
    ["issuer: github\n", 'issuer: "github\n', "25:20", "not YAML: Missing closing"],
    ["    region:", "   region:", "6:1", "not YAML"],
    ["version: 1\n", "version: 1\n---\n", "2:1", "must hold exactly one"],
    ["version: 1\n", "%YAML 1.1\n---\nversion: 1\n", "1:1", "take it out"],
    ["audience: https", "version: 1\naudience: https", "2:1", "stands twice in one map, first on line 1; keep one"],
    ['    registry: prod\n    allow: ["repository:web', '    registry: &r prod\n    allow: ["repository:web', "30:18", "take it out"],
    ["region: cn-hangzhou", "region: *anchor", "6:13", "an alias (*anchor); write the value out"],
    ['glob: "prod-*"', "glob: *-prod", "29:28", "in quotes if it is text that begins with *"],
    ['"1234567890123456"\n    endpoints', "!!str 1234567890123456\n    endpoints", "7:23", "a YAML tag"],
    ["region: cn-hangzhou", "region: !secret cn-hangzhou", "6:21", "a YAML tag"],
    ["    region: cn-hangzhou", "    <<: { region: cn-hangzhou }", "6:5", "a merge key (<<); write the keys out"],
    ["  web-main:", "  __proto__:", "24:3", '"__proto__" is reserved; use another name'],
    ["  web-main:", "  constructor:", "24:3", '"constructor" is reserved; use another name'],
    ["  web-main:", "  2024:", "24:3", "the key 2024 is not text; write it in quotes"],
    ["  web-main:", "  ? [a]\n  :", "24:5", "a key must be plain text"],
    ['glob: "prod-*"', `glob: ${"[".repeat(20)}${"]".repeat(20)}`, "29:40", "nested over 16 levels deep"],
    ['glob: "prod-*"', `glob: ${"[".repeat(5000)}`, "29:\\d+", "nested over 16 levels deep"],
    [GOOD, `${GOOD}#${"x".repeat(4 * 1024 * 1024)}`, "1:1", "over 4 MiB"],
  ],
  "keys and kinds": [
    ["audience: https", "audince: https", "2:1", "did you mean audience?", "editor"],
    ["    region:", "    regoin:", "6:5", "did you mean region?", "editor"],
    ["    max_ttl: 1800", "    max_ttl: 1800\n    ttl: 900", "34:5", "known are issuer, api_key, when", "editor"],
    ["version: 1", "version: 2", "1:10", "write 1", "editor"],
    ["version: 1", 'version: "1"', "1:10", "is text; write 1 without quotes", "editor"],
    ['account_id: "1234567890123456"', "account_id: 1234567890123456", "7:17", 'write it in quotes: "1234567890123456"', "editor"],
    ['repository_id: "123456"', "repository_id: 0123", "27:22", 'write it in quotes: "0123"', "editor"],
    ['repository_id: "123456"', "repository_id: true", "27:22", 'write it in quotes: "true"', "editor"],
    ['repository_id: "123456"', "repository_id:", "27:7", "has no value; write text for an exact value", "editor"],
    ['repository_id: "123456"', 'repository_id: ["1"]', "27:22", "write text for an exact value, { any_of", "editor"],
    ["max_ttl: 1800", 'max_ttl: "1800"', "33:14", "900 to 3600 seconds, without quotes", "editor"],
    ["max_ttl: 1800", "max_ttl: 30m", "33:14", "is not a number; write the longest life of a credential, 900 to 3600 seconds", "editor"],
    ["replay: once", "replay: 3", "14:13", "3 will not do; write how often one token is taken: once, bind (any number of times for the same scopes and client), { count: 5 }", "editor"],
    ["issuer: https://token.actions.githubusercontent.com", "issuer: https://token.actions.githubusercontent.com/", "12:13", 'ends in a slash, and no iss of github does; write "https://token.actions.githubusercontent.com"'],
    [HASH, `abk_nightly_${HASH}`, "43:13", "is a key, and belongs to its holder alone; treat it as leaked", "editor"],
    ["max_ttl: 1800", "max_ttl: 1800.5", "33:14", "is not a whole number", "editor"],
    ["create_repository: false", "create_repository: no", "34:24", "write one of them, without quotes", "editor"],
    ['["1234567890123456"]', '"1234567890123456"', "22:15", "is not a list", "editor"],
    ["  github:\n    provider: github", "  github: yes\n  other:\n    provider: github", "10:11", "is not a map", "editor"],
    ["  web-main:", "  Web_Main:", "24:3", "is no name; write lower-case letters", "editor"],
    ["  web-main:", "  ../web:", "24:3", "is no name; write lower-case letters", "editor"],
    ["  prod:", `  ${"a".repeat(64)}:`, "4:3", "63 at most", "editor"],
  ],
  "nothing where something must be": [
    ["[acme-registry.cn-hangzhou.cr.aliyuncs.com]", "[]", "8:16", "an empty list; name at least one", "editor"],
    ["[RS256]", "[]", "13:17", "an empty list", "editor"],
    ["[refs/heads/main, refs/heads/release]", "[]", "28:22", "an empty list", "editor"],
    ["[10.0.0.0/8]", "[]", "45:12", "an empty list", "editor"],
    ["{ any_of: [refs/heads/main, refs/heads/release] }", "{}", "28:12", "exactly one of any_of, glob and contains", "editor"],
    ['"123456"', '""', "27:22", "is empty; write the value that the claim must have", "editor"],
    ["https://acr-broker.example.com", '""', "2:11", "is empty; write what callers put into their tokens", "editor"],
    ["./jwks.json", '""', "19:16", "is empty; name the file", "editor"],
    [GOOD.slice(GOOD.indexOf("  sts_endpoint")), "  {}\n", "47:3", "an empty map", "editor"],
    [GOOD.slice(GOOD.indexOf("grants:\n"), GOOD.indexOf("api_keys:")), "grants: {}\n", "23:9", "an empty map", "editor"],
    [GOOD.slice(GOOD.indexOf("grants:\n"), GOOD.indexOf("api_keys:")), "grants:\n", "23:1", "has no value", "editor"],
    ["  web-main:\n", "  empty:\n  web-main:\n", "24:3", "has no value; write { issuer", "editor"],
  ],
  "twice where once is enough": [
    ["[RS256]", "[RS256, RS256]", "13:25", "stands in the list already; keep one", "editor"],
    ["refs/heads/release]", "refs/heads/main]", "28:40", "stands in the list already; keep one", "editor"],
    ['"repository:base/*:pull"]', '"repository:web/*:push,pull"]', "31:43", "stands in the list already; keep one"],
    [PROD, PROD + PROD.replace("prod:", "copy:"), "13:17", "is already registries.prod.endpoints[0]; one host belongs to one registry"],
    ["https://k8s.internal", "https://token.actions.githubusercontent.com", "18:13", "is already issuers.github.issuer; one iss must select exactly one"],
    ["grants:\n", `${second("ram-too", 'provider: alibaba\naccounts: ["1234567890123456"]')}grants:\n`, "25:16", "one account must select exactly one issuer"],
    ["alibaba:\n", `${second("weekly", `sha256: ${HASH}\nexpires: 2027-06-30T00:00:00Z`)}alibaba:\n`, "47:13", "the same is already api_keys.nightly.sha256"],
    ["    jwks_file: ./jwks.json\n", "    jwks_file: ./jwks.json\n    jwks_uri: https://k8s.internal/keys\n", "20:5", "keep one of the two", "editor"],
    ["    api_key: nightly\n", "    api_key: nightly\n    issuer: github\n", "36:5", "a grant is for one of the two", "editor"],
    ['{ glob: "prod-*" }', '{ glob: "prod-*", any_of: [prod] }', "29:20", "exactly one of any_of, glob and contains", "editor"],
  ],
  "names that lead nowhere": [
    ["    issuer: github\n", "    issuer: gihtub\n", "25:13", '"gihtub" is not in issuers; did you mean github?'],
    ["    issuer: github\n", "    issuer: jenkins\n", "25:13", "known are github, cluster, ram"],
    ["    issuer: github\n", "    issuer: toString\n", "25:13", "known are github, cluster, ram"],
    ["api_key: nightly", "api_key: weekly", "36:14", "known are nightly"],
    ['registry: prod\n    allow: ["repository:web', 'registry: pord\n    allow: ["repository:web', "30:15", "did you mean prod?"],
    ["    api_key: nightly\n", "", "35:3", "write the name of a configured issuer, or api_key", "editor"],
    ["    api_key: nightly\n", '    api_key: nightly\n    when: { sub: "x" }\n', "37:5", "has no claims; take it out", "editor"],
    ["    api_key: nightly\n", "    issuer: github\n", "35:3", "it would be for everyone whom the issuer knows", "editor"],
  ],
  "registries and roles": [
    ["cri-abc123", "abc123", "5:18", "cri- and lower-case letters or digits", "editor"],
    ["region: cn-hangzhou", "region: Hangzhou", "6:13", "such as cn-hangzhou", "editor"],
    ['account_id: "1234567890123456"', 'account_id: "12345"', "7:17", "16 digits in quotes", "editor"],
    ["[acme-registry.", "[https://acme-registry.", "8:17", "without https:// or a path"],
    ["cr.aliyuncs.com]", "cr.aliyuncs.com/web]", "8:17", "without https:// or a path"],
    ["[acme-registry.", "[ACME-registry.", "8:17", "in lower case"],
    ["cr.aliyuncs.com]", "cr.aliyuncs.com:70000]", "8:17", "write host or host:port"],
    ["acs:ram::1234567890123456:role/acr-web\n    max_ttl: 1800", "acr-web\n    max_ttl: 1800", "32:15", "acs:ram::<16 digits>:role/<name>", "editor"],
    ["role/acr-web\n    max_ttl: 1800", "role/acr-*\n    max_ttl: 1800", "32:15", "acs:ram::<16 digits>:role/<name>", "editor"],
    ["    max_ttl: 1800", "    external_id: a\n    max_ttl: 1800", "33:18", "2 to 1224 of A-Z", "editor"],
    ["    max_ttl: 1800", "    external_id: acme broker\n    max_ttl: 1800", "33:18", "2 to 1224 of A-Z", "editor"],
    ["    max_ttl: 900", "    external_id: acme\n    max_ttl: 900", "40:18", "differs from grants.web-main, which has none for the same role"],
    ["    max_ttl: 1800", "    external_id: acme\n    max_ttl: 1800", "36:3", "has no external_id, and grants.web-main has one for the same role"],
    ["max_ttl: 1800", "max_ttl: 60", "33:14", "STS gives nothing shorter", "editor"],
    ["max_ttl: 1800", "max_ttl: 43200", "33:14", "write 900 to 3600", "editor"],
    ["repository:web/*:pull,push", "repository:web/*:delete", "31:13", "the actions are pull, push and pull,push"],
    ["repository:web/*:pull,push", "repository:*/*:pull", "31:13", "a namespace must be written out"],
    ["repository:web/*:pull,push", "repository:web/app-*:pull", "31:13", "it may only stand alone"],
    ["repository:web/*:pull,push", "web/app", "31:13", "write repository:<namespace>/<repository>"],
    ["https://sts-vpc.cn-hangzhou.aliyuncs.com", "https://sts-vpc.cn-hangzhou.aliyuncs.com/", "47:17", "only the scheme, host and port"],
    ["https://sts-vpc.cn-hangzhou.aliyuncs.com", "http://sts-vpc.cn-hangzhou.aliyuncs.com", "47:17", "is not https"],
  ],
  "where from and when": [
    ["    max_ttl: 1800", "    cidrs: []\n    max_ttl: 1800", "33:12", "an empty list", "editor"],
    ["    max_ttl: 1800", "    cidrs: [10.0.0.1/8]\n    max_ttl: 1800", "33:13", "has bits set behind its first 8"],
    ["    max_ttl: 1800", "    cidrs: [office]\n    max_ttl: 1800", "33:13", "write one like 10.0.0.0/8"],
    ["    max_ttl: 1800", "    times: {}\n    max_ttl: 1800", "33:12", "limits nothing; write not_before, not_after, days or hours", "editor"],
    ["    max_ttl: 1800", "    times: { zone: UTC }\n    max_ttl: 1800", "33:12", "limits nothing"],
    ["    max_ttl: 1800", "    times: { days: [] , zone: UTC }\n    max_ttl: 1800", "33:20", "an empty list", "editor"],
    ["    max_ttl: 1800", "    times: { days: [monday], zone: UTC }\n    max_ttl: 1800", "33:21", "write one of mon, tue, wed, thu, fri, sat, sun", "editor"],
    ["    max_ttl: 1800", "    times: { days: [mon, mon], zone: UTC }\n    max_ttl: 1800", "33:26", "stands in the list already", "editor"],
    ["    max_ttl: 1800", "    times: { days: [mon] }\n    max_ttl: 1800", "33:14", "stands without zone", "editor"],
    ["    max_ttl: 1800", '    times: { hours: "09:00-18:00" }\n    max_ttl: 1800', "33:14", "stands without zone", "editor"],
    ["    max_ttl: 1800", "    times: { hours: 9-18, zone: UTC }\n    max_ttl: 1800", "33:21", 'write one like "09:00-18:00"'],
    ["    max_ttl: 1800", "    times: { hours: 09:00-24:01, zone: UTC }\n    max_ttl: 1800", "33:21", 'write one like "09:00-18:00"'],
    ["    max_ttl: 1800", "    times: { hours: 24:00-09:00, zone: UTC }\n    max_ttl: 1800", "33:21", 'write one like "09:00-18:00"'],
    ["    max_ttl: 1800", "    times: { hours: 09:00-09:00, zone: UTC }\n    max_ttl: 1800", "33:21", "ends when it begins"],
    ["    max_ttl: 1800", "    times: { days: [mon], zone: CST }\n    max_ttl: 1800", "33:33", "is no time zone's name"],
    ["    max_ttl: 1800", "    times: { days: [mon], zone: asia/shanghai }\n    max_ttl: 1800", "33:33", "is no time zone's name"],
    ["    max_ttl: 1800", "    times: { days: [mon], zone: ASIA/SHANGHAI }\n    max_ttl: 1800", "33:33", "is no time zone's name"],
    ["    max_ttl: 1800", "    times: { days: [mon], zone: Asia/Beijing }\n    max_ttl: 1800", "33:33", "is no time zone's name"],
    ["    max_ttl: 1800", "    times: { days: [mon], zone: Etc/GMT+8 }\n    max_ttl: 1800", "33:33", "is no time zone's name"],
    ["    max_ttl: 1800", "    times: { days: [mon], zone: +08:00 }\n    max_ttl: 1800", "33:33", "is no time zone's name"],
    ["    max_ttl: 1800", "    times: { not_after: 2027-06-30 }\n    max_ttl: 1800", "33:25", "is not a date and time with its zone"],
    ["    max_ttl: 1800", "    times: { not_after: 2027-06-30T00:00:00Z, zone: UTC }\n    max_ttl: 1800", "33:47", "stands without days and hours"],
    ["    max_ttl: 1800", "    times: { not_before: 2027-06-30T00:00:00Z, not_after: 2027-06-30T00:00:00Z }\n    max_ttl: 1800", "33:59", "is not after not_before"],
    ["    max_ttl: 1800", "    when_not: {}\n    max_ttl: 1800", "33:5", "is not known here", "editor"],
    ["alibaba:\n", 'denials: { x: { registry: prod, deny: ["repository:web/a:push"], cidrs: [10.0.0.0/8] } }\nalibaba:\n', "46:66", "is not known here", "editor"],
    ["alibaba:\n", 'denials: { x: { registry: prod, deny: ["repository:web/a:push"], times: { days: [sat] } } }\nalibaba:\n', "46:75", "stands without zone", "editor"],
  ],
  Redis: [
    ["host: r-abc.redis.rds.aliyuncs.com", "host: redis://r-abc.redis.rds.aliyuncs.com", "49:9", "write its name or address alone"],
    ["host: r-abc.redis.rds.aliyuncs.com", 'host: "r-abc.redis.rds.aliyuncs.com:6379"', "49:9", "write its name or address alone"],
    ["host: r-abc.redis.rds.aliyuncs.com", 'host: "r-*.redis.rds.aliyuncs.com"', "49:9", "write its name or address alone"],
    ["host: r-abc.redis.rds.aliyuncs.com", "host: 10.0.0.300", "49:9", "write its name or address alone"],
    ["  host: r-abc.redis.rds.aliyuncs.com\n", "", "48:1", "is missing; write the host name or address of Redis or Tair", "editor"],
    ["port: 6379", "port: 0", "50:9", "write 1 to 65535", "editor"],
    ["port: 6379", "port: 70000", "50:9", "write 1 to 65535", "editor"],
    ["port: 6379", 'port: "6379"', "50:9", "without quotes", "editor"],
    ["port: 6379", "tls: no", "50:8", "is neither true nor false", "editor"],
    ["port: 6379", "tls: false", "51:3", "stands beside tls: false, where nothing is vouched for; keep one of the two", "editor"],
    ["./ca.pem", '""', "51:12", "is empty; name the file", "editor"],
    ["./ca.pem", "./missing.pem", "51:12", '"./missing.pem" cannot be read (ENOENT)'],
    ["./ca.pem", "./text.json", "51:12", "has no certificate in it"],
    ["./ca.pem", "./half.pem", "51:12", "has a certificate that cannot be read"],
    ["./ca.pem", "./key.pem", "51:12", "holds a private key"],
    ["./ca.pem", "./large.pem", "51:12", "is over 64 KiB"],
    ["username: broker", 'username: "bro ker"', "52:13", "write its user", "editor"],
    ["username: broker", "username: broker:canary-Password", "52:13", "and never the password", "editor"],
    ["  password_env: ACR_BROKER_REDIS_PASSWORD\n", "", "52:3", "stands without password_env; name the variable", "editor"],
    ["ACR_BROKER_REDIS_PASSWORD", "canary-Password", "53:17", "write the name, such as ACR_BROKER_REDIS_PASSWORD, and never the password itself", "editor"],
    ["password_env: ACR_BROKER_REDIS_PASSWORD", "password: canary-Password", "53:3", "is not known here; known are host, port, tls", "editor"],
    ["password_env: ACR_BROKER_REDIS_PASSWORD", "password_env: ALIBABA_CLOUD_SECURITY_TOKEN", "53:17", "names one of the broker's own keys, which would be sent to Redis", "editor"],
    ["password_env: ACR_BROKER_REDIS_PASSWORD", "password_env: 84739201", "53:17", "is a number to YAML; write the name of the environment variable", "editor"],
    ["CACHE_KEY, CACHE_KEY_OLD", "", "56:27", "is an empty list; name at least one", "editor"],
    ["CACHE_KEY, CACHE_KEY_OLD", "A, B, C, D", "56:27", "has more than 3 names", "editor"],
    ["CACHE_KEY_OLD", "CACHE_KEY", "56:39", "stands in the list already", "editor"],
    ["[CACHE_KEY, CACHE_KEY_OLD]", "CACHE_KEY", "56:27", "is not a list", "editor"],
    ["CACHE_KEY_OLD", "canary-Y2FuYXJ5", "56:39", "write the name, such as ACR_BROKER_CACHE_KEY, and never the key itself", "editor"],
    ["CACHE_KEY_OLD", "ALIBABA_CLOUD_ACCESS_KEY_SECRET", "56:39", "names one of the broker's own keys; name a variable", "editor"],
    ["CACHE_KEY_OLD", "ACR_BROKER_REDIS_PASSWORD", "56:39", "is the password's variable, and Redis would know the key"],
    ["{ key_env: [CACHE_KEY, CACHE_KEY_OLD] }", "{}", "56:3", "is missing", "editor"],
    ["{ key_env: [CACHE_KEY, CACHE_KEY_OLD] }", "{ key: canary-Y2FuYXJ5 }", "56:18", "is not known here", "editor"],
    ["username: broker", "username: canary Password", "52:13", "is no user's name; write its user, 1 to 128 letters", "editor"],
    ["host: r-abc.redis", 'host: redis://:canary@r-abc.redis', "49:9", '"…@r-abc.redis.rds.aliyuncs.com" is no host; write its name or address alone'],
    ["issuer: https://k8s.internal", "issuer: https://ci:canary@k8s.internal", "18:13", '"…@k8s.internal" is not a plain URL'],
    ["issuer: https://k8s.internal", "issuer_template: https://ci:canary@k8s.internal/{id}", "18:22", '"…@k8s.internal/{id}" is no URL with variables'],
    ["jwks_file: ./jwks.json", "jwks_uri: https://k8s.internal/keys?Signature=canary", "19:15", '"https://k8s.internal/keys?…" is not a plain URL'],
    ["[acme-registry.cn-hangzhou.cr.aliyuncs.com]", '["ci:canary@acme-registry.cn-hangzhou.cr.aliyuncs.com"]', "8:17", "is not a registry's address"],
    ["key_prefix: acr-token-broker", 'key_prefix: "acr:*"', "54:15", "letters, digits and . _ - at most", "editor"],
    ["when_unavailable: refuse", "when_unavailable: allow", "55:21", "write one of memory, refuse", "editor"],
  ],
  issuers: [
    ["provider: github", "provider: githib", "11:15", "write one of github, gitlab, kubernetes, rrsa, buildkite, circleci, bitbucket, azure-devops, jenkins, spiffe, generic, alibaba", "editor"],
    ["provider: github", "provider: x\n    jwks_file:", "11:15", "write one of github, gitlab", "editor"],
    ["provider: github", "provider: generic", "11:15", "write github, which knows what its callers can choose"],
    ["[RS256]", "[HS256]", "13:18", "anyone could make an HS256 signature", "editor"],
    ["[RS256]", "[none]", "13:18", "none is no signature", "editor"],
    ["replay: once", "replay: twice", "14:13", "write one of once, bind, off", "editor"],
    ["replay: once", "replay: { count: 1 }", "14:22", "write 2 to 1000, or once", "editor"],
    ["replay: once", "replay: { count: 5000 }", "14:22", "write 2 to 1000", "editor"],
    ["replay: once", "replay: { cuont: 3 }", "14:13", "write one of once, bind, off", "editor"],
    ["max_token_lifetime: 600", "max_token_lifetime: 5", "15:25", "60 to 86400 (seconds)", "editor"],
    ["max_token_lifetime: 600", "max_token_lifetime: 31536000", "15:25", "60 to 86400 (seconds)", "editor"],
    ["https://k8s.internal", "http://k8s.internal", "18:13", "http is for this machine alone"],
    ["https://k8s.internal", "http://127.0.0.1.evil.example", "18:13", "http is for this machine alone"],
    ["https://k8s.internal", "http://localhost.evil.example", "18:13", "http is for this machine alone"],
    ["https://k8s.internal", "k8s.internal", "18:13", "write https://host[:port][/path]"],
    ["https://k8s.internal", "https://user@k8s.internal", "18:13", "without user, query, fragment or *"],
    ["https://k8s.internal", "https://k8s.internal?x=1", "18:13", "without user, query, fragment or *"],
    ["https://k8s.internal", '"https://k8s.internal#x"', "18:13", "without user, query, fragment or *"],
    ["https://k8s.internal", '"https://*.internal"', "18:13", "without user, query, fragment or *"],
    ["jwks_file: ./jwks.json", "jwks_uri: http://k8s.internal/keys", "19:15", "is not https"],
    ["./jwks.json", "./missing.json", "19:16", '"./missing.json" cannot be read (ENOENT)'],
    ["./jwks.json", "./text.json", "19:16", "is not JSON; write a JWK Set"],
    ["./jwks.json", "./null.json", "19:16", 'write {"keys": [...]} with 1 to 50 public keys'],
    ["./jwks.json", "./none.json", "19:16", "with 1 to 50 public keys"],
    ["./jwks.json", "./many.json", "19:16", "with 1 to 50 public keys"],
    ["./jwks.json", "./large.json", "19:16", "over 64 KiB"],
    ["./jwks.json", "./strings.json", "19:16", "each is an object with a kty"],
    ["./jwks.json", "./private.json", "19:16", "keep only public keys in it"],
    ["./jwks.json", "./shared.json", "19:16", "keep only public keys in it"],
    [CLUSTER, "    ca_file: ./ca.pem\n", "16:3", "is missing; write exactly the iss of its tokens, or issuer_template for many of one form", "editor"],
    ["jwks_file: ./jwks.json", "ca_file: ./missing.pem", "19:14", '"./missing.pem" cannot be read (ENOENT)'],
    ["jwks_file: ./jwks.json", 'ca_file: ""', "19:14", "is empty; name the file with the CA's certificates", "editor"],
    ["jwks_file: ./jwks.json", "ca_file: ./text.json", "19:14", "has no certificate in it; write the CA's, PEM"],
    ["jwks_file: ./jwks.json", "ca_file: ./key.pem", "19:14", "holds a private key; keep only the CA's certificates in it"],
    ["jwks_file: ./jwks.json", "ca_file: ./server.pem", "19:14", "has a certificate that is no CA's, number 2; write the CA's that signed the server's"],
    ["jwks_file: ./jwks.json", "ca_file: ./half.pem", "19:14", "has a certificate that cannot be read, number 1; copy it again, whole"],
    ["jwks_file: ./jwks.json", "ca_file: ./chatty.pem", "19:14", "has something else in it than certificates; keep only the blocks"],
    ["jwks_file: ./jwks.json", "ca_file: ./crl.pem", "19:14", "has something else in it than certificates; keep only the blocks"],
    ["jwks_file: ./jwks.json", "ca_file: ./large.pem", "19:14", "is over 64 KiB; keep only certificates in it"],
    ["    jwks_file: ./jwks.json\n", "    jwks_file: ./jwks.json\n    ca_file: ./ca.pem\n", "20:5", "stands beside jwks_file, with which nothing is fetched; keep one of the two", "editor"],
    [CLUSTER, "    issuer: http://127.0.0.1:1\n    ca_file: ./ca.pem\n", "19:5", "stands beside an http URL, which has no certificate; write https"],
    [CLUSTER, "    issuer_template: http://127.0.0.1:1/{id}\n    ca_file: ./ca.pem\n", "19:5", "stands beside an http URL"],
    ["jwks_file: ./jwks.json", "jwks_uri: http://127.0.0.1:1\n    ca_file: ./ca.pem", "20:5", "stands beside an http URL"],
    ["https://acr-broker.example.com", '"https://*.example.com"', "2:11", "has white space or a * in it"],
    ["https://acr-broker.example.com", "acr broker", "2:11", "has white space or a * in it"],
  ],
  "templated issuers": [
    [CLUSTER, `${CLUSTER}    issuer_template: https://k8s.internal/{id}\n`, "20:5", "stands beside issuer; keep one, or make an issuer of each", "editor"],
    [CLUSTER, "    issuer_template: https://k8s.internal/{id}\n    jwks_file: ./jwks.json\n", "19:5", "stands beside issuer_template, whose issuers have keys each of its own", "editor"],
    [CLUSTER, "    issuer_template: https://k8s.internal/{id}\n    jwks_uri: https://k8s.internal/keys\n", "19:5", "stands beside issuer_template, whose issuers have keys each of its own", "editor"],
    ...[
      ["https://k8s.internal/id", "has no variable; write it as issuer"],
      ["https://k8s.internal/{id}/{id}", "has {id} twice; give each variable a name of its own"],
      ["https://{id}.internal/x", "{name} (a-z, 0-9, _) is a whole segment of the path"],
      ["https://{id}/x", "{name} (a-z, 0-9, _) is a whole segment of the path"],
      ["https://k8s.internal:{port}/{id}", "{name} (a-z, 0-9, _) is a whole segment of the path"],
      ["{scheme}://k8s.internal/{id}", "{name} (a-z, 0-9, _) is a whole segment of the path"],
      ["https://k8s.internal/c-{id}", "{name} (a-z, 0-9, _) is a whole segment of the path"],
      ["https://k8s.internal/{id}{x}", "{name} (a-z, 0-9, _) is a whole segment of the path"],
      ["https://k8s.internal/{Id}", "{name} (a-z, 0-9, _) is a whole segment of the path"],
      ["https://k8s.internal/{}", "{name} (a-z, 0-9, _) is a whole segment of the path"],
      ["https://k8s.internal/*/{id}", "without user, query, fragment or *"],
      ["https://k8s.internal/{id}?x=1", "without user, query, fragment or *"],
      ["https://k8s.internal/{id}#x", "without user, query, fragment or *"],
      ["https://user@k8s.internal/{id}", "without user, query, fragment or *"],
      ["http://k8s.internal/{id}", "is not https; http is for this machine alone"],
      ["k8s.internal/{id}", "write https://host[:port]/path"],
      ["https://K8S.internal/{id}", "has another spelling; write the host in lower case"],
      ["https://k8s.internal:443/{id}", "has another spelling"],
      ["https://k8s.internal/a/../{id}", "has another spelling"],
      ["https://k8s.internal/./{id}", "has another spelling"],
      ["https://k8s.internal//{id}", "has another spelling"],
      ["https://k8s.internal/{id}//", "has another spelling"],
      ["https://k8s.internal/a%2Fb/{id}", "has another spelling"],
    ].map(([template, says]): Row => [CLUSTER, `    issuer_template: ${JSON.stringify(template)}\n`, "18:22", says as string]),
    [CLUSTER, `    issuer_template: https://k8s.internal/id/{id}\n${second("one", "provider: kubernetes\nissuer: https://k8s.internal/id/a")}`, "18:22", "has issuers in common with issuers.one.issuer; one iss must select exactly one issuer"],
    [CLUSTER, `    issuer_template: https://k8s.internal/id/{id}\n${second("other", "provider: kubernetes\nissuer_template: https://k8s.internal/{realm}/a")}`, "21:22", "has issuers in common with issuers.cluster.issuer_template; one iss must select exactly one issuer"],
    [CLUSTER, "    issuer_template: https://token.actions.githubusercontent.com/{enterprise}\n", "17:15", "is not the preset for https://token.actions.githubusercontent.com/{enterprise}; write github"],
    [GOOD, templated("iss: https://k8s.internal/id/a, ", ""), "25:5", "lacks iss, and cluster is a template of many issuers; name which is meant, as in iss: \"https://k8s.internal/id/<id>\""],
    [GOOD, templated("iss: https://k8s.internal/id/a", 'iss: { glob: "https://k8s.internal/id/*" }'), "25:18", "is a pattern where each issuer must be named; write its iss, or { any_of: [...] } of several"],
    [GOOD, templated("iss: https://k8s.internal/id/a", "iss: { contains: https://k8s.internal/id/a }"), "25:18", "is a pattern where each issuer must be named"],
    [GOOD, templated("iss: https://k8s.internal/id/a", "iss: { any_of: [https://k8s.internal/id/a, https://k8s.internal/a] }"), "25:56", '"https://k8s.internal/a" is not of the form https://k8s.internal/id/{id}; write it with 1 to 128'],
    ...["https://evil.example/id/a", "https://k8s.internal/id/a/b", "https://k8s.internal/id/", "https://k8s.internal/id/..", "https://k8s.internal/id/a%2Fb", "https://k8s.internal:443/id/a", "http://k8s.internal/id/a", "https://K8S.internal/id/a", "https://u@k8s.internal/id/a", "https://k8s.internal/id/a?x", `https://k8s.internal/id/${"a".repeat(129)}`, "https://k8s.internal/id/{id}", "https://k8s.internal/id/a/"].map(
      (iss): Row => [GOOD, templated("iss: https://k8s.internal/id/a", `iss: ${JSON.stringify(iss)}`), "25:18", "is not of the form https://k8s.internal/id/{id}"],
    ),
    [GOOD, templated(', sub: "system:serviceaccount:ci:builder"', ""), "25:5", "rests only on what any caller of this issuer can have or choose (iss)"],
    [GOOD, templated("x: { issuer: cluster,", "x: { issuer: cluster, when: { iss: https://k8s.internal/a },"), "43:38", '"https://k8s.internal/a" is not of the form'],
    [GOOD, templated("x: { issuer: cluster,", 'x: { issuer: cluster, when: { iss: { glob: "https://k8s.internal/id/*" } },'), "43:38", "is a pattern where each issuer must be named"],
  ],
  conditions: [
    ['"123456"', '"1234*"', "27:22", 'write { glob: "1234*" }'],
    ["refs/heads/main,", '"refs/heads/*",', "28:23", 'write { glob: "refs/heads/*" }'],
    ['"prod-*"', '"prod"', "29:28", 'write it as an exact value: "prod"'],
    ['"prod-*"', '"prod/**"', "29:28", "write one * for each segment"],
    ['"prod-*"', '"prod-?*"', "29:28", "only * is special here"],
    ['"prod-*"', '"prod-[ab]*"', "29:28", "only * is special here"],
    ['"prod-*"', '"{prod,dev}-*"', "29:28", "only * is special here"],
    ['"prod-*"', '"!prod-*"', "29:28", "only * is special here"],
    ['"prod-*"', '"^prod-.*$"', "29:28", "only * is special here"],
    ['"prod-*"', '"prod-*|dev-*"', "29:28", "only * is special here"],
    ['"prod-*"', '" prod-*"', "29:28", "begins or ends with white space; take it out"],
    ['"prod-*"', '"prod-*\\n"', "29:28", "has a control character or line break"],
    ['"123456"', '"123456 "', "27:22", "begins or ends with white space; take it out"],
    ['"123456"', '"123\\u0000456"', "27:22", "has a control character or line break"],
    ["      repository_id:", '      "repository_*":', "27:7", "write the one claim that is meant"],
  ],
  "slips of the pen": [
    ['ref: { any_of: [refs/heads/main, refs/heads/release] }', "ref: “refs/heads/main”", "28:12", "typed by a word processor"],
    ["refs/heads/main,", "‘refs/heads/main’,", "28:23", "write straight quotes"],
    ['"prod-*"', "“prod-*”", "29:28", "write straight quotes"],
    ['{ glob: "prod-*" }', "{ contains: ‘prod’ }", "29:32", "write straight quotes"],
    ['"123456"', "“123456”", "27:22", "write straight quotes"],
    ['"123456"', "acme/web", "27:22", '"acme/web" is no number, and repository_id always is one; to get it: gh api repos/OWNER/NAME --jq .id'],
    ['repository_id: "123456"', 'repository_owner_id: { any_of: ["1", acme] }', "27:44", "gh api users/OWNER --jq .id"],
    ["environment: {", "actor_id: {", "29:25", "gh api users/LOGIN --jq .id"],
    ["create_repository: false", "create_repository: true\n  pulls: { api_key: nightly, registry: prod, allow: [\"repository:web/*:pull\"], role_arn: \"acs:ram::1234567890123456:role/acr-web\", max_ttl: 900, create_repository: true }", "35:\\d+", "adds nothing: a repository is made by its first push"],
    ["repository:tools/*:pull", "repository:cri-abc123/tools:pull", "38:13", "has the instance cri-abc123 where the namespace stands"],
  ],
  "grants that strangers would also have": [
    ['      repository_id: "123456"\n', "", "26:5", "(ref, environment); name repository_id or repository_owner_id"],
    ['repository_id: "123456"', "repository_visibility: public", "26:5", "rests only on what any caller"],
    ['repository_id: "123456"', 'aud: "https://acr-broker.example.com"', "26:5", "rests only on what any caller"],
    ['repository_id: "123456"', 'job_workflow_sha: { glob: "*" }', "26:5", "rests only on what any caller"],
    ['repository_id: "123456"', 'repository_id: { glob: "1234*" }', "27:30", "write it out: others have one that begins the same way"],
    ['repository_id: "123456"', 'sub: { glob: "repo:acme*" }', "27:20", "as in repo:acme/*"],
    ['repository_id: "123456"', 'sub: { glob: "repo:acme*/app:ref:refs/heads/main" }', "27:20", "as in repo:acme/*"],
    ['repository_id: "123456"', 'sub: { glob: "*:acme/app:*" }', "27:20", "as in repo:acme/*"],
    ['repository_id: "123456"', 'repository: { glob: "*/app" }', "27:27", "as in acme/*"],
    ['repository_id: "123456"', 'repository_owner: { glob: "acme-*" }', "27:33", "would also admit strangers"],
    [WEB_MAIN, '    issuer: cluster\n    when: { sub: { glob: "system:serviceaccount:*:ci" } }\n', "26:26", "as in system:serviceaccount:team-*:builder"],
    [WEB_MAIN, "    issuer: cluster\n    when: { kubernetes.io.pod.name: ci }\n", "26:5", "name sub, or kubernetes.io.namespace"],
    [WEB_MAIN, "    issuer: cluster\n    when: { kubernetes.io.serviceaccount.name: ci }\n", "26:5", "name sub, or kubernetes.io.namespace"],
    [WEB_MAIN, "    issuer: ram\n    when: { session_name: ci }\n", "26:5", "name account_id with role_name"],
  ],
  "API keys": [
    [HASH, HASH.slice(1), "43:13", "write the 64 lower-case hex digits", "editor"],
    [HASH, HASH.toUpperCase(), "43:13", "write the 64 lower-case hex digits", "editor"],
    ["2027-06-30T00:00:00Z", "2027-06-30", "44:14", "write one like 2027-06-30T00:00:00Z"],
    ["2027-06-30T00:00:00Z", "2027-06-30T00:00:00", "44:14", "write one like 2027-06-30T00:00:00Z"],
    ["2027-06-30T00:00:00Z", "2027-02-30T00:00:00Z", "44:14", "write one like 2027-06-30T00:00:00Z"],
    ["10.0.0.0/8", "10.0.0.0", "45:13", "write one like 10.0.0.0/8"],
    ["10.0.0.0/8", "10.0.0.0/33", "45:13", "write one like 10.0.0.0/8"],
    ["10.0.0.0/8", "10.0.0.1/8", "45:13", "write the network's own address, or /32"],
    ["10.0.0.0/8", '"::ffff:a00:0/104"', "45:13", "IPv4 written as IPv6; write it like 10.0.0.0/8"],
    ["cidrs: [10.0.0.0/8]", "created: 2027-03-30", "45:14", "write one like 2027-06-30T00:00:00Z"],
    ["cidrs: [10.0.0.0/8]", "created: 2027-07-30T00:00:00Z", "44:14", "is not after created; make the key anew"],
    ["cidrs: [10.0.0.0/8]", "last4: 0123", "45:12", 'write it in quotes: "0123"', "editor"],
    ["cidrs: [10.0.0.0/8]", "last4: 12ab3", "45:12", "the last four digits of a key; write them in quotes", "editor"],
    ["cidrs: [10.0.0.0/8]", "last4: 12AB", "45:12", "the last four digits of a key; write them in quotes", "editor"],
    ["api_key: nightly", "api_key: [nightly]", "36:14", "or { any_of: [...] } while one takes another's place", "editor"],
    ["api_key: nightly", "api_key: { any_of: [] }", "36:24", "an empty list", "editor"],
    ["api_key: nightly", "api_key: {}", "36:5", "any_of: is missing; write the names of configured API keys", "editor"],
    ["api_key: nightly", "api_key: { any_of: [nightly, nightly] }", "36:34", "stands in the list already; keep one", "editor"],
    ["api_key: nightly", "api_key: { any_of: [nightly, weekly] }", "36:34", '"weekly" is not in api_keys; known are nightly'],
    ["api_key: nightly", 'api_key: { glob: "nightly-*" }', "36:16", "is not known here", "editor"],
    ["alibaba:\n", "client_address: X-Real-IP\nalibaba:\n", "46:17", "is not a map", "editor"],
    ["alibaba:\n", "client_address: {}\nalibaba:\n", "46:1", "header: is missing; write the header that your own gateway sets", "editor"],
    ["alibaba:\n", 'client_address: { header: "X-Real-IP:" }\nalibaba:\n', "46:27", "write one such as X-Real-IP"],
    ["alibaba:\n", 'client_address: { header: "x real ip" }\nalibaba:\n', "46:27", "write one such as X-Real-IP"],
    ["alibaba:\n", "client_address: { header: X-Forwarded-For }\nalibaba:\n", "46:27", "is a list that the caller can begin"],
    ["alibaba:\n", "client_address: { header: forwarded }\nalibaba:\n", "46:27", "is a list that the caller can begin"],
    ["10.0.0.0/8", '"2001:db8::1/32"', "45:13", "write the network's own address, or /128"],
  ],
};

const SHORT = {
  gitlab: "https://gitlab.example.com",
  "azure-devops": "https://vstoken.dev.azure.com/0123",
};
test.each([
  ["gitlab", "namespace_id: acme", "glab api namespaces/GROUP, its id"],
  ["gitlab", 'project_id: "42", user_id: root', "glab api users?username=LOGIN, its id"],
  ["azure-devops", "def_id: web", "az pipelines show --name NAME --query id"],
] as const)("of %s %s stops the start: %s", (provider, when, says) => {
  const text = GOOD.replace(
    "issuers:\n",
    `issuers:\n  here: { provider: ${provider}, issuer: "${SHORT[provider]}" }\n`,
  );
  const problems = (rest: string) => problemsOf(text.replace(WEB_MAIN, `    issuer: here\n    when: { ${rest} }\n`));
  expect(problems(when).map(({ message }) => message)).toEqual([expect.stringContaining(says)]);
  expect(problems(when.replace(/[a-z]+$/, '"7"'))).toEqual([]);
});

test("what a slip is in a grant is one in a denial and in the ceiling", () => {
  const rest = `denials:
  x: { issuer: github, when: { repository_id: web }, registry: prod, deny: ["repository:cri-abc123/web:push"] }
ceiling: ["repository:web/*:pull,push", "repository:base/*:pull", "repository:tools/*:pull", "repository:cri-abc123/*:pull"]
`;
  expect(problemsOf(GOOD + rest).map(({ message }) => message.split(";")[0])).toEqual([
    'denials.x.when.repository_id: "web" is no number, and repository_id always is one',
    "denials.x.deny[0]: has the instance cri-abc123 where the namespace stands",
    "ceiling[3]: has the instance cri-abc123 where the namespace stands",
  ]);
});

test.each([
  ["github", "iss: https://token.actions.githubusercontent.com/acme"],
  ["github", 'iss: { glob: "https://token.actions.example.com/*" }'],
  ["github", "aud: https://acr-broker.example.org"],
  ["ram", "sub: ci"],
])("a denial of callers of %s by %s, which none has, denies nothing and does not load", (issuer, when) => {
  const denial = `denials: { x: { issuer: ${issuer}, when: { ${when} }, registry: prod, deny: ["repository:web/a:push"] } }\n`;
  expect(problemsOf(GOOD + denial).map(({ message }) => message)).toEqual([
    expect.stringMatching(/^denials\.x\.when\.(?:iss|aud|sub)/),
  ]);
});

test("a denial by the issuer and audience that every token has loads", () => {
  const denial = `denials: { x: { issuer: github, when: { iss: https://token.actions.githubusercontent.com, aud: { contains: https://acr-broker.example.com } }, registry: prod, deny: ["repository:web/a:push"] } }\n`;
  expect(problemsOf(GOOD + denial)).toEqual([]);
});

const LOOSE =
  '      repository_id: "123456"\n      ref: { any_of: [refs/heads/main, refs/heads/release] }\n      environment: { glob: "prod-*" }\n';
for (const [condition, why] of [
  [
    "job_workflow_ref: acme/ci/.github/workflows/image.yml@refs/heads/main",
    "a public reusable workflow is called by anybody",
  ],
  ["job_workflow_sha: 0123456789abcdef", "the same"],
  ["sub: environment:production", "a customised sub that says nothing of the repository"],
  ["sub: ref:refs/heads/main", "the same"],
  ['sub: { glob: "environment:prod:*" }', "the same"],
  ["sub: { any_of: [repo:acme/web:ref:refs/heads/main, ref:refs/heads/main] }", "one of two is enough"],
  ["repository_visibility: private", "any private repository"],
]) {
  test(`when ${condition} (${why}) carries no grant`, () => {
    const problems = problemsOf(GOOD.replace(LOOSE, `      ${condition}\n`));
    expect(problems.map(({ line, message }) => `${line}: ${message}`)).toEqual([
      expect.stringContaining("26: grants.web-main.when: rests only on what any caller"),
    ]);
  });
}

describe("what a reviewer would not see", () => {
  test.each([
    ["a zero-width space", "refs/heads/ma\u200bin", "U+200B"],
    ["a change of direction", "refs/heads/\u202emain", "U+202E"],
    ["a tag character", "refs/heads/main\u{e0041}", "U+E0041"],
    ["a Hangul filler, which is drawn as nothing", "refs/heads/main\u3164", "U+3164"],
    ["a variation selector", "refs/heads/main\ufe0f", "U+FE0F"],
    ["a space that is none", "refs/heads/main\u00a0", "U+00A0"],
    ["a soft hyphen", "refs/heads/ma\u00adin", "U+00AD"],
    ["a next-line character", "refs/heads/main # ours\u0085", "U+0085"],
    ["a line separator", "refs/heads/main # ours\u2028", "U+2028"],
    ["a carriage return that ends no line", "refs/heads/main # ours\r      environment: production", "U+000D"],
    ["an escape character", "refs/heads/main\u001b[2K", "U+001B"],
  ])("%s stops the start at its line", (_, text, point) => {
    const problems = problemsOf(GOOD.replace("{ any_of: [refs/heads/main, refs/heads/release] }", text));
    expect(problems).toEqual([
      { file: "broker.yaml", line: 28, column: expect.any(Number), message: expect.stringContaining(point) },
    ]);
  });

  test("line ends of Windows and a byte order mark are no such thing", () => {
    expect(problemsOf(`\ufeff${GOOD.replaceAll("\n", "\r\n")}`)).toEqual([]);
  });
});

test.each([
  ["buildkite", '"agent_tag:queue": deploy'],
  ["github", "repo_property_team: deploy"],
  ["github", 'check_run_id: "1"'],
  ["github", "repository_visibilty: private"],
  ["gitlab", "groups_direct: { contains: acme }"],
])("a claim that strangers have made themselves carries no grant: %s %s", (provider, condition) => {
  const text = `version: 1
audience: https://acr-broker.example.com
registries:
  prod: { instance_id: cri-abc123, region: cn-hangzhou, account_id: "1234567890123456", endpoints: [acme.example.com] }
issuers:
  it: { provider: ${provider}, issuer: "https://issuer.example.com" }
grants:
  loose: { issuer: it, when: { ${condition} }, registry: prod, allow: ["repository:web/*:pull"], role_arn: "acs:ram::1234567890123456:role/acr-web", max_ttl: 900 }
`;
  expect(problemsOf(text).map(({ message }) => message)).toEqual([
    expect.stringContaining("rests only on what any caller"),
  ]);
});

test("one instance under two names does not load: what is denied in one would be granted in the other", () => {
  const twice = GOOD.replace(
    "issuers:\n",
    '  again: { instance_id: cri-abc123, region: cn-hangzhou, account_id: "1234567890123456", endpoints: [other.example.com] }\nissuers:\n',
  );
  expect(problemsOf(twice).map(({ message }) => message)).toEqual([
    expect.stringContaining("one instance is one registry"),
  ]);
});

test("a password of digits where its variable's name belongs is not repeated", () => {
  const problems = problemsOf(GOOD.replace("password_env: ACR_BROKER_REDIS_PASSWORD", "password_env: 84739201"));
  expect(JSON.stringify(problems)).not.toContain("84739201");
});

test.each([
  ["an anchor", "&abk_nightly_0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef { x: 1 }"],
  ["an alias", "*abk_nightly_0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"],
  ["capitals", "ABK_nightly_0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"],
  ["the secret alone", "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"],
])("a whole API key as %s in the wrong place is not repeated", (_, text) => {
  const problems = problemsOf(GOOD.replace("api_key: nightly", `api_key: ${text}`));
  expect(problems.length).toBeGreaterThan(0);
  expect(JSON.stringify(problems)).not.toContain("0123456789abcdef0123");
});

describe("variables, denials and the ceiling", () => {
  const ALLOW = '["repository:web/*:pull,push", "repository:base/*:pull"]';
  const TOP = "alibaba:\n  sts";
  test.each([
    [
      ALLOW,
      '["repository:${ref}/*:pull"]',
      "grants.web-main.allow[0]: takes its namespace from ref, which a caller can choose",
    ],
    [
      ALLOW,
      '["repository:web/$app:pull"]',
      'grants.web-main.allow[0]: "repository:web/$app:pull" has a $ or a brace in it',
    ],
    [
      '["repository:tools/*:pull"]',
      '["repository:${team}/*:pull"]',
      "grants.nightly-pull.allow[0]: has a variable, and the holder of an API key has no claims",
    ],
    [
      TOP,
      `ceiling: ["repository:web/*:pull,push"]\n${TOP}`,
      'grants.web-main.allow[1]: "repository:base/*:pull" is beyond the ceiling, which has nothing of base',
    ],
    [TOP, `ceiling: []\n${TOP}`, "ceiling: is an empty list"],
    [TOP, `ceiling: ["repository:\${team}/*:pull"]\n${TOP}`, "ceiling[0]:"],
    [TOP, `denials: {}\n${TOP}`, "denials: is an empty map"],
    [TOP, `denials: { x: { registry: prod, deny: [] } }\n${TOP}`, "denials.x.deny: is an empty list"],
    [TOP, `denials: { x: { registry: prod } }\n${TOP}`, "denials.x.deny: is missing"],
    [TOP, `denials: { x: { deny: ["repository:web/a:push"] } }\n${TOP}`, "denials.x.registry: is missing"],
    [
      TOP,
      `denials: { x: { registry: prdo, deny: ["repository:web/a:push"] } }\n${TOP}`,
      'denials.x.registry: "prdo" is not in registries',
    ],
    [
      TOP,
      `denials: { x: { issuer: gitbub, registry: prod, deny: ["repository:web/a:push"] } }\n${TOP}`,
      'denials.x.issuer: "gitbub" is not in issuers',
    ],
    [
      TOP,
      `denials: { x: { when: { ref: main }, registry: prod, deny: ["repository:web/a:push"] } }\n${TOP}`,
      "denials.x.when: stands without issuer",
    ],
  ])("%s → %s", (replaced, by, says) => {
    expect(GOOD.split(replaced), "must stand once in the good one").toHaveLength(2);
    expect(problemsOf(GOOD.replace(replaced, () => by)).map(({ message }) => message)).toEqual(
      expect.arrayContaining([expect.stringContaining(says)]),
    );
  });

  test("load as they are written, and count in the digest", () => {
    const load = (text: string) => parseConfig(text, { file: "broker.yaml", readFile });
    const plain = load(GOOD);
    const denied = load(
      GOOD.replace(TOP, `denials: { frozen: { registry: prod, deny: ["repository:web/legacy:push"] } }\n${TOP}`),
    );
    expect(denied.denials).toMatchObject([
      { name: "frozen", when: [], deny: [{ namespace: "web", repository: "legacy" }], line: expect.any(Number) },
    ]);
    const ceiled = load(
      GOOD.replace(
        TOP,
        `ceiling: ["repository:web/*:pull,push", "repository:base/*:pull", "repository:tools/*:pull"]\n${TOP}`,
      ),
    );
    expect(ceiled.ceiling).toHaveLength(3);
    const templated = load(GOOD.replace(ALLOW, '["repository:team-${repository_owner_id}/*:pull"]'));
    expect(templated.grants[0]).toMatchObject({
      allow: [],
      allowFor: [{ text: "repository:team-${repository_owner_id}/*:pull" }],
    });
    expect(new Set([plain, denied, ceiled, templated].map(({ digest }) => digest)).size).toBe(4);
  });
});

const CA = makeCa();
const FILES: Record<string, string> = {
  "./jwks.json": '{"keys":[{"kty":"RSA","kid":"1","n":"x","e":"AQAB"}]}',
  "./text.json": "-----BEGIN PUBLIC KEY-----",
  "./null.json": "null",
  "./none.json": '{"keys":[]}',
  "./many.json": JSON.stringify({ keys: Array.from({ length: 51 }, () => ({ kty: "RSA" })) }),
  "./large.json": JSON.stringify({ keys: [{ kty: "RSA", n: "x".repeat(64 * 1024) }] }),
  "./strings.json": '{"keys":["x"]}',
  "./private.json": '{"keys":[{"kty":"RSA","d":"canary"}]}',
  "./shared.json": '{"keys":[{"kty":"oct","k":"canary"}]}',
  "./ca.pem": CA.cert,
  "./key.pem": CA.cert + CA.key,
  "./server.pem": CA.cert + CA.server("k8s.internal").cert,
  "./half.pem": CA.cert.replace(/\n[^\n]+\n-----END/, "\n-----END"),
  "./chatty.pem": `the CA of our clusters\n${CA.cert}`,
  "./crl.pem": `${CA.cert}-----BEGIN X509 CRL-----\nMIIB\n-----END X509 CRL-----\n`,
  "./large.pem": CA.cert.repeat(200),
};

function readFile(path: string): string {
  const content = FILES[path];
  if (content === undefined) throw Object.assign(new Error("no such file"), { code: "ENOENT" });
  return content;
}

function problemsOf(text: string): readonly ConfigProblem[] {
  try {
    parseConfig(text, { file: "broker.yaml", readFile });
  } catch (error) {
    if (error instanceof ConfigError) return error.problems;
    throw error;
  }
  return [];
}

const seenByEditor = new Ajv2020({ strict: false, validateFormats: false }).compile(editorSchema());

test.each([
  ["the good one", GOOD],
  ["one with a private CA", GOOD.replace("jwks_file: ./jwks.json", "ca_file: ./ca.pem")],
  ["one with a template", TEMPLATED],
  ["one with a template behind a private CA", templated("/{id}\n", "/{id}\n    ca_file: ./ca.pem\n")],
  [
    "one with a denial for one of many issuers",
    templated("x: { issuer: cluster,", `x: { issuer: cluster, ${IN_A.trim()},`),
  ],
  ["one with a template that ends with a slash", TEMPLATED.replace("/{id}", "/{id}/").replace("/id/a,", "/id/a/,")],
])("%s is good", (_, text) => {
  expect(problemsOf(text)).toEqual([]);
  expect(seenByEditor(parse(text))).toBe(true);
});

test("a private key in a file of certificates is never repeated, under whatever name it stands", () => {
  const secret = CA.key.split("\n")[1] as string;
  for (const kind of ["", "RSA ", "EC ", "ENCRYPTED "]) {
    FILES["./canary.pem"] = CA.cert + CA.key.replaceAll("PRIVATE KEY", `${kind}PRIVATE KEY`);
    const [problem] = problemsOf(GOOD.replace("jwks_file: ./jwks.json", "ca_file: ./canary.pem"));
    expect(problem?.message).toContain("holds a private key");
    expect(problem?.message).not.toContain(secret);
  }
});

for (const [subject, rows] of Object.entries(ROWS)) {
  describe(subject, () => {
    for (const [replaced, by, at, says, seen] of rows) {
      test(`${brief(replaced)} → ${brief(by)}: ${says}`, () => {
        expect(GOOD.split(replaced), "must stand once in the good one").toHaveLength(2);
        const broken = GOOD.replace(replaced, () => by);

        const problems = problemsOf(broken);

        expect(problems.map(({ line, column, message }) => `${line}:${column} ${message}`)).toContainEqual(
          expect.stringMatching(new RegExp(`^${at} .*${literally(says)}`)),
        );
        expect(problems.map(({ message }) => message).join()).not.toContain("canary");
        if (seen === "editor") expect(seenByEditor(parse(broken)), "seen by an editor").toBe(false);
      });
    }
  });
}

function brief(text: string): string {
  return text.length > 60 ? `${text.slice(0, 60)}…` : text;
}

function literally(text: string): string {
  return text.replace(/[.*+?^${}()|[\]\\]/g, "\\$&");
}
