/**
 * `npm run audit:shipped`, after `npm run build`: what `npm audit` has against the packages of the bills of materials. It is asked
 * about all that is installed, and what only builds and tests is left out of its answer. Exits with 1 where there is an advisory, and
 * with 2 where nobody could be asked.
 */

import { spawnSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { purl } from "./describe.ts";

interface Advisory {
  readonly title: string;
  readonly url: string;
  readonly severity: string;
}

/** Of `npm audit --json`, version 2: https://docs.npmjs.com/cli/v11/commands/npm-audit#json */
interface Report {
  readonly message?: string;
  readonly vulnerabilities?: Readonly<
    Record<string, { readonly via: readonly (string | Advisory)[]; readonly nodes: readonly string[] }>
  >;
}

const read = (file: string) => JSON.parse(readFileSync(file, "utf8"));

const bills = ["dist/sbom.cdx.json", "build/sbom.cdx.json"];
const missing = bills.find((file) => !existsSync(file));
if (missing !== undefined) end(2, `NOT AUDITED: there is no ${missing}; run npm run build first`);
const shipped = new Set(
  bills.flatMap((file) => (read(file) as { components: { purl: string }[] }).components.map(({ purl }) => purl)),
);

// By a shell's word, since npm is a script of another name on Windows.
const { stdout } = spawnSync("npm audit --json", { shell: true, encoding: "utf8", maxBuffer: 2 ** 28 });
const { message, vulnerabilities } = parsed(stdout);
if (vulnerabilities === undefined)
  end(
    2,
    `NOT AUDITED: the registry did not answer npm audit (${message}); try it where registry.npmjs.org can be asked`,
  );

const { packages } = read("package-lock.json") as { packages: Record<string, { version: string }> };
const found = Object.values(vulnerabilities).flatMap(({ via, nodes }) => {
  const here = [...new Set(nodes.map(purlOf))].filter((purl) => shipped.has(purl));
  const advisories = via.filter((reason) => typeof reason !== "string");
  return here.flatMap((purl) =>
    advisories.map(({ severity, title, url }) => `${purl}: ${severity}: ${title} (${url})`),
  );
});
if (found.length > 0) end(1, `${found.join("\n")}\nmove these packages up, build and release: SECURITY.md`);
process.stdout.write(`no advisory against any of the ${shipped.size} packages that are shipped\n`);

/** Of a folder in node_modules. */
function purlOf(folder: string): string {
  const name = folder.slice(folder.lastIndexOf("node_modules/") + "node_modules/".length);
  return purl({ name, version: String(packages[folder]?.version) });
}

function parsed(text: string): Report {
  try {
    return JSON.parse(text) as Report;
  } catch {
    return { message: "its answer is no JSON" };
  }
}

function end(status: number, message: string): never {
  process.stderr.write(`${message}\n`);
  process.exit(status);
}
