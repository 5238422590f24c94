/** The scripts of `acr-broker completion`, in the shells that they are for. */

import { execFileSync, spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { COMMANDS } from "../../cli/commands.ts";
import { haveTools } from "../e2e/tools.ts";
import { acrBroker } from "./run.ts";

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "completion-"));
  writeFileSync(join(folder, "policy-of-mine.yaml"), "");
  for (const shell of ["bash", "zsh", "fish"])
    writeFileSync(join(folder, `script.${shell}`), acrBroker(["completion", shell]).out);
});
afterAll(() => rmSync(folder, { recursive: true }));

const ROWS: readonly (readonly [line: string, offers: readonly string[], not: readonly string[]])[] = [
  ["acr-broker lo", ["login", "logout"], ["exec"]],
  ["acr-broker login --", ["--scope", "--endpoint", "--podman", "--help"], ["--strict"]],
  ["acr-broker token --format ", ["json", "password", "docker-config", "kubernetes-secret"], ["sarif"]],
  ["acr-broker check --format s", ["sarif"], ["json"]],
  ["acr-broker check policy-of", ["policy-of-mine.yaml"], []],
  ["acr-broker check --config policy-of", ["policy-of-mine.yaml"], []],
  ["acr-broker key ", ["new"], []],
  ["acr-broker key new --d", ["--days"], []],
  ["acr-broker help ex", ["exec", "explain"], []],
  ["acr-broker completion ", ["bash", "zsh", "fish"], []],
  ["acr-broker exec --gr", ["--grant"], []],
];
/** What follows is another's command line, whatever stands in it. */
const PASSED: readonly (readonly [line: string, offer: string])[] = [
  ["acr-broker exec --scope a -- sha256s", "sha256sum"],
  ["acr-broker exec --scope a sha256s", "sha256sum"],
  ["acr-broker exec --scope a -- cat policy-of", "policy-of-mine.yaml"],
];

function bash(line: string): string[] {
  const script = `source script.bash
COMP_LINE=$1 COMP_POINT=\${#1}
read -ra COMP_WORDS <<< "$1"
[[ $1 == *" " ]] && COMP_WORDS+=("")
COMP_CWORD=$((\${#COMP_WORDS[@]} - 1))
[[ $(complete -p acr-broker) == *"-F _acr_broker acr-broker" ]] || exit 1
_acr_broker
printf '%s\\n' "\${COMPREPLY[@]}"`;
  return execFileSync("bash", ["--norc", "-euc", script, "bash", line], { cwd: folder, encoding: "utf8" })
    .trim()
    .split("\n");
}

function fish(line: string): string[] {
  const { stdout, stderr } = spawnSync(
    "fish",
    ["--no-config", "-c", "source script.fish; complete -C $argv[1]", line],
    {
      cwd: folder,
      env: { PATH: process.env["PATH"], HOME: folder },
      encoding: "utf8",
    },
  );
  expect(stderr).toBe("");
  return stdout.split("\n").map((each) => each.split("\t")[0] as string);
}

/** A zsh on a pseudo-terminal, in which Tab is pressed; what it lists is what it offers. */
function zsh(line: string): string[] {
  // The prompt, once it is there, says that keys are taken as keys; what is typed sooner is not.
  const script = `zmodload zsh/zpty
zpty shell zsh -f -i
zpty -w shell "cd ${folder}; autoload -U compinit; compinit -u -D; source script.zsh; bindkey '^I' list-choices; PROMPT='<''prompt>'"
zpty -r shell out '*<prompt>*'
zpty -w -n shell $'$1\\t'
zpty -w -n shell $'\\C-u echo do\\'\\'ne\\n'
zpty -r shell out '*done*'
print -r -- "$out"`;
  const { stdout } = spawnSync("zsh", ["-f", "-c", script.replace("$1", line)], {
    cwd: folder,
    env: { PATH: process.env["PATH"], HOME: folder, TERM: "dumb", COLUMNS: "400", LINES: "200" },
    encoding: "utf8",
    timeout: 15_000,
  });
  return stdout.split(/\s+/);
}

describe("bash", () => {
  test.each(ROWS)("%s", (line, offers, not) => {
    const offered = bash(line);
    expect(offered).toEqual(expect.arrayContaining([...offers]));
    for (const word of not) expect(offered).not.toContain(word);
  });
  test.each(PASSED)("%s", (line, offer) => expect(bash(line)).toContain(offer));
  test("every command", () => {
    expect(bash("acr-broker ")).toEqual(
      expect.arrayContaining(Object.keys(COMMANDS).map((name) => name.split(" ")[0])),
    );
  });
});

describe.skipIf(!haveTools(["fish"]))("fish", () => {
  test.each(ROWS)("%s", (line, offers, not) => {
    const offered = fish(line);
    expect(offered).toEqual(expect.arrayContaining([...offers]));
    for (const word of not) expect(offered).not.toContain(word);
  });
  test.each(PASSED)("%s", (line, offer) => expect(fish(line)).toContain(offer));
});

describe.skipIf(!haveTools(["zsh"]))("zsh", () => {
  test("takes the script without a word", () => {
    const { stdout, stderr, status } = spawnSync(
      "zsh",
      ["-f", "-c", "autoload -U compinit; compinit -u -D; source script.zsh; print $_comps[acr-broker]"],
      { cwd: folder, encoding: "utf8" },
    );
    expect({ stdout, stderr, status }).toEqual({ stdout: "_acr_broker\n", stderr: "", status: 0 });
  });
  test.each(ROWS)("%s", (line, offers, not) => {
    const offered = zsh(line);
    expect(offered).toEqual(expect.arrayContaining([...offers]));
    for (const word of not) expect(offered).not.toContain(word);
  });
  test.each(PASSED)("%s", (line, offer) => expect(zsh(line)).toContain(offer));
});

test("another shell is named, and those that there are", () => {
  for (const args of [[], ["tcsh"]]) {
    expect(acrBroker(["completion", ...args])).toMatchObject({
      code: 2,
      told: expect.stringContaining("bash|zsh|fish"),
    });
  }
});
