/**
 * The packages of others whose code is in what this project ships: those of which esbuild put something into a bundle, and no others.
 * Read from its metafiles, from node_modules and from the lockfile, which must agree.
 */

import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { Metafile } from "esbuild";

export interface Shipped {
  readonly name: string;
  readonly version: string;
  /** SPDX's identifier. */
  readonly licence: string;
  /** Its licence and notice files as they stand; else what its README says of its licence, or nothing. */
  readonly licenceText: string;
  /** Of its tarball, from the lockfile: `sha512-` and base64. */
  readonly integrity: string;
  /** What its code that is shipped imports, as `idOf`. */
  readonly imports: readonly string[];
}

/** What may be shipped under Apache-2.0 with nothing but the licence's text beside it. */
export const ALLOWED: readonly string[] = ["Apache-2.0", "BlueOak-1.0.0", "ISC", "MIT"];

/** What a package.json says that is no identifier of SPDX's, and what its README and repository say that it means. */
const MEANT: Readonly<Record<string, string>> = { "@darabonba/typescript Apache License 2.0": "Apache-2.0" };

type Lock = { readonly packages: Readonly<Record<string, { readonly version?: string; readonly integrity?: string }>> };

export const idOf = ({ name, version }: { name: string; version: string }): string => `${name}@${version}`;

export function merged(metafiles: readonly Metafile[]): Metafile {
  return {
    inputs: Object.assign({}, ...metafiles.map(({ inputs }) => inputs)),
    outputs: Object.assign({}, ...metafiles.map(({ outputs }) => outputs)),
  };
}

/**
 * Each once, by name and version. `root` has node_modules and package-lock.json.
 * @throws Error where a licence is unknown or not allowed, or a package is not the one of the lockfile
 */
export function shipped(metafile: Metafile, root: string): Shipped[] {
  const lock = JSON.parse(readFileSync(join(root, "package-lock.json"), "utf8")) as Lock;
  const imports = importsOf(metafile);
  const all = new Map<string, Shipped>();
  for (const [folder, targets] of imports) {
    if (folder === "") continue;
    const one = read(folder, root, lock);
    const known = all.get(idOf(one))?.imports ?? [];
    const own = [...targets].filter((target) => imports.has(target)).map((target) => idOf(manifest(target, root)));
    all.set(idOf(one), { ...one, imports: [...new Set([...known, ...own])].sort() });
  }
  return [...all].sort(([one], [other]) => (one < other ? -1 : 1)).map(([, entry]) => entry);
}

/** What the project's own code that is shipped imports, as `idOf`. */
export function directly(metafile: Metafile, root: string): string[] {
  const imports = importsOf(metafile);
  const own = [...(imports.get("") ?? [])].filter((folder) => imports.has(folder));
  return [...new Set(own.map((folder) => idOf(manifest(folder, root))))].sort();
}

/** By the folder of a package of which something is in a bundle, "" for the project itself: the folders of those that it imports. */
function importsOf({ inputs, outputs }: Metafile): Map<string, Set<string>> {
  const found = new Map<string, Set<string>>();
  for (const output of Object.values(outputs)) {
    for (const [file, { bytesInOutput }] of Object.entries(output.inputs)) {
      if (bytesInOutput === 0) continue;
      const from = folderOf(file);
      const targets = found.get(from) ?? new Set();
      found.set(from, targets);
      for (const { path, external } of inputs[file]?.imports ?? []) {
        const to = folderOf(path);
        if (external !== true && to !== from && to !== "") targets.add(to);
      }
    }
  }
  return found;
}

/** From its first node_modules on, as the lockfile has it. */
function folderOf(file: string): string {
  return /(?:^|[/:])(node_modules\/(?:.*\/node_modules\/)?(?:@[^/]+\/)?[^/]+)\//.exec(file)?.[1] ?? "";
}

function manifest(folder: string, root: string): { name: string; version: string; license?: unknown } {
  return JSON.parse(readFileSync(join(root, folder, "package.json"), "utf8"));
}

function read(folder: string, root: string, { packages }: Lock): Omit<Shipped, "imports"> {
  const { name, version, license } = manifest(folder, root);
  const locked = packages[folder];
  if (locked?.version !== version || locked.integrity === undefined)
    throw new Error(
      `${folder} is ${version}, and in package-lock.json it is ${locked?.version} with integrity ${locked?.integrity}: run npm ci`,
    );
  const licence = MEANT[`${name} ${license}`] ?? license;
  if (typeof licence !== "string" || !ALLOWED.includes(licence))
    throw new Error(
      `${idOf({ name, version })} would be shipped, and its licence is ${JSON.stringify(license)}: do without it, or, once someone has read it, add it to ALLOWED or MEANT in packaging/shipped.ts`,
    );
  return { name, version, licence, licenceText: licenceText(join(root, folder)), integrity: locked.integrity };
}

function licenceText(folder: string): string {
  const names = readdirSync(folder).sort();
  const files = names.filter((name) => /^(?:licen[cs]e|copying|notice)/i.test(name));
  if (files.length > 0) return files.map((name) => readFileSync(join(folder, name), "utf8").trim()).join("\n\n");
  const readme = names.find((name) => /^readme/i.test(name));
  const text = readme === undefined ? "" : readFileSync(join(folder, readme), "utf8");
  return (
    /^(?:#+ *)?licen[cs]e *\r?\n(?:-+\r?\n)?(?<section>(?:(?!#).*(?:\r?\n|$))*)/im
      .exec(text)
      ?.groups?.["section"]?.trim() ?? ""
  );
}
