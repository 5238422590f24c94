import {
  chmodSync,
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeEach, describe, expect, test } from "vitest";
import {
  containersAuthFile,
  type DockerConfig,
  dockerConfigFile,
  editDockerConfig,
  helperOf,
  readDockerConfig,
} from "../../../cli/docker/config-file.ts";
import { processStamp } from "../../../cli/process-stamp.ts";
import { host } from "../../../shared/client/host.ts";

const root = mkdtempSync(join(tmpdir(), "docker-config-"));
afterAll(() => rmSync(root, { recursive: true }));

let count = 0;
let folder: string;
let file: string;
beforeEach(() => {
  folder = join(root, `${count++}`);
  mkdirSync(folder);
  file = join(folder, "config.json");
});

let bytes = 0;
const terminal = { outside: host(), random: (size: number) => new Uint8Array(size).fill(bytes++) };
const addAuth = (config: DockerConfig) => ({ ...config, auths: { ...config.auths, "new.example": { auth: "bmV3" } } });
const mode = (path: string) => statSync(path).mode & 0o777;

describe("what it leaves alone", () => {
  test.each([
    ["two spaces, a line end", '{\n  "zeta": {"a": 1},\n  "auths": {}\n}\n'],
    [
      "tabs, as docker writes",
      '{\n\t"auths": {\n\t\t"old.example": {\n\t\t\t"auth": "b2xk"\n\t\t}\n\t},\n\t"x": null\n}',
    ],
    ["one line", '{"HttpHeaders":{"a":"b"},"auths":{"old.example":{}}}'],
    ["lines that end as on Windows", '{\r\n    "currentContext": "desktop"\r\n}\r\n'],
  ])("order, unknown fields and style: %s", async (_, before) => {
    writeFileSync(file, before);
    await editDockerConfig(file, terminal, addAuth);
    const after = readFileSync(file, "utf8");
    expect(JSON.parse(after)).toEqual(addAuth(JSON.parse(before)));
    expect(Object.keys(JSON.parse(after)).slice(0, Object.keys(JSON.parse(before)).length)).toEqual(
      Object.keys(JSON.parse(before)),
    );
    expect(/^\{(?:\r?\n[ \t]+)?/.exec(after)?.[0]).toBe(/^\{(?:\r?\n[ \t]+)?/.exec(before)?.[0]);
    expect(after.includes("\r\n")).toBe(before.includes("\r\n"));
    expect(/\s*$/.exec(after)?.[0]).toBe(/\s*$/.exec(before)?.[0]);
    // And back again it is what it was, but for white space inside.
    await editDockerConfig(file, terminal, () => JSON.parse(before) as DockerConfig);
    expect(readFileSync(file, "utf8").replace(/\s/g, "")).toBe(before.replace(/\s/g, ""));
  });

  test("the file, where nothing is to change", async () => {
    writeFileSync(file, '{ "auths" : {} }');
    const { ino } = statSync(file);
    await editDockerConfig(file, terminal, () => undefined);
    expect([readFileSync(file, "utf8"), statSync(file).ino]).toEqual(['{ "auths" : {} }', ino]);
  });

  test.each([
    ["{", "it is not JSON"],
    ["[]", "it is no JSON object"],
    ['{"auths":{},"auths":{}}', 'the key "auths" stands twice'],
    ['{"auths":[]}', "its auths is no object of objects"],
    ['{"auths":{"a":"b"}}', "its auths is no object of objects"],
    ['{"credHelpers":{"a":1}}', "its credHelpers is no object of texts"],
    ['{"credsStore":{}}', "its credsStore is no text"],
  ])("what docker could not have written: %s", async (before, says) => {
    writeFileSync(file, before);
    await expect(editDockerConfig(file, terminal, addAuth)).rejects.toThrow(says);
    await expect(editDockerConfig(file, terminal, addAuth)).rejects.toThrow(`${file} is left as it is`);
    expect([readFileSync(file, "utf8"), readdirSync(folder)]).toEqual([before, ["config.json"]]);
  });
});

describe("how it writes", () => {
  test("a new file, and the folders above it, are the owner's alone", async () => {
    file = join(folder, "a/b/config.json");
    await editDockerConfig(file, terminal, addAuth);
    expect(readFileSync(file, "utf8")).toBe(
      '{\n\t"auths": {\n\t\t"new.example": {\n\t\t\t"auth": "bmV3"\n\t\t}\n\t}\n}',
    );
    expect([mode(file), mode(join(folder, "a")), mode(join(folder, "a/b"))]).toEqual([0o600, 0o700, 0o700]);
  });

  test("a file that others could read is closed to them; a closed one stays so", async () => {
    for (const before of [0o644, 0o600]) {
      writeFileSync(file, "");
      chmodSync(file, before);
      await editDockerConfig(file, terminal, addAuth);
      expect(mode(file)).toBe(0o600);
    }
  });

  test.each(["real.json", "not/there/yet.json"])("a link stays one, and %s at its end is written", async (name) => {
    if (!name.includes("/")) writeFileSync(join(folder, name), '{"kept":1}');
    symlinkSync(name, file);
    await editDockerConfig(file, terminal, addAuth);
    expect(lstatSync(file).isSymbolicLink()).toBe(true);
    expect(lstatSync(join(folder, name)).isSymbolicLink()).toBe(false);
    expect(readDockerConfig(file).auths).toEqual({ "new.example": { auth: "bmV3" } });
  });

  test("the file is replaced, never written into: who has it open reads the old one to its end", async () => {
    writeFileSync(file, "{}");
    const { ino } = statSync(file);
    await editDockerConfig(file, terminal, addAuth);
    expect(statSync(file).ino).not.toBe(ino);
    expect(readdirSync(folder)).toEqual(["config.json"]);
  });

  test("an edit that fails leaves the file, and nothing beside it", async () => {
    writeFileSync(file, "{}");
    const edit = () => {
      throw new Error("no");
    };
    await expect(editDockerConfig(file, terminal, edit)).rejects.toThrow("no");
    expect([readFileSync(file, "utf8"), readdirSync(folder)]).toEqual(["{}", ["config.json"]]);
  });

  test("a folder where the file should be is an error that names it", async () => {
    mkdirSync(file);
    await expect(editDockerConfig(file, terminal, addAuth)).rejects.toThrow(`${file} cannot be read (EISDIR)`);
  });

  test("what a killed process left half written is taken away", async () => {
    writeFileSync(join(folder, ".config.json.acr-broker-0123.tmp"), "secret");
    await editDockerConfig(file, terminal, addAuth);
    expect(readdirSync(folder)).toEqual(["config.json"]);
  });
});

describe("the lock", () => {
  const lock = () => join(folder, ".config.json.acr-broker-lock");
  /** Waiting moves the clock: nothing is waited for in earnest. */
  function waiting() {
    let ms = 0;
    const slept: number[] = [];
    const outside = {
      ...host(),
      now: () => new Date(Date.now() + ms),
      monotonicMs: () => ms,
      sleep: async (time: number) => {
        slept.push(time);
        ms += 1_000;
      },
    };
    return { ...terminal, outside, slept };
  }
  const gone = processStamp().replace(/^\d+ \S+/, "4194303 1");

  test.each([
    ["whose number no process has", gone],
    ["whose number another process has now", processStamp().replace(/ \S+/, " 1")],
  ])("of a process %s is taken away at once", async (_, stamp) => {
    writeFileSync(lock(), stamp);
    const system = waiting();
    await editDockerConfig(file, system, addAuth);
    expect(system.slept.length).toBe(1);
    expect(readdirSync(folder)).toEqual(["config.json"]);
  });

  test("of a process that runs is waited for, and is not taken", async () => {
    writeFileSync(lock(), processStamp());
    await expect(editDockerConfig(file, waiting(), addAuth)).rejects.toThrow(`delete ${lock()}`);
    expect([existsSync(file), existsSync(lock())]).toEqual([false, true]);
  });

  test.each([
    ["another machine's", processStamp().replace(/\S+$/, "elsewhere")],
    ["one whose process was killed before it wrote who it is", ""],
  ])("%s is taken away when it is old, not before", async (_, stamp) => {
    writeFileSync(lock(), stamp);
    const system = waiting();
    await editDockerConfig(file, system, addAuth);
    expect(system.slept.length).toBeGreaterThan(10);
    writeFileSync(lock(), stamp);
    utimesSync(lock(), new Date(0), new Date(0));
    const later = waiting();
    await editDockerConfig(file, later, addAuth);
    expect(later.slept.length).toBe(1);
  });
});

describe("where it is", () => {
  test("docker's: DOCKER_CONFIG, then the home folder", () => {
    expect(dockerConfigFile({ environment: { DOCKER_CONFIG: "/x", HOME: "/home/a" } })).toBe("/x/config.json");
    expect(dockerConfigFile({ environment: { HOME: "/home/a" } })).toBe("/home/a/.docker/config.json");
    expect(() => dockerConfigFile({ environment: {} })).toThrow("set HOME or DOCKER_CONFIG");
  });

  test("podman's: REGISTRY_AUTH_FILE, then the folder of the session, then the user's below /run", () => {
    const environment = { REGISTRY_AUTH_FILE: "/x/auth.json", XDG_RUNTIME_DIR: "/run/user/7", HOME: "/home/a" };
    expect(containersAuthFile({ environment }, "linux")).toBe("/x/auth.json");
    expect(containersAuthFile({ environment: { XDG_RUNTIME_DIR: "/run/user/7" } }, "linux")).toBe(
      "/run/user/7/containers/auth.json",
    );
    expect(containersAuthFile({ environment: {}, userId: 7 }, "linux")).toBe("/run/containers/7/auth.json");
    expect(containersAuthFile({ environment: { HOME: "/home/a" } }, "darwin")).toBe(
      "/home/a/.config/containers/auth.json",
    );
  });
});

test.each([
  [{}, undefined],
  [{ credsStore: "desktop" }, "desktop"],
  [{ credHelpers: { "a.example": "pass" }, credsStore: "desktop" }, "pass"],
  [{ credHelpers: { "b.example": "pass" } }, undefined],
  [{ credHelpers: { "a.example": "" }, credsStore: "desktop" }, undefined],
])("the helper that docker asks, of %j", (config, helper) => {
  expect(helperOf(config, "a.example")).toBe(helper);
});
