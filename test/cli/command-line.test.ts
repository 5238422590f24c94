/** What holds for every command: help, suggestions, exit codes, streams. */

import { spawnSync } from "node:child_process";
import { expect, test } from "vitest";
import { COMMANDS } from "../../cli/commands.ts";
import { ACR_BROKER, acrBroker, ROOT } from "./run.ts";

test("every command is in the help, and has help of its own", () => {
  const { code, out } = acrBroker(["--help"]);
  expect(code).toBe(0);
  for (const name of Object.keys(COMMANDS)) {
    expect(out).toContain(`\n  ${name} `);
    const words = name.split(" ");
    const help = acrBroker([...words, "--help"]);
    expect(help).toMatchObject({ code: 0, told: "" });
    expect(help.out).toContain(`usage: acr-broker ${name}`);
    expect(help.out).toMatch(/\noptions\n/);
    expect(help.out).toMatch(/\nexamples\n/);
    expect(acrBroker(["help", ...words]).out).toBe(help.out);
  }
});

test("the beginning of a command's name is enough for its help", () => {
  const { out } = acrBroker(["key", "new", "--help"]);
  for (const args of [
    ["key", "--help"],
    ["key", "-h"],
    ["help", "key"],
  ]) {
    expect(acrBroker(args)).toEqual({ code: 0, out, told: "" });
  }
});

test("the version, as people ask for it", () => {
  const { out } = acrBroker(["version"]);
  expect(out).toMatch(/^acr-broker \d+\.\d+\.\d+\n$/);
  for (const option of ["--version", "-v", "-V"]) expect(acrBroker([option])).toEqual({ code: 0, out, told: "" });
});

test("without a command, the help is a message, and the exit code says that nothing was answered", () => {
  expect(acrBroker([])).toMatchObject({ code: 2, out: "", told: expect.stringContaining("usage: acr-broker") });
});

test("the version is the package's", () => {
  expect(acrBroker(["--version"]).out).toMatch(/^acr-broker \d+\.\d+\.\d+\n$/);
});

test.each([
  [["chekc"], 'there is no command "chekc"; did you mean check?'],
  [["frobnicate"], `there is ${Object.keys(COMMANDS).join(", ")}`],
  [["key"], "key what? there is key new"],
  [["--url", "https://acr-broker.example.com", "token"], "options stand behind a command: acr-broker COMMAND --url"],
  [["--versoin"], "did you mean --version?"],
  [["check", "--jsno"], "check has no option --jsno; did you mean --json?"],
  [["check", "--frobnicate"], "see acr-broker check --help"],
  [["check", "--json=yes"], "--json takes no value"],
  [["check", "--config"], "--config needs a value: --config FILE"],
  [["check", "--config", "--json"], "--config needs a value: --config FILE"],
  [["check", "--config=a", "--config=b"], "--config stands there twice"],
  [["check", "a", "b"], 'check has no use for "b"'],
  [["check", "--format", "xml"], "--format is one of text, json, sarif"],
  [["check", "broker.yaml", "--config", "broker.yaml"], "not both"],
])("%j is refused with what to write", (args, says) => {
  expect(acrBroker(args)).toMatchObject({ code: 2, out: "", told: expect.stringContaining(says) });
});

test("what looks like a token or key is repeated by no message", () => {
  const token = `eyJhbGciOiJSUzI1NiJ9.${"c".repeat(40)}.c2lnbmF0dXJl`;
  for (const secret of [token, token.slice(0, 60), `abk_nightly_${"0".repeat(64)}`, `acs1.${"x".repeat(40)}`]) {
    for (const args of [
      [secret],
      ["check", secret],
      ["check", `--${secret}`],
      ["check", "a", secret],
      ["explain", secret],
    ]) {
      const { code, out, told } = acrBroker(args);
      expect(code).toBe(2);
      expect(out + told).not.toContain(secret.slice(0, 30));
    }
  }
});

test("there is colour only where somebody looks, or where it is asked for", () => {
  expect(acrBroker(["check"]).out).not.toContain("\u001b");
  expect(acrBroker(["check"], { environment: { FORCE_COLOR: "1" } }).out).toContain("\u001b[32m");
  expect(acrBroker(["check"], { environment: { FORCE_COLOR: "1", NO_COLOR: "1" } }).out).not.toContain("\u001b");
});

test("a reader that stops early ends it quietly", () => {
  const { stdout, stderr } = spawnSync(
    "sh",
    ["-c", `(sleep 0.2; "${process.execPath}" "${ACR_BROKER}" --help; echo "code $?" >&2) | true`],
    { cwd: ROOT, encoding: "utf8" },
  );
  expect({ stdout, stderr }).toEqual({ stdout: "", stderr: "code 0\n" });
});
