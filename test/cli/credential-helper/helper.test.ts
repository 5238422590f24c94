/** The credential helper as docker runs it: what it answers, what it asks the broker, what it keeps. Needs `npm run build`. */

import { execFile } from "node:child_process";
import { createHash, randomBytes } from "node:crypto";
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
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import { beforeEach, describe, expect, test } from "vitest";
import { VARIABLES } from "../../../cli/credential-helper/asked-with.ts";
import { serve } from "../../../cli/credential-helper/serve.ts";
import { host } from "../../../shared/client/host.ts";
import { allText, caller, HOSTS, SCOPE } from "../broker.ts";
import { CREDENTIAL_HELPER, credentialHelper, type Ran, ROOT } from "../run.ts";

const c = caller();
const [HOST = "", VPC_HOST = ""] = HOSTS;

/** The same caller all through a test, in a home of its own. */
let environment: Record<string, string>;
let folder: string;
beforeEach(async () => {
  const HOME = mkdtempSync(join(c.it.home, "home-"));
  folder = join(HOME, ".cache/acr-token-broker/credentials");
  environment = await c.it.environment({ HOME, ACR_BROKER_SCOPE: SCOPE });
});

const get = (host: string, more: Record<string, string> = {}) =>
  credentialHelper(["get"], { environment: { ...environment, ...more }, input: host });
const asked = () => c.it.harness.logged().filter(({ event }) => event === "decision").length;
const entries = () => readdirSync(folder).filter((name) => /^[0-9a-f]{64}\.json$/.test(name));

/** How often the broker is asked in it. */
async function asks(action: () => Promise<unknown>): Promise<number> {
  const before = asked();
  await action();
  return asked() - before;
}

function loginOf({ code, out, told }: Ran): { ServerURL: string; Username: string; Secret: string } {
  expect({ code, told }).toEqual({ code: 0, told: "" });
  return JSON.parse(out);
}

function expectReason({ code, out, told }: Ran, says: string): void {
  expect(code).toBe(1);
  expect(out).toContain(says);
  // Docker shows the one, all others the other.
  expect(told).toBe(out);
  for (const secret of [...c.it.passwords(), environment["ACR_BROKER_TOKEN"] as string])
    expect(out).not.toContain(secret);
}

describe("get", () => {
  test("answers what the broker issues for the host, and asks once for many", async () => {
    const first = loginOf(await get(HOST));
    expect(first).toEqual({ ServerURL: HOST, Username: "cr_temp_user", Secret: expect.any(String) });
    expect(c.it.passwords()).toContain(first.Secret);
    expect(await asks(async () => expect(loginOf(await get(HOST))).toEqual(first))).toBe(0);
  });

  test.each([
    `https://${HOST}`,
    `https://${HOST}/`,
    `https://${HOST}/v1/`,
    `${HOST}/web/app`,
    `${HOST}:443`,
    HOST.toUpperCase(),
    `${HOST}\n`,
    VPC_HOST,
  ])("knows the registry by %j, and repeats it as it was given", async (url) => {
    expect(loginOf(await get(url)).ServerURL).toBe(url.trim());
  });

  test.each(["https://index.docker.io/v1/", "127.0.0.1:5000", `evil-${HOST}`, `${HOST}.evil.example`, `${HOST}:8443`])(
    "knows nothing of %s, and docker goes on without a login",
    async (url) => {
      expect(await get(url)).toEqual({ code: 1, out: "credentials not found in native keychain\n", told: "" });
    },
  );

  test("still knows which hosts are not ours where the broker does not answer any more", async () => {
    await get("docker.io");
    const [known = ""] = readdirSync(folder).filter((name) => name.startsWith("broker-"));
    const { registries } = JSON.parse(readFileSync(join(folder, known), "utf8"));
    const url = "http://127.0.0.1:2";
    const another = join(folder, `broker-${createHash("sha256").update(url).digest("hex")}.json`);
    writeFileSync(another, JSON.stringify({ fetchedAt: Date.now() - 3_600_000, registries }), { mode: 0o600 });
    expect((await get("docker.io", { ACR_BROKER_URL: url })).out).toBe("credentials not found in native keychain\n");
  });

  test.each([
    ["ACR_BROKER_SCOPE", { ACR_BROKER_SCOPE: "repository:secret/vault:pull" }, "access_denied: "],
    ["ACR_BROKER_TOKEN", { ACR_BROKER_TOKEN: "nonsense" }, "invalid_token: "],
    ["ACR_BROKER_URL", { ACR_BROKER_URL: "http://example.com" }, "over https only"],
    ["no ACR_BROKER_URL", { ACR_BROKER_URL: "" }, "set ACR_BROKER_URL, or run acr-broker configure-docker"],
    ["no scope", { ACR_BROKER_SCOPE: "" }, "nothing says what to ask of registry prod"],
    ["two wishes", { ACR_BROKER_GRANT: "web-main" }, "set one of them"],
    ["another registry's scope", { ACR_BROKER_REGISTRY: "lost" }, "nothing says what to ask of registry prod"],
  ])("a wrong %s is a reason, for docker and for all others, and nothing is kept", async (_, more, says) => {
    expectReason(await get(HOST, more), says);
    expect(allText(environment["HOME"] as string)).not.toContain("usableUntil");
  });

  test("asks for a grant where one is named", async () => {
    loginOf(await get(HOST, { ACR_BROKER_SCOPE: "", ACR_BROKER_GRANT: "base-pull" }));
    const { grants } = c.it.harness.logged().findLast(({ event }) => event === "decision") as { grants: object[] };
    expect(JSON.stringify(grants)).toContain("base-pull");
  });
});

describe.skipIf(process.getuid === undefined)("how long", () => {
  /** In this process, `seconds` from now. */
  const later = (seconds: number, more: Record<string, string> = {}) =>
    serve(["get"], "0.0.0-test", {
      environment: { ...environment, ...more },
      readStandardInput: () => HOST,
      now: () => new Date(Date.now() + seconds * 1000),
      outside: { ...host(), environment: (name) => ({ ...environment, ...more })[name] || undefined },
      random: randomBytes,
      userId: process.getuid?.(),
    });

  test("a credential of 1800 s is handed out for 1200 s, and then the broker is asked", async () => {
    // One that the broker has not remembered, and that lives its whole life.
    const more = { ACR_BROKER_SCOPE: "repository:web/life:pull" };
    expect(await asks(() => later(0, more))).toBe(1);
    expect(await asks(() => later(1_190, more))).toBe(0);
    expect(await asks(() => later(1_210, more))).toBe(1);
  });

  test("nothing is handed out by a clock that was set back behind the time it was kept", async () => {
    await later(0);
    expect(await asks(() => later(-60))).toBe(1);
  });

  test("one whose time is over is not handed out where the broker refuses or does not answer", async () => {
    await later(0);
    c.it.harness.clock.aheadMs = 3_600_000; // the token has expired by then
    try {
      const { code, out } = await later(1_210);
      expect([code, out]).toEqual([1, expect.stringContaining("token_expired")]);
    } finally {
      c.it.harness.clock.aheadMs = 0;
    }
  });
});

describe("what is kept", () => {
  test("lies in a folder and files that are the user's alone", async () => {
    await get(HOST);
    for (const path of [join(folder, ".."), folder]) expect(lstatSync(path).mode & 0o777).toBe(0o700);
    for (const name of readdirSync(folder)) expect(lstatSync(join(folder, name)).mode & 0o777).toBe(0o600);
    // No lock, nothing half written.
    expect(readdirSync(folder).filter((name) => !name.endsWith(".json"))).toEqual([]);
    expect(allText(environment["HOME"] as string)).not.toContain(environment["ACR_BROKER_TOKEN"]);
  });

  test("is nobody else's: another token, scope, grant, registry or broker asks anew", async () => {
    await get(HOST);
    const others: Record<string, string>[] = [
      { ACR_BROKER_TOKEN: await c.it.harness.mint() },
      { ACR_BROKER_SCOPE: "repository:web/app:pull" },
      { ACR_BROKER_SCOPE: "", ACR_BROKER_GRANT: "web-main" },
      { ACR_BROKER_REGISTRY: "" },
      { ACR_BROKER_URL: `${environment["ACR_BROKER_URL"]}/` },
    ];
    for (const more of others) expect(await asks(() => get(HOST, more))).toBe(1);
    expect(entries()).toHaveLength(1 + others.length);
  });

  test("a token file that was renewed asks anew", async () => {
    const file = join(environment["HOME"] as string, "token");
    const { ACR_BROKER_TOKEN: token = "", ...rest } = environment;
    environment = { ...rest, ACR_BROKER_TOKEN_FILE: file };
    writeFileSync(file, token);
    expect(await asks(() => get(HOST))).toBe(1);
    expect(await asks(() => get(HOST))).toBe(0);
    writeFileSync(file, await c.it.harness.mint());
    expect(await asks(() => get(HOST))).toBe(1);
  });

  test("a token that comes through a pipe is read once, and nothing is kept", async () => {
    const { ACR_BROKER_TOKEN: token = "", ...rest } = environment;
    const script = `printf %s ${HOST} > host; exec "$0" get 3< <(printf %s "$TOKEN") < host`;
    const more = { ...rest, TOKEN: token, ACR_BROKER_TOKEN_FILE: "/dev/fd/3" };
    const options = { env: more, cwd: environment["HOME"] as string };
    const { stdout } = await promisify(execFile)("bash", ["-c", script, CREDENTIAL_HELPER], options);
    expect(JSON.parse(stdout).Username).toBe("cr_temp_user");
    expect(entries()).toEqual([]);
  });

  test("is kept under all that the SDK finds an identity by", () => {
    const sdk = readdirSync(join(ROOT, "shared/client"), { recursive: true, encoding: "utf8" })
      .filter((name) => name.endsWith(".ts"))
      .map((name) => readFileSync(join(ROOT, "shared/client", name), "utf8"))
      .join("\n");
    const read = [...sdk.matchAll(/\b(?:environment|has|variable|tokenVariable)\(\s*"([A-Z_0-9]+)"/g)].map(
      ([, name]) => name,
    );
    expect(read.length).toBeGreaterThan(15);
    expect([...new Set(read)].filter((name) => !VARIABLES.includes(name as string))).toEqual([]);
  });

  test("is asked for once by many at a time", async () => {
    const logins = [] as Ran[];
    const count = await asks(async () => {
      logins.push(...(await Promise.all(Array.from({ length: 12 }, () => get(HOST)))));
    });
    expect(count).toBe(1);
    expect(new Set(logins.map((ran) => loginOf(ran).Secret)).size).toBe(1);
  }, 60_000);

  test("is not what was asked for while it failed: an error is told, and the next one asks again", async () => {
    const more = { ACR_BROKER_SCOPE: "repository:secret/vault:pull" };
    expect(await asks(() => get(HOST, more))).toBe(1);
    expect(await asks(() => get(HOST, more))).toBe(1);
  });

  test("asked for help or its version as other programs are, it answers", async () => {
    const ask = (arg: string) => credentialHelper([arg], { environment });
    const version = await ask("version");
    for (const arg of ["--version", "-v"]) expect(await ask(arg)).toEqual(version);
    for (const arg of ["--help", "-h"]) {
      const { code, out, told } = await ask(arg);
      expect({ code, told }).toEqual({ code: 0, told: "" });
      expect(out).toMatch(
        /^Usage: docker-credential-acr-broker <store\|get\|erase\|list\|version>\n.*configure-docker/,
      );
    }
  });

  test("erase forgets it, and says nothing", async () => {
    await get(HOST);
    expect(await credentialHelper(["erase"], { environment, input: `https://${HOST}` })).toEqual({
      code: 0,
      out: "",
      told: "",
    });
    expect(entries()).toEqual([]);
    expect(await asks(() => get(HOST))).toBe(1);
  });

  test("list names the hosts of what can be handed out", async () => {
    const list = async () => JSON.parse((await credentialHelper(["list"], { environment })).out);
    expect(await list()).toEqual({});
    await get(HOST);
    expect(await list()).toEqual({ [HOST]: "cr_temp_user" });
  });

  test("ACR_BROKER_NO_CACHE=1 keeps nothing", async () => {
    const more = { ACR_BROKER_NO_CACHE: "1" };
    expect(await asks(() => get(HOST, more))).toBe(1);
    expect(await asks(() => get(HOST, more))).toBe(1);
    expect(readdirSync(environment["HOME"] as string)).toEqual([]);
  });

  test("is at most 64 files; whatever else lies there is not touched", async () => {
    mkdirSync(folder, { recursive: true, mode: 0o700 });
    for (let count = 0; count < 80; count++) {
      writeFileSync(join(folder, `${count.toString(16).padStart(64, "0")}.json`), "{}", { mode: 0o600 });
    }
    writeFileSync(join(folder, "notes.txt"), "");
    chmodSync(join(folder, ".."), 0o700);
    await get(HOST);
    expect(readdirSync(folder)).toContain("notes.txt");
    expect(readdirSync(folder).length).toBeLessThanOrEqual(65);
    expect(await asks(() => get(HOST))).toBe(0);
  });

  const planted: [string, (entry: string) => void][] = [
    ["of which others can read", (entry) => chmodSync(entry, 0o640)],
    [
      "that is a link",
      (entry) => {
        renameSync(entry, `${entry}.real`);
        symlinkSync(`${entry}.real`, entry);
      },
    ],
    [
      "that is a folder",
      (entry) => {
        rmSync(entry);
        mkdirSync(entry, { mode: 0o700 });
      },
    ],
    ["that is cut short", (entry) => writeFileSync(entry, readFileSync(entry, "utf8").slice(0, 50))],
    ["of other content", (entry) => writeFileSync(entry, "[]")],
    ["of another host", (entry) => writeFileSync(entry, readFileSync(entry, "utf8").replace(HOST, "other.example"))],
    [
      "that says to live for ever",
      (entry) => writeFileSync(entry, readFileSync(entry, "utf8").replace(/"usableUntil":\d+/, '"usableUntil":9e15')),
    ],
    ["in a folder that others can write", () => chmodSync(folder, 0o777)],
    ["below a folder that others can write", () => chmodSync(join(folder, ".."), 0o777)],
  ];
  test.each(planted)("a file %s is not used, and the broker is asked", async (_, plant) => {
    const { Secret } = loginOf(await get(HOST));
    plant(join(folder, entries()[0] as string));
    expect(await asks(async () => expect(loginOf(await get(HOST)).Secret).toBe(Secret))).toBe(1);
  });
});

test("the program starts under its own name, as docker finds it", async () => {
  expect(readFileSync(CREDENTIAL_HELPER, "utf8").startsWith("#!/usr/bin/env node\n")).toBe(true);
  expect(lstatSync(CREDENTIAL_HELPER).mode & 0o111).toBe(0o111);
  const { bin } = JSON.parse(readFileSync(join(ROOT, "package.json"), "utf8"));
  expect(bin["docker-credential-acr-broker"]).toBe("build/docker-credential-acr-broker.cjs");
});
