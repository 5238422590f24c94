/** The bills of materials of dist/ and of the npm package. Needs `npm run build`. */

import { spawnSync } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { Spec, Validation } from "@cyclonedx/cyclonedx-library";
import { describe, expect, test } from "vitest";

const ROOT = fileURLToPath(new URL("../../", import.meta.url));
const read = (file: string) => readFileSync(join(ROOT, file), "utf8");

interface Component {
  readonly "bom-ref": string;
  readonly purl: string;
  readonly name: string;
  readonly version: string;
  readonly licenses: readonly { readonly license: { readonly id: string } }[];
  readonly externalReferences: readonly { readonly hashes: readonly { readonly content: string }[] }[];
}
interface Bill {
  readonly metadata: { readonly component: Component };
  readonly components: readonly Component[];
  readonly dependencies: readonly { readonly ref: string; readonly dependsOn: readonly string[] }[];
}

/** Apart from ours, by those who make the format: what CycloneDX's own tool finds in the same metafile. */
function byCycloneDx(metafile: string): Bill {
  const tool = join(ROOT, "node_modules/@cyclonedx/cyclonedx-esbuild/bin/cyclonedx-esbuild-cli.js");
  const { stdout, stderr } = spawnSync(process.execPath, [tool, "--output-file", "-", metafile], {
    cwd: ROOT,
    encoding: "utf8",
  });
  if (stdout === "") throw new Error(stderr);
  return JSON.parse(stdout) as Bill;
}

/** Its tool has a component for what a build defines, too, without a purl, and leaves a licence that is no identifier as it is. */
const told = ({ components }: Bill) =>
  components.flatMap(({ purl, licenses }) =>
    purl === undefined ? [] : [`${purl.split("?")[0]} ${licenses[0]?.license.id ?? "Apache-2.0"}`],
  );

describe.each(["dist", "build"])("%s/sbom.cdx.json", (folder) => {
  const text = read(`${folder}/sbom.cdx.json`);
  const bill = JSON.parse(text) as Bill;

  test("is valid by CycloneDX's schema, which refuses it without a name", async () => {
    const validator = new Validation.JsonStrictValidator(Spec.Version.v1dot6);
    expect(await validator.validate(text)).toBeNull();
    expect(await validator.validate(text.replace(/"name": "yaml",/, ""))).not.toBeNull();
  });

  test("has the packages and licences that CycloneDX's tool finds in the bundles, and no others", () => {
    expect(bill.components.length).toBeGreaterThan(1);
    const theirs = [...new Set(told(byCycloneDx(`build/${folder}.meta.json`)))];
    expect(told(bill).sort()).toEqual(theirs.sort());
  });

  test("gives each the hash that the lockfile holds its tarball to", () => {
    const { packages } = JSON.parse(read("package-lock.json")) as {
      packages: Record<string, { version: string; integrity: string }>;
    };
    for (const { purl, externalReferences } of bill.components) {
      const [, name, version] = /^pkg:npm\/(.*)@(.*)$/.exec(decodeURIComponent(purl)) ?? [];
      const locked = Object.entries(packages).find(
        ([path, entry]) => path.endsWith(`node_modules/${name}`) && entry.version === version,
      );
      const hash = Buffer.from(externalReferences[0]?.hashes[0]?.content ?? "", "hex").toString("base64");
      expect([purl, locked?.[1].integrity]).toEqual([purl, `sha512-${hash}`]);
    }
  });

  test("tells by which way each package came in", () => {
    const reached = new Set([bill.metadata.component["bom-ref"]]);
    const targets = new Map(bill.dependencies.map(({ ref, dependsOn }) => [ref, dependsOn]));
    for (const ref of reached) for (const target of targets.get(ref) ?? []) reached.add(target);
    expect([...reached].sort()).toEqual(
      [bill.metadata.component, ...bill.components].map((component) => component["bom-ref"]).sort(),
    );
  });

  test("THIRD-PARTY-LICENSES has the licence file of each, word for word", () => {
    const licences = read(`${folder}/THIRD-PARTY-LICENSES`);
    const metafile = JSON.parse(read(`build/${folder}.meta.json`)) as { inputs: Record<string, unknown> };
    for (const { purl } of bill.components) {
      const id = decodeURIComponent(purl).slice("pkg:npm/".length);
      expect(licences).toContain(`\n${id}\n`);
      const name = id.slice(0, id.lastIndexOf("@"));
      const packageFolders = new Set(
        Object.keys(metafile.inputs).flatMap((file) => {
          const end = file.lastIndexOf(`node_modules/${name}/`);
          return end < 0 ? [] : [file.slice(0, end + `node_modules/${name}`.length)];
        }),
      );
      expect(packageFolders.size).toBeGreaterThan(0);
      for (const at of packageFolders)
        for (const file of readdirSync(join(ROOT, at)).filter((found) => /^licen[cs]e/i.test(found)))
          expect(licences).toContain(read(join(at, file)).trim());
    }
    if (bill.components.some(({ licenses }) => licenses[0]?.license.id === "Apache-2.0"))
      expect(licences).toContain("TERMS AND CONDITIONS FOR USE, REPRODUCTION, AND DISTRIBUTION");
  });
});
