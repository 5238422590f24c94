/** `acr-broker exec`, as a process, against the broker: what the command has, how it ends, and that nothing is left. */

import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { processStamp } from "../../cli/process-stamp.ts";
import { bodyOf, json, serve } from "../client/servers.ts";
import { allText, caller, HOSTS, SCOPE } from "./broker.ts";
import { ACR_BROKER, type Ran } from "./run.ts";

const call = caller();
const [HOST = ""] = HOSTS;

/** In memory, where the folders of these tests alone are. */
let runtime: string;
let docker: string;
beforeEach(() => {
  runtime = mkdtempSync("/dev/shm/acr-exec-test-");
  docker = mkdtempSync(join(call.it.home, "docker-"));
});
afterEach(() => rmSync(runtime, { recursive: true, force: true }));

const surroundings = (more: Record<string, string> = {}) => ({
  XDG_RUNTIME_DIR: runtime,
  TMPDIR: call.it.home,
  DOCKER_CONFIG: docker,
  ...more,
});
const run = (args: string[], more: Record<string, string> = {}): Promise<Ran> =>
  call.it.run(["exec", "--scope", SCOPE, ...args], surroundings(more));
const sh = (script: string, more?: Record<string, string>) => run(["--", "sh", "-c", script], more);

/** Running until it is killed; `said` are its lines. */
async function start(script: string, more: Record<string, string> = {}) {
  const environment = await call.it.environment(surroundings(more));
  const child = spawn(process.execPath, [ACR_BROKER, "exec", "--scope", SCOPE, "--", "sh", "-c", script], {
    env: environment,
    stdio: ["ignore", "pipe", "inherit"],
  });
  const lines = createInterface(child.stdout)[Symbol.asyncIterator]();
  const line = async () => (await lines.next()).value as string;
  return { child, line, ended: once(child, "exit") as Promise<[number | null, NodeJS.Signals | null]> };
}

/** What is left anywhere of what was issued. */
function left(): string[] {
  const text = [allText(runtime), allText(call.it.home)].join("\n");
  const issued = call.it
    .passwords()
    .flatMap((secret) => [secret, Buffer.from(`cr_temp_user:${secret}`).toString("base64")]);
  return issued.filter((secret) => text.includes(secret));
}
const folders = () => readdirSync(runtime);

describe("the command", () => {
  test("has the login in a folder that is closed to others, in memory", async () => {
    const script = `stat -c '%a %n' "$DOCKER_CONFIG" "$DOCKER_CONFIG"/*.json "$REGISTRY_AUTH_FILE"; cat "$DOCKER_CONFIG/config.json" "$REGISTRY_AUTH_FILE" > ${docker}/seen`;
    const { code, out, told } = await sh(script);
    expect({ code, told }).toEqual({ code: 0, told: "" });
    const modes = out
      .trimEnd()
      .split("\n")
      .map((line) => line.split(" "));
    expect(modes.map(([mode]) => mode)).toEqual(["700", "600", "600", "600"]);
    for (const [, path] of modes) expect(path?.startsWith(`${runtime}/acr-broker-exec-`)).toBe(true);
    const seen = readFileSync(join(docker, "seen"), "utf8");
    rmSync(join(docker, "seen"));
    for (const host of HOSTS) expect(seen.split(`"${host}"`).length).toBe(3);
    expect(
      call.it.passwords().some((secret) => seen.includes(Buffer.from(`cr_temp_user:${secret}`).toString("base64"))),
    ).toBe(true);
    expect([folders(), left()]).toEqual([[], []]);
  });

  test("has no password in its arguments or its environment, nor has acr-broker", async () => {
    const { out } = await sh(
      "tr '\\0' '\\n' < /proc/self/environ; tr '\\0' '\\n' < /proc/$PPID/environ; tr '\\0' ' ' < /proc/$PPID/cmdline",
    );
    expect(out).toContain("DOCKER_CONFIG=");
    expect(call.it.passwords().filter((secret) => out.includes(secret))).toEqual([]);
  });

  test("has the caller's token, and does not where env takes it out", async () => {
    const script = "printenv ACR_BROKER_TOKEN | cut -c 1-3; true";
    expect((await sh(script)).out).toBe("eyJ\n");
    expect((await run(["--", "env", "-u", "ACR_BROKER_TOKEN", "sh", "-c", script])).out).toBe("");
  });

  test("has its streams and its arguments, options among them, also without --", async () => {
    const environment = await call.it.environment(surroundings());
    for (const separator of [["--"], []]) {
      const child = spawn(
        process.execPath,
        [
          ACR_BROKER,
          "exec",
          "--scope",
          SCOPE,
          ...separator,
          "sh",
          "-c",
          'cat; echo "$@" >&2',
          "sh",
          "--help",
          "--scope",
        ],
        { env: environment },
      );
      let [out, told] = ["", ""];
      child.stdout.on("data", (chunk) => {
        out += chunk;
      });
      child.stderr.on("data", (chunk) => {
        told += chunk;
      });
      child.stdin.end("through");
      expect(await once(child, "close")).toEqual([0, null]);
      expect({ out, told }).toEqual({ out: "through", told: "--help --scope\n" });
    }
  });

  test("has the user's own configuration but for logins of our hosts", async () => {
    writeFileSync(
      join(docker, "config.json"),
      JSON.stringify({ credsStore: "desktop", auths: { "other.example": {} }, currentContext: "remote" }),
    );
    mkdirSync(join(docker, "contexts"));
    writeFileSync(join(docker, "contexts/meta"), "context");
    const { out } = await sh(
      'cat "$DOCKER_CONFIG/config.json"; cat "$DOCKER_CONFIG/contexts/meta"; echo; echo "$BUILDX_CONFIG $DOCKER_AUTH_CONFIG"',
      {
        DOCKER_AUTH_CONFIG: '{"auths":{"env.example":{"auth":"ZW52"}}}',
      },
    );
    const [, config = "", rest] = /^([\s\S]*^\})\n([\s\S]*)$/m.exec(out) ?? [];
    expect(JSON.parse(config)).toEqual({
      currentContext: "remote",
      auths: {
        "other.example": {},
        "env.example": { auth: "ZW52" },
        [HOSTS[0] as string]: expect.anything(),
        [HOSTS[1] as string]: expect.anything(),
      },
      credHelpers: { "other.example": "desktop" },
    });
    expect(rest).toBe(`context\n${docker}/buildx \n`);
    expect(readdirSync(docker).sort()).toEqual(["config.json", "contexts"]);
    expect(readFileSync(join(docker, "contexts/meta"), "utf8")).toBe("context");
  });

  test("may be another exec, with its logins as well", async () => {
    const inner = `${process.execPath} ${ACR_BROKER} exec --scope repository:base/go:pull -- sh -c 'echo $REGISTRY_AUTH_FILE; cat $DOCKER_CONFIG/auth.json'`;
    const { code, out, told } = await sh(`echo $REGISTRY_AUTH_FILE; ${inner}`);
    expect({ code, told }).toEqual({ code: 0, told: "" });
    const [outerFile, innerFile, ...lines] = out.split("\n");
    expect(innerFile).not.toBe(outerFile);
    expect(Object.keys(JSON.parse(lines.join("\n")).auths)).toEqual(HOSTS);
    expect([folders(), left()]).toEqual([[], []]);
  });

  test("gets a new login before the old one ends, in the same files", async () => {
    const played = await serve(async (request, response, count) => {
      const answer = await fetch(call.it.harness.url + request.url, {
        method: "POST",
        headers: { authorization: request.headers.authorization as string, "content-type": "application/json" },
        body: await bodyOf(request),
      });
      const whole = (await answer.json()) as { password: string };
      const now = Date.now();
      const at = (seconds: number) => new Date(now + seconds * 1000).toISOString();
      json(response, 200, {
        ...whole,
        password: `${whole.password}${count}`,
        expires_in: 3,
        expires_at: at(3),
        refresh_after: at(1),
      });
    });
    const script =
      'for f in "$DOCKER_CONFIG/config.json" "$REGISTRY_AUTH_FILE"; do first=$(cksum < $f); until [ "$first" != "$(cksum < $f)" ]; do sleep 0.05; done; stat -c %a $f; done';
    const { code, out, told } = await sh(script, { ACR_BROKER_URL: played.url });
    expect({ code, out, told }).toEqual({ code: 0, out: "600\n600\n", told: "" });
    expect([folders(), left()]).toEqual([[], []]);
  });
});

describe("how it ends", () => {
  test.each([
    ["exit 0", 0],
    ["exit 7", 7],
    ["exit 125", 125],
    ["kill -TERM $$", 128 + 15],
    ["kill -KILL $$", 128 + 9],
  ])("%s: exit code %i, and nothing is left", async (script, code) => {
    expect(await sh(script)).toEqual({ code, out: "", told: "" });
    expect([folders(), left()]).toEqual([[], []]);
  });

  test.each([
    [["--", "no-such-command"], 127, '"no-such-command" is not found'],
    [["--", "/"], 126, "cannot be executed (EACCES)"],
    [[], 125, "exec needs a command"],
    [["--ttl", "x", "--", "true"], 125, "--ttl is a whole number"],
    [["--unknown", "--", "true"], 125, "exec has no option --unknown"],
    [["--scope", "repository:secret/app:pull", "--", "true"], 125, "acr-broker: access_denied: "],
  ])("%j: exit code %i", async (args, code, says) => {
    const ran = await run(args);
    expect(ran).toMatchObject({ code, out: "", told: expect.stringContaining(says) });
    expect([folders(), left()]).toEqual([[], []]);
  });

  test.each(["SIGTERM", "SIGINT", "SIGHUP", "SIGQUIT"] as const)(
    "%s goes to the command, which ends as it likes",
    async (signal) => {
      const short = signal.slice(3);
      const { child, line, ended } = await start(
        `trap 'echo got; exit 9' ${short}; echo ready; while :; do sleep 0.02; done`,
      );
      expect(await line()).toBe("ready");
      child.kill(signal);
      expect(await line()).toBe("got");
      expect(await ended).toEqual([9, null]);
      expect([folders(), left()]).toEqual([[], []]);
    },
  );

  test.each([
    ["SIGTERM", 143],
    ["SIGINT", 130],
  ] as const)("%s to a command that does not mind it: exit code %i", async (signal, code) => {
    const { child, line, ended } = await start("echo ready; exec sleep 60");
    await line();
    child.kill(signal);
    expect(await ended).toEqual([code, null]);
    expect([folders(), left()]).toEqual([[], []]);
  });
});

test("Ctrl-C on a terminal reaches the command once", async () => {
  const script = join(call.it.home, "count.sh");
  writeFileSync(script, "trap 'echo got' INT; echo ready; read -r _; read -r _; echo end");
  const command = `${process.execPath} ${ACR_BROKER} exec --scope ${SCOPE} -- sh ${script}`;
  const child = spawn("script", ["-qec", command, "/dev/null"], { env: await call.it.environment(surroundings()) });
  const lines = createInterface(child.stdout)[Symbol.asyncIterator]();
  const ended = once(child, "exit");
  const seen: string[] = [];
  for (let line = ""; line !== "end"; ) {
    line = ((await lines.next()).value as string).trim();
    seen.push(line);
    if (line === "ready") child.stdin.write("\u0003");
    if (line.endsWith("got")) child.stdin.write("\n\n");
  }
  await ended;
  expect(seen.filter((line) => line.endsWith("got")).length).toBe(1);
  expect([folders(), left()]).toEqual([[], []]);
});

test("a defect of acr-broker itself takes the folder away, too", async () => {
  const [crash, flag] = [join(call.it.home, "crash.cjs"), join(call.it.home, "flag")];
  writeFileSync(
    crash,
    `setInterval(() => { if (require("fs").existsSync("${flag}")) throw new Error("crash"); }, 10);`,
  );
  const environment = await call.it.environment(surroundings({ NODE_OPTIONS: `--require ${crash}` }));
  const child = spawn(
    process.execPath,
    [ACR_BROKER, "exec", "--scope", SCOPE, "--", "sh", "-c", "echo $$; exec sleep 60"],
    {
      env: environment,
      stdio: ["ignore", "pipe", "ignore"],
    },
  );
  const ended = once(child, "exit");
  const pid = Number((await createInterface(child.stdout)[Symbol.asyncIterator]().next()).value);
  expect(folders().length).toBe(1);
  writeFileSync(flag, "");
  const [code] = await ended;
  process.kill(pid, "SIGKILL");
  expect(code).not.toBe(0);
  expect([folders(), left()]).toEqual([[], []]);
});

describe("killed, so that it can take nothing away", () => {
  const orphans: number[] = [];
  afterEach(() => {
    for (const pid of orphans.splice(0)) {
      try {
        process.kill(pid, "SIGKILL");
      } catch {
        // It has ended.
      }
    }
  });
  async function killed(child: ChildProcess, line: () => Promise<string>, ended: Promise<unknown>): Promise<string> {
    const [pid, folder] = (await line()).split(" ") as [string, string];
    orphans.push(Number(pid));
    child.kill("SIGKILL");
    await ended;
    return folder;
  }

  test("what it leaves is closed to others, and the next run takes it away", async () => {
    const { child, line, ended } = await start('echo "$$ $DOCKER_CONFIG"; exec sleep 60');
    const folder = await killed(child, line, ended);
    expect(folder.startsWith(runtime)).toBe(true);
    expect(statSync(folder).mode & 0o777).toBe(0o700);
    for (const name of readdirSync(folder)) expect(statSync(join(folder, name)).mode & 0o077).toBe(0);
    expect((await sh("true")).code).toBe(0);
    expect([folders(), left()]).toEqual([[], []]);
  });

  test("at their peak: of ten at once each takes away its own, the killed ones go with the next, and a running one stays", async () => {
    const running = await start('echo "$$ $DOCKER_CONFIG"; exec sleep 60');
    const [, kept = ""] = (await running.line()).split(" ");
    const all = await Promise.all(Array.from({ length: 10 }, () => start('echo "$$ $DOCKER_CONFIG"; exec sleep 60')));
    const pids = await Promise.all(all.map(async ({ line }) => Number((await line()).split(" ")[0])));
    orphans.push(...pids);
    // All are there, and what they do from now on, they do at once.
    for (const [index, { child }] of all.entries()) child.kill(index % 2 === 0 ? "SIGKILL" : "SIGTERM");
    await Promise.all(all.map(({ ended }) => ended));
    expect(folders().length).toBe(6);
    expect((await sh("true")).code).toBe(0);
    expect(folders().map((name) => join(runtime, name))).toEqual([kept]);
    running.child.kill("SIGTERM");
    await running.ended;
    expect([folders(), left()]).toEqual([[], []]);
  }, 60_000);

  test("only what is surely nobody's any more is taken away, and no link is followed", async () => {
    const make = (name: string, owner: string | undefined, ageHours = 0) => {
      const path = join(runtime, `acr-broker-exec-${name}`);
      mkdirSync(path, { mode: 0o700 });
      if (owner !== undefined) writeFileSync(join(path, ".owner"), owner);
      const at = new Date(Date.now() - ageHours * 3_600_000);
      utimesSync(path, at, at);
    };
    const elsewhere = processStamp().replace(/\S+$/, "elsewhere");
    make("runs", processStamp());
    make("gone", processStamp().replace(/ \S+/, " 1"));
    make("elsewhere", elsewhere);
    make("elsewhere-long-ago", elsewhere, 25);
    make("begun", undefined);
    make("begun-long-ago", undefined, 25);
    const outside = mkdtempSync(join(call.it.home, "outside-"));
    writeFileSync(join(outside, "kept"), "");
    symlinkSync(outside, join(runtime, "acr-broker-exec-link"));
    expect((await sh("true")).code).toBe(0);
    expect(folders().sort()).toEqual(["begun", "elsewhere", "link", "runs"].map((name) => `acr-broker-exec-${name}`));
    expect(existsSync(join(outside, "kept"))).toBe(true);
    expect(readlinkSync(join(runtime, "acr-broker-exec-link"))).toBe(outside);
  });
});

test("a login that is in the user's own configuration stays there as it is", async () => {
  const before = JSON.stringify({ auths: { [HOST]: { auth: "b2xk" } } });
  writeFileSync(join(docker, "config.json"), before);
  await sh("true");
  expect(readFileSync(join(docker, "config.json"), "utf8")).toBe(before);
});
