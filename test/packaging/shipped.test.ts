import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { build } from "esbuild";
import { afterEach, beforeEach, expect, test } from "vitest";
import { directly, idOf, shipped } from "../../packaging/shipped.ts";

let root: string;
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), "shipped-"));
});
afterEach(() => rmSync(root, { recursive: true }));

function write(files: Readonly<Record<string, string>>): void {
  for (const [name, text] of Object.entries(files)) {
    mkdirSync(join(root, dirname(name)), { recursive: true });
    writeFileSync(join(root, name), text);
  }
}

const MIT = { version: "1.0.0", license: "MIT" };

/** A project that uses a, of which a/used uses b, and a/unused uses c. */
async function project(manifests: Readonly<Record<string, object>> = {}, locked: object = {}) {
  const packages = { a: MIT, b: MIT, c: MIT, ...manifests };
  for (const [name, manifest] of Object.entries(packages))
    write({ [`node_modules/${name}/package.json`]: JSON.stringify({ name, sideEffects: false, ...manifest }) });
  write({
    "index.js": 'import { used } from "a"; console.log(used());',
    "node_modules/a/index.js": 'export { used } from "./used.js"; export { unused } from "./unused.js";',
    "node_modules/a/used.js": 'import { b } from "b"; export const used = () => b();',
    "node_modules/a/unused.js": 'import { c } from "c"; export const unused = () => c();',
    "node_modules/b/index.js": "export const b = () => 1;",
    "node_modules/c/index.js": "export const c = () => 1;",
    "package-lock.json": JSON.stringify({
      packages: Object.fromEntries(
        Object.keys(packages).map((name) => [
          `node_modules/${name}`,
          { version: "1.0.0", integrity: `sha512-${name}`, ...locked },
        ]),
      ),
    }),
  });
  const { metafile } = await build({
    absWorkingDir: root,
    entryPoints: ["index.js"],
    outfile: "out.js",
    bundle: true,
    write: false,
    metafile: true,
    format: "esm",
  });
  return metafile;
}

test("what is shipped is what is in a bundle, and not what is left out of it", async () => {
  const metafile = await project({ c: { ...MIT, license: "SSPL-1.0" } });
  expect(shipped(metafile, root).map((one) => [idOf(one), one.imports, one.integrity])).toEqual([
    ["a@1.0.0", ["b@1.0.0"], "sha512-a"],
    ["b@1.0.0", [], "sha512-b"],
  ]);
  expect(directly(metafile, root)).toEqual(["a@1.0.0"]);
});

test.each([
  ["that is not allowed", { license: "GPL-3.0-only" }, '"GPL-3.0-only"'],
  ["of a choice that nobody has made", { license: "MIT OR GPL-3.0-only" }, '"MIT OR GPL-3.0-only"'],
  ["in a file that nobody has read", { license: "SEE LICENSE IN LICENSE" }, '"SEE LICENSE IN LICENSE"'],
  ["that is an old list", { license: undefined, licenses: [{ type: "MIT" }] }, "undefined"],
  ["that is not told", { license: undefined }, "undefined"],
])("a licence %s is refused, and the package named", async (_, manifest, told) => {
  const metafile = await project({ b: { ...MIT, ...manifest } });
  expect(() => shipped(metafile, root)).toThrow(
    `b@1.0.0 would be shipped, and its licence is ${told}: do without it, or, once someone has read it, add it`,
  );
});

test.each([
  ["of another version", { version: "1.0.1" }],
  ["without integrity", { integrity: undefined }],
])("a package that the lockfile has %s is refused", async (_, locked) => {
  const metafile = await project({}, locked);
  expect(() => shipped(metafile, root)).toThrow(
    /^node_modules\/[ab] is 1\.0\.0, and in package-lock\.json it is .*npm ci$/,
  );
});

test.each([
  [
    "its licence and its notice",
    { LICENSE: "the licence\n", NOTICE: "the notice\n", "README.md": "License\n---\nno" },
    "the licence\n\nthe notice",
  ],
  [
    "what its README says under an underlined heading",
    { "README.md": "# a\n\nLicense\n-------\n\n(MIT)\n\nCopyright me\n" },
    "(MIT)\n\nCopyright me",
  ],
  [
    "what its README says under a heading, to the next one",
    { "README.md": "# a\n## License\nMIT, by me\n## More\nx" },
    "MIT, by me",
  ],
  ["nothing", { "README.md": "# a\nNothing of licences\n" }, ""],
])("of a package's licence is told: %s", async (_, files, told) => {
  const metafile = await project();
  write(Object.fromEntries(Object.entries(files).map(([name, text]) => [`node_modules/a/${name}`, text])));
  expect(shipped(metafile, root)[0]?.licenceText).toBe(told);
});
