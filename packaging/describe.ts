/** What lies beside what is shipped: the bill of materials, the licences of others' code, and the checksums. The same input gives the same bytes. */

import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join, relative } from "node:path";
import type { Metafile } from "esbuild";
import { sha256 } from "../functions/broker/code-cache/load.ts";
import packageJson from "../package.json" with { type: "json" };
import { directly, idOf, type Shipped, shipped } from "./shipped.ts";

/** Writes `sbom.cdx.json` and `THIRD-PARTY-LICENSES` into `folder`. What it throws: shipped.ts. */
export function describe(folder: string, metafile: Metafile, root: string): void {
  const packages = shipped(metafile, root);
  writeFileSync(
    join(folder, "sbom.cdx.json"),
    `${JSON.stringify(sbom(packages, directly(metafile, root)), undefined, 2)}\n`,
  );
  writeFileSync(join(folder, "THIRD-PARTY-LICENSES"), licences(packages));
}

/** CycloneDX 1.6, https://cyclonedx.org/docs/1.6/json/; without time and serial number, which would make each build another. */
function sbom(packages: readonly Shipped[], direct: readonly string[]): object {
  const { name, version, license } = packageJson;
  const refs = new Map(packages.map((one) => [idOf(one), purl(one)]));
  const dependsOn = (ids: readonly string[]) => ids.map((id) => refs.get(id));
  return {
    $schema: "http://cyclonedx.org/schema/bom-1.6.schema.json",
    bomFormat: "CycloneDX",
    specVersion: "1.6",
    version: 1,
    metadata: {
      component: { type: "application", "bom-ref": name, name, version, licenses: [{ license: { id: license } }] },
    },
    components: packages.map(component),
    dependencies: [
      { ref: name, dependsOn: dependsOn(direct) },
      ...packages.map((one) => ({ ref: purl(one), dependsOn: dependsOn(one.imports) })),
    ],
  };
}

function component(one: Shipped): object {
  const [name, group] = one.name.split("/").reverse();
  const tarball = `https://registry.npmjs.org/${one.name}/-/${name}-${one.version}.tgz`;
  const [algorithm, digest = ""] = one.integrity.split("-");
  if (algorithm !== "sha512")
    throw new Error(`${idOf(one)} has integrity by ${algorithm} in package-lock.json: install it anew`);
  return {
    type: "library",
    "bom-ref": purl(one),
    ...(group === undefined ? {} : { group }),
    name,
    version: one.version,
    licenses: [{ license: { id: one.licence } }],
    purl: purl(one),
    // The hash is the tarball's, of which the bundle has a part: as @cyclonedx/cyclonedx-npm writes it.
    externalReferences: [
      {
        type: "distribution",
        url: tarball,
        hashes: [{ alg: "SHA-512", content: Buffer.from(digest, "base64").toString("hex") }],
      },
    ],
  };
}

/** https://github.com/package-url/purl-spec: the @ of a scope is escaped. */
export function purl({ name, version }: Pick<Shipped, "name" | "version">): string {
  return `pkg:npm/${name.replace("@", "%40")}@${version}`;
}

/** Each text once, below the packages that have it. */
function licences(packages: readonly Shipped[]): string {
  const byText = new Map<string, string[]>();
  for (const one of packages) {
    const text = `Licence: ${one.licence}\n\n${one.licenceText || "The package has no text of it."}`;
    byText.set(text, [...(byText.get(text) ?? []), idOf(one)]);
  }
  const parts = [...byText].map(([text, ids]) => `${ids.join("\n")}\n${text}\n`);
  return [INTRODUCTION, ...parts].join(`\n${"-".repeat(80)}\n\n`);
}

const INTRODUCTION = `${packageJson.name} is under ${packageJson.license}. Code of the following packages is built into it, each under its own licence.
`;

/** Writes `SHA256SUMS` into `folder`, of all else in it, for `sha256sum --check`. */
export function sum(folder: string): void {
  const files = readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => relative(folder, join(entry.parentPath, entry.name)))
    .filter((file) => file !== "SHA256SUMS")
    .sort();
  const lines = files.map((file) => `${sha256(readFileSync(join(folder, file)))}  ${file}\n`);
  writeFileSync(join(folder, "SHA256SUMS"), lines.join(""));
}
