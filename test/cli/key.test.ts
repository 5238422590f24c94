/** `acr-broker key new`: the key on standard output, YAML that the broker takes on standard error, no files. */

import { createHash, randomBytes } from "node:crypto";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { parse } from "yaml";
import type { Terminal } from "../../cli/command.ts";
import { runCommandLine } from "../../cli/command-line.ts";
import { hideSecrets } from "../../cli/secrets.ts";
import { host } from "../../shared/client/host.ts";
import { parseConfig } from "../../shared/config/load.ts";
import { plantCanaries } from "../canaries.ts";

const NOW = new Date("2027-01-01T00:00:00.123Z");

async function keyNew(args: string, random: Terminal["random"] = randomBytes) {
  let out = "";
  let told = "";
  const code = await runCommandLine(["key", "new", ...args.split(" ").filter(Boolean)], "0.0.0-test", {
    out: (text) => {
      out += text;
    },
    tell: (text) => {
      told += hideSecrets(text);
    },
    colour: { out: true, tell: true },
    environment: {},
    readStandardInput: () => "",
    standardInput: async function* () {},
    now: () => NOW,
    isWatched: false,
    outside: host(),
    random,
  });
  if (random === randomBytes) plantCanaries(out.match(/[0-9a-f]{64}(?=[\n"])/g) ?? []);
  return { code, out, told };
}

/** A policy with these keys, and a grant for each. */
function policyWith(apiKeys: Record<string, unknown>): string {
  return JSON.stringify({
    version: 1,
    audience: "https://acr-broker.example.com",
    registries: {
      prod: {
        instance_id: "cri-abc123",
        region: "cn-hangzhou",
        account_id: "1234567890123456",
        endpoints: ["acme-registry.cn-hangzhou.cr.aliyuncs.com"],
      },
    },
    grants: {
      pull: {
        api_key: { any_of: Object.keys(apiKeys) },
        registry: "prod",
        allow: ["repository:web/*:pull"],
        role_arn: "acs:ram::1234567890123456:role/acr-web",
        max_ttl: 900,
      },
    },
    api_keys: apiKeys,
  });
}

function load(apiKeys: Record<string, unknown>) {
  const readFile = () => "";
  return parseConfig(policyWith(apiKeys), { file: "broker.yaml", readFile }).apiKeys;
}

test("the key, whole and alone, is on standard output", async () => {
  const { code, out } = await keyNew("--name nightly");
  expect(code).toBe(0);
  expect(out).toMatch(/^abk_nightly_[0-9a-f]{64}\n$/);
});

test("what broker.yaml keeps is on standard error, and holds nothing of the key but its last four digits", async () => {
  const { out, told } = await keyNew("--name nightly --cidr 10.0.0.0/8 --cidr 2001:db8::/32 --days 30");
  const key = out.trim();
  expect(parse(told)).toEqual({
    nightly: {
      sha256: createHash("sha256").update(key).digest("hex"),
      expires: "2027-01-31T00:00:00Z",
      cidrs: ["10.0.0.0/8", "2001:db8::/32"],
      created: "2027-01-01T00:00:00Z",
      last4: key.slice(-4),
    },
  });
  expect(told).not.toContain(key.slice(-8));
});

test("a key lives 90 days unless somebody says otherwise", async () => {
  const { told } = await keyNew("--name nightly");
  expect(parse(told).nightly).toMatchObject({ expires: "2027-04-01T00:00:00Z" });
});

test("--json has both, as one object", async () => {
  const { out, told } = await keyNew("--name nightly --json");
  const { name, key, api_keys: apiKeys } = JSON.parse(out);
  expect(told).toBe("");
  expect(name).toBe("nightly");
  expect(load(apiKeys).get("nightly")?.sha256).toBe(createHash("sha256").update(key).digest("hex"));
});

test("whatever the name and the bits, the broker takes what was printed", async () => {
  const letters = fc.string({ minLength: 1, maxLength: 8, unit: fc.constantFrom(..."0e1-anul") });
  const name = letters.filter((text) => /^[^-]/.test(text));
  const bytes = fc.uint8Array({ minLength: 32, maxLength: 32 });
  await fc.assert(
    // Bytes whose digits are all decimal, and the like, are what YAML would take for a number.
    fc.asyncProperty(
      name,
      fc.oneof(
        bytes,
        fc.constantFrom(0x00, 0x10, 0x1e).map((byte) => new Uint8Array(32).fill(byte)),
      ),
      async (name, bytes) => {
        const { told } = await keyNew(`--name ${name}`, () => bytes);
        const digits = Buffer.from(bytes).toString("hex");
        expect(load(parse(told)).get(name)).toMatchObject({ last4: digits.slice(-4) });
      },
    ),
    { numRuns: 100 },
  );
});

describe("refused, and nothing is made:", () => {
  test.each([
    ["", "key new needs --name NAME: whose key it is"],
    ["--name Nightly", '--name "Nightly" is no name; write lower-case letters'],
    ["--name night_ly", "is no name"],
    ["--name nightly --days 0", "--days is a whole number, 1 to 366"],
    ["--name nightly --days 3650", "--days is a whole number, 1 to 366"],
    ["--name nightly --days 1e2", "--days is a whole number, 1 to 366"],
    ["--name nightly --cidr 10.0.0.1", '--cidr "10.0.0.1" is not a network; write one like 10.0.0.0/8'],
    ["--name nightly --cidr 10.0.0.1/8", "write the network's own address, or /32 for one machine"],
    ["nightly", 'key new has no use for "nightly"'],
  ])("%s", async (args, says) => {
    const { code, out, told } = await keyNew(args);
    expect({ code, out }).toEqual({ code: 2, out: "" });
    expect(told).toContain(says);
  });
});

test("a key pasted where it does not belong is not repeated", async () => {
  const { out } = await keyNew("--name night-ly");
  const { told } = await keyNew(`--name ${out.trim()}`);
  expect(told).toContain("is no name");
  expect(told).not.toMatch(/[0-9a-f]{8}|night-ly/);
});
