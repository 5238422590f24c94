/** The recipes of docs/clients/ci.md that have to be whole in one file: each has examples/ci/acr-login.sh in it, word for word. */

import { readFileSync } from "node:fs";

const ROOT = new URL("../", import.meta.url);

export const CORE = "examples/ci/acr-login.sh";

/** Those with its text between two marks, and those that are nothing but its text. */
export const RECIPES = [
  "examples/ci/circleci/orb.yml",
  "examples/ci/curl-jq.sh",
  "examples/ci/tekton/with-acr-login.yaml",
  "templates/acr-login.yml",
];
export const COPIES = [
  "examples/ci/buildkite/acr-login-buildkite-plugin/lib/acr-login.sh",
  "examples/ci/jenkins/resources/acr-login.sh",
];

const MARKED = /^( *)# acr-login\.sh \{\n.*?^\1# \}\n/ms;

export function readRecipe(file: string): string {
  return readFileSync(new URL(file, ROOT), "utf8");
}

/** Each file as it must be, by its name. */
export function recipes(): ReadonlyMap<string, string> {
  const core = readRecipe(CORE);
  const whole = RECIPES.map((file): [string, string] => {
    const text = readRecipe(file);
    if (!MARKED.test(text)) throw new Error(`${file} has no marks for ${CORE}`);
    const embedded = text.replace(MARKED, (_, indentation: string) => {
      const lines = `# acr-login.sh {\n${core}# }\n`;
      return lines.replaceAll(/^(?=.)/gm, indentation);
    });
    return [file, embedded];
  });
  return new Map([...whole, ...COPIES.map((file): [string, string] => [file, core])]);
}
