/** What the command line keeps of a large policy, where, and when it looks there. */

import { randomBytes } from "node:crypto";
import {
  chmodSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import type { Terminal } from "../../cli/command.ts";
import { readPolicy } from "../../cli/policy-cache.ts";
import { host } from "../../shared/client/host.ts";
import { compile } from "../../shared/config/compiled.ts";
import type { BrokerConfig } from "../../shared/config/config.ts";
import { loadConfig } from "../../shared/config/load.ts";
import { acrBroker } from "./run.ts";

const LOADER = "0.0.0-test 00ff";
const CLAIMS = JSON.stringify({ iss: "https://token.actions.githubusercontent.com", repository_id: "7" });
const EXPLAIN = ["explain", "--claims", "-", "--scope", "repository:team-7/app:pull"];

const POLICY = `version: 1
audience: https://acr-broker.example.com
registries:
  prod: { instance_id: cri-abc123, region: cn-hangzhou, account_id: "1234567890123456", endpoints: [acme.example.com] }
issuers:
  github: { provider: github, issuer: https://token.actions.githubusercontent.com }
grants:
  team-7:
    issuer: github
    when: { repository_id: "7" }
    registry: prod
    allow: ["repository:team-7/*:pull,push", "repository:base/*:pull"]
    role_arn: acs:ram::1234567890123456:role/acr-web
    max_ttl: 1800
`;
/** Large, and read at once. */
const LARGE = `${POLICY}${`# ${"-".repeat(97)}\n`.repeat(700)}`;

let folder: string;
let policy: string;
let config: BrokerConfig;
let home: string;
let kept: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "policy-cache-"));
  policy = join(folder, "broker.yaml");
  writeFileSync(policy, LARGE);
  config = loadConfig(policy);
});
beforeEach(() => {
  home = mkdtempSync(join(folder, "home-"));
  kept = join(home, ".cache/acr-token-broker");
});
afterAll(() => rmSync(folder, { recursive: true }));

function terminal(other: Partial<Terminal> = {}): Terminal {
  return {
    out: () => {},
    tell: () => {},
    colour: { out: false, tell: false },
    environment: { HOME: home },
    readStandardInput: () => "",
    standardInput: async function* () {},
    now: () => new Date(0),
    isWatched: false,
    outside: host(),
    random: randomBytes,
    userId: process.getuid?.(),
    loader: LOADER,
    ...other,
  };
}

/** Puts another configuration, of an audience that the policy does not have, where that of the policy is kept, with all that makes it fit. */
async function plant(loader = LOADER): Promise<string> {
  await readPolicy(policy, terminal());
  const [entry] = readdirSync(kept).map((name) => join(kept, name)) as [string];
  const sources = [{ name: "broker.yaml", bytes: readFileSync(policy) }];
  writeFileSync(entry, compile({ ...config, audience: "planted" }, sources, loader));
  return entry;
}

const audience = async (other: Partial<Terminal> = {}) => (await readPolicy(policy, terminal(other))).audience;

const skipped = process.getuid === undefined;

describe.skipIf(skipped)("a large policy", () => {
  test("is kept in a folder and a file that are the user's alone, and comes from there the next time", async () => {
    expect(await readPolicy(policy, terminal())).toStrictEqual(config);
    const [name, ...others] = readdirSync(kept) as [string];
    expect(others).toEqual([]);
    expect(lstatSync(kept).mode & 0o777).toBe(0o700);
    expect(lstatSync(join(kept, name)).mode & 0o777).toBe(0o600);
    expect(await readPolicy(policy, terminal())).toStrictEqual(config);
    await plant();
    expect(await audience()).toBe("planted");
  });

  test("is loaded in full for a check, which leaves it for others", async () => {
    await plant();
    expect((await readPolicy(policy, terminal(), "checked")).audience).toBe(config.audience);
    expect(await audience()).toBe(config.audience);
  });

  test("is loaded after it changed, and kept in place of the old", async () => {
    await plant();
    writeFileSync(policy, `${LARGE}# and a comment\n`);
    try {
      expect(await audience()).toBe(config.audience);
      expect(readdirSync(kept)).toHaveLength(1);
    } finally {
      writeFileSync(policy, LARGE);
    }
  });

  test("is loaded where another build kept it", async () => {
    await plant("0.0.0-test 00fe");
    expect(await audience()).toBe(config.audience);
  });

  test("that does not load is told as ever, and not kept", async () => {
    const bad = join(folder, "bad.yaml");
    writeFileSync(bad, LARGE.replace("max_ttl: 1800", "max_ttl: 60"));
    await expect(readPolicy(bad, terminal())).rejects.toThrow(/^.*bad\.yaml:\d+:\d+: grants\.team-7\.max_ttl/);
    expect(() => readdirSync(kept)).toThrow("ENOENT");
  });
});

describe.skipIf(skipped)("nothing is believed that somebody else could have written", () => {
  const spoilt: [string, (entry: string) => void][] = [
    ["a folder that a group can write to", () => chmodSync(kept, 0o770)],
    ["a folder that others can read", () => chmodSync(kept, 0o705)],
    ["a file that others can write to", (entry) => chmodSync(entry, 0o602)],
    [
      "a link to a file",
      (entry) => {
        renameSync(entry, join(home, "elsewhere"));
        symlinkSync(join(home, "elsewhere"), entry);
      },
    ],
    [
      "a link to a folder",
      () => {
        renameSync(kept, join(home, "elsewhere"));
        symlinkSync(join(home, "elsewhere"), kept);
      },
    ],
  ];
  test.each(spoilt)("%s", async (_, spoil) => {
    spoil(await plant());
    expect(await audience()).toBe(config.audience);
  });

  test("another user's folder, and nothing is left there", async () => {
    const entry = await plant();
    const before = readFileSync(entry);
    expect(await audience({ userId: (process.getuid?.() ?? 0) + 1 })).toBe(config.audience);
    expect(readFileSync(entry)).toEqual(before);
    expect(readdirSync(kept)).toHaveLength(1);
  });
});

describe.skipIf(skipped)("nothing is kept", () => {
  test("of a small policy", async () => {
    const small = join(folder, "small.yaml");
    writeFileSync(small, POLICY);
    await readPolicy(small, terminal());
    expect(readdirSync(home)).toEqual([]);
  });

  const refusals: [string, () => Partial<Terminal>][] = [
    ["with ACR_BROKER_NO_CACHE", () => ({ environment: { HOME: home, ACR_BROKER_NO_CACHE: "1" } })],
    ["in CI", () => ({ environment: { HOME: home, CI: "true" } })],
    ["without a home", () => ({ environment: {} })],
    ["in a folder that depends on where the command runs", () => ({ environment: { HOME: "." } })],
    ["where users have no number", () => ({ userId: undefined })],
    ["by code that is not built", () => ({ loader: undefined })],
    ["where nothing can be written", () => ({ environment: { XDG_CACHE_HOME: policy, HOME: home } })],
  ];
  test.each(refusals)("%s, nor looked for, and the policy loads all the same", async (_, other) => {
    expect(await audience(other())).toBe(config.audience);
    expect(readdirSync(home)).toEqual([]);
    await plant();
    expect(await audience(other())).toBe(config.audience);
  });
});

describe.skipIf(skipped)("the folder", () => {
  test("is XDG_CACHE_HOME's where that is set", async () => {
    const caches = join(home, "caches");
    await readPolicy(policy, terminal({ environment: { XDG_CACHE_HOME: caches, HOME: home } }));
    expect(readdirSync(join(caches, "acr-token-broker"))).toHaveLength(1);
    expect(readdirSync(home)).toEqual(["caches"]);
  });

  test("holds eight policies: the oldest goes, and what is not the command's stays", async () => {
    mkdirSync(kept, { recursive: true, mode: 0o700 });
    const names = Array.from(
      { length: 9 },
      (_, index) => `${String(index).repeat(64)}.${index === 8 ? "00ff.tmp" : "json"}`,
    );
    for (const [age, name] of [...names, "notes.txt"].entries()) {
      writeFileSync(join(kept, name), "");
      utimesSync(join(kept, name), 1_000_000 - age, 1_000_000 - age);
    }
    await readPolicy(policy, terminal());
    const left = readdirSync(kept);
    expect(left).toHaveLength(9);
    expect(left).toEqual(expect.arrayContaining([...names.slice(0, 7), "notes.txt"]));
  });
});

describe.skipIf(skipped)("the built command", () => {
  const run = (args: readonly string[], environment: Record<string, string> = {}) =>
    acrBroker([...args, "--config", policy], { input: CLAIMS, environment: { HOME: home, ...environment } });

  test.each([[...EXPLAIN], [...EXPLAIN, "--json"], ["explain", "--claims", "-", "--grant", "team-7"]])(
    "%s %s %s %s %s answers the same without a cache, at first, and out of it",
    (...args) => {
      const without = run(args, { ACR_BROKER_NO_CACHE: "1" });
      expect(readdirSync(home)).toEqual([]);
      expect(without.out).not.toBe("");
      expect(run(args)).toEqual(without);
      expect(readdirSync(kept)).toHaveLength(1);
      expect(run(args)).toEqual(without);
    },
  );

  test("explain takes the policy out of the cache, check never does", () => {
    run(EXPLAIN);
    const [entry] = readdirSync(kept).map((name) => join(kept, name)) as [string];
    const { loader } = JSON.parse(readFileSync(entry, "utf8").split("\n")[0] as string) as { loader: string };
    const sources = [{ name: "broker.yaml", bytes: readFileSync(policy) }];
    writeFileSync(entry, compile({ ...config, digest: "planted" }, sources, loader));
    expect(JSON.parse(run([...EXPLAIN, "--json"]).out)).toMatchObject({ policy_digest: "planted" });
    expect(JSON.parse(run(["check", "--json"]).out)).toMatchObject({ policy_digest: config.digest });
  });
});
