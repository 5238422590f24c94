/** `acr-broker login` and `logout`, as processes, against the broker. */

import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, watch, writeFileSync } from "node:fs";
import { join } from "node:path";
import { beforeEach, describe, expect, test } from "vitest";
import { policy } from "../broker/harness.ts";
import { caller, HOSTS, SCOPE } from "./broker.ts";
import { ACR_BROKER, acrBrokerBeside, type Ran } from "./run.ts";

const MANY = Array.from({ length: 50 }, (_, index) => `registry-${index}.example.com`);
const withManyHosts = (cloudUrl: string, issuerUrl: string) =>
  policy(cloudUrl, issuerUrl).replace(`[${HOSTS.join(", ")}]`, `[${MANY.join(", ")}]`);

const call = caller();
const many = caller({ policy: withManyHosts });

let folder: string;
let file: string;
beforeEach(() => {
  folder = mkdtempSync(join(call.it.home, "docker-"));
  file = join(folder, "config.json");
});

const run = (...args: string[]): Promise<Ran> => call.it.run(args, { DOCKER_CONFIG: folder });
const read = () => JSON.parse(readFileSync(file, "utf8"));
/** The password of ACR has a colon in it. */
const userAndPassword = (auth: string) => /^(.*?):(.*)$/.exec(Buffer.from(auth, "base64").toString())?.slice(1) ?? [];

describe("login", () => {
  test("writes user and password for each host of the registry, and says for how long", async () => {
    const { code, out, told } = await run("login", "--scope", SCOPE);
    expect({ code, out }).toEqual({ code: 0, out: "" });
    expect(told).toContain(`logged in to ${HOSTS.join(", ")} in ${file}\n`);
    expect(told).toMatch(/it is good for repository:web\/app:pull,push, and expires in (?:14|15|29|30) min \(20/);
    const { auths } = read();
    expect(Object.keys(auths)).toEqual(HOSTS);
    const [user, password] = userAndPassword(auths[HOSTS[0] as string].auth);
    expect(user).toBe("cr_temp_user");
    expect(call.it.passwords()).toContain(password);
    expect(statSync(file).mode & 0o777).toBe(0o600);
    expect(told).not.toContain(password);
  });

  test("leaves all else as it is, and replaces its own", async () => {
    const before = { credHelpers: { "other.example": "pass" }, auths: { "old.example": { auth: "b2xk" } }, zeta: [1] };
    writeFileSync(file, JSON.stringify(before, null, 4));
    await run("login", "--scope", SCOPE, "--endpoint", HOSTS[0] as string);
    await run("login", "--scope", SCOPE, "--endpoint", HOSTS[0] as string);
    const after = read();
    expect(after).toEqual({ ...before, auths: { ...before.auths, [HOSTS[0] as string]: expect.anything() } });
    expect(readFileSync(file, "utf8")).toContain('\n    "credHelpers"');
  });

  test("50 at the same time, on one file, lose no entry", async () => {
    writeFileSync(file, '{"auths":{"old.example":{"auth":"b2xk"}},"psFormat":"table"}');
    const environment = await many.it.environment({ DOCKER_CONFIG: folder });
    const all = await Promise.all(
      MANY.map((host) => acrBrokerBeside(["login", "--scope", SCOPE, "--endpoint", host], { environment })),
    );
    expect(all.filter(({ code }) => code !== 0)).toEqual([]);
    const { auths, psFormat } = read();
    expect(Object.keys(auths).sort()).toEqual(["old.example", ...MANY].sort());
    for (const host of MANY) expect(many.it.passwords()).toContain(userAndPassword(auths[host].auth)[1]);
    expect(psFormat).toBe("table");
    expect(readdirSync(folder).sort()).toEqual([".config.json.acr-broker-logins", "config.json"]);
    expect((await run("logout")).code).toBe(0);
    expect([read(), readdirSync(folder)]).toEqual([
      { auths: { "old.example": { auth: "b2xk" } }, psFormat: "table" },
      ["config.json"],
    ]);
  }, 60_000);

  test("killed while they write, they leave a whole file, and the next is not held up", async () => {
    writeFileSync(file, '{"auths":{"old.example":{"auth":"b2xk"}}}');
    const environment = await many.it.environment({ DOCKER_CONFIG: folder });
    const children = MANY.slice(0, 8).map((host) =>
      spawn(process.execPath, [ACR_BROKER, "login", "--scope", SCOPE, "--endpoint", host], {
        env: environment,
        stdio: "ignore",
      }),
    );
    const ended = Promise.all(children.map((child) => once(child, "exit")));
    const watcher = watch(folder, () => {
      for (const child of children) child.kill("SIGKILL");
    });
    await ended;
    watcher.close();
    expect(children.filter(({ signalCode }) => signalCode === "SIGKILL")).not.toEqual([]);
    expect(read().auths["old.example"]).toEqual({ auth: "b2xk" });
    const { code } = await many.it.run(["login", "--scope", SCOPE], { DOCKER_CONFIG: folder });
    expect(code).toBe(0);
    expect(Object.keys(read().auths).sort()).toEqual(["old.example", ...MANY].sort());
    expect(readdirSync(folder).sort()).toEqual([".config.json.acr-broker-logins", "config.json"]);
  }, 60_000);

  test("writes podman's file, named or where podman looks for it", async () => {
    const runtime = join(folder, "run");
    mkdirSync(runtime);
    const found = await call.it.run(["login", "--scope", SCOPE, "--podman"], { XDG_RUNTIME_DIR: runtime });
    expect(found.code).toBe(0);
    const named = await run("login", "--scope", SCOPE, "--authfile", join(folder, "named.json"), "--json");
    for (const path of [join(runtime, "containers/auth.json"), join(folder, "named.json")]) {
      expect(Object.keys(JSON.parse(readFileSync(path, "utf8")).auths)).toEqual(HOSTS);
    }
    expect(JSON.parse(named.out)).toMatchObject({ file: join(folder, "named.json"), endpoints: HOSTS, scope: [SCOPE] });
    expect(readdirSync(folder)).not.toContain("config.json");
  });

  test.each<[object, string]>([
    [{ credsStore: "desktop" }, 'has "desktop" as credsStore: docker would ask docker-credential-desktop'],
    [{ credHelpers: { [HOSTS[1] as string]: "pass" } }, `has "pass" as credHelpers of ${HOSTS[1]}`],
    [{ credHelpers: { [HOSTS[0] as string]: "acr-broker" } }, "no login is needed"],
  ])("writes nothing where docker would not look at it: %j", async (config, says) => {
    const text = JSON.stringify(config);
    writeFileSync(file, text);
    const { code, told } = await run("login", "--scope", SCOPE);
    expect(code).toBe(2);
    expect(told).toContain(says);
    expect([readFileSync(file, "utf8"), readdirSync(folder)]).toEqual([text, ["config.json"]]);
  });

  test("asks for nothing where the file is no docker config, and leaves it", async () => {
    writeFileSync(file, "{ not json");
    const issued = call.it.harness.cloud.secrets().length;
    const { code, told } = await run("login", "--scope", SCOPE);
    expect({ code, told }).toEqual({
      code: 2,
      told: `acr-broker: ${file} is left as it is: it is not JSON; mend it by hand\n`,
    });
    expect(readFileSync(file, "utf8")).toBe("{ not json");
    expect(call.it.harness.cloud.secrets().length).toBe(issued);
  });

  test.each(["/proc", "/dev/null"])("a home in which nothing can be made, %s, is an error at once", async (home) => {
    const { code, told } = await call.it.run(["login", "--scope", SCOPE], { HOME: home, DOCKER_CONFIG: "" });
    expect(code).toBe(2);
    expect(told).toMatch(/config\.json cannot be (?:written|read) \(E[A-Z]+\); is it yours, and its folder\?\n$/);
  });

  test("gives a password to no host that the broker has not named", async () => {
    const { code, told } = await run("login", "--scope", SCOPE, "--endpoint", "evil.example");
    expect(code).toBe(2);
    expect(told).toContain(`is none of the registry's hosts: ${HOSTS.join(", ")}`);
    expect(readdirSync(folder)).toEqual([]);
  });

  test("a refusal leaves no file", async () => {
    const { code, told } = await run("login", "--scope", "repository:secret/app:pull");
    expect(code).toBe(1);
    expect(told).toMatch(/^acr-broker: access_denied: .+ \(request_id request-\d+\)\n$/);
    expect(readdirSync(folder)).toEqual([]);
  });
});

describe("logout", () => {
  test("takes out what login wrote, of one host or of all, and nothing else", async () => {
    writeFileSync(file, '{\n  "auths": {\n    "old.example": {\n      "auth": "b2xk"\n    }\n  }\n}\n');
    const before = readFileSync(file, "utf8");
    await run("login", "--scope", SCOPE);
    const one = await run("logout", "--endpoint", HOSTS[0] as string, "--json");
    expect(JSON.parse(one.out)).toEqual({ file, removed: [HOSTS[0]], left: [] });
    const rest = await run("logout");
    expect(rest).toEqual({ code: 0, out: "", told: `removed ${HOSTS[1]} in ${file}\n` });
    expect([readFileSync(file, "utf8"), readdirSync(folder)]).toEqual([before, ["config.json"]]);
    expect(await run("logout")).toEqual({ code: 0, out: "", told: `nothing to remove in ${file}\n` });
  });

  test("leaves what somebody has logged in with since", async () => {
    await run("login", "--scope", SCOPE);
    const config = read();
    config.auths[HOSTS[0] as string] = { auth: Buffer.from("alice:hers").toString("base64") };
    writeFileSync(file, JSON.stringify(config));
    const { code, told } = await run("logout");
    expect(code).toBe(1);
    expect(told).toContain(`${HOSTS[0]} has been written over since, and is left`);
    expect(read().auths).toEqual({ [HOSTS[0] as string]: config.auths[HOSTS[0] as string] });
  });

  test("makes no file where there is none", async () => {
    rmSync(folder, { recursive: true });
    expect((await run("logout")).code).toBe(0);
    expect(() => readFileSync(file)).toThrow("ENOENT");
  });
});

test.each(["{}", '{"logins":null}', '{"logins":{"h":null}}', '{"logins":{"h":{"sha256":1,"expires_at":2}}}'])(
  "of what was written nothing is known where %s says it",
  async (text) => {
    writeFileSync(file, '{"auths":{"h":{"auth":"x"}}}');
    writeFileSync(join(folder, ".config.json.acr-broker-logins"), text);
    expect(await run("logout")).toEqual({ code: 0, out: "", told: `nothing to remove in ${file}\n` });
  },
);

test("what a docker config has in it does not steer the terminal that it is shown on", async () => {
  writeFileSync(file, JSON.stringify({ credsStore: "x\u001b[2A\u001b[8m" }));
  const { code, told } = await run("login", "--scope", SCOPE);
  expect([code, told]).toEqual([2, expect.stringContaining("docker-credential-x?[2A?[8m")]);
});
