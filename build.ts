/**
 * `npm run build`: dist/ is what `s deploy` uploads: what starts with `node server.cjs`, and the policy, as it
 * was written and compiled; and what it is made of, with checksums: docs/supply-chain.md.
 * build/ is what stays here, and what the npm package has: the command line (CommonJS, since it starts some 10 ms earlier than
 * the same as ESM), and the SDK with its types.
 */

import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import {
  chmodSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { readFile } from "node:fs/promises";
import { dirname, isAbsolute, join, relative, resolve } from "node:path";
import { gzipSync } from "node:zlib";
import { type BuildOptions, build, type Metafile, type OnResolveArgs, type OnResolveResult } from "esbuild";
import { sha256, WRAPPER } from "./functions/broker/code-cache/load.ts";
import { makeCaches } from "./functions/broker/code-cache/make.ts";
import { VENDORS_CODE, whenNeeded } from "./functions/broker/code-cache/when-needed.ts";
import { reference } from "./functions/broker/reference/reference.ts";
import packageJson from "./package.json" with { type: "json" };
import { describe, sum } from "./packaging/describe.ts";
import { merged } from "./packaging/shipped.ts";
import { compile, type Source } from "./shared/config/compiled.ts";
import { type BrokerConfig, ConfigError } from "./shared/config/config.ts";
import { loadConfig } from "./shared/config/load.ts";

const MAKING = "dist.making";

/** What the files of each of the two packages were made of. */
const made: Readonly<Record<"dist" | "build", Metafile[]>> = { dist: [], build: [] };

const BUNDLE = {
  bundle: true,
  platform: "node",
  // The oldest Node that it must start under.
  target: "node20",
  format: "cjs",
  minify: true,
  // Frames in the log keep their functions' names.
  keepNames: true,
  metafile: true,
} satisfies BuildOptions;

/** Which loader it is that compiles policies, and that a policy must have been compiled by to be used: shared/config/compiled.ts. */
const loader = await loaderId();
const define = { ACR_BROKER_LOADER: JSON.stringify(loader) };

// First, so that `acr-broker check` is there to say what is wrong with a policy that stops the build further down.
for (const name of ["acr-broker", "docker-credential-acr-broker"]) {
  const outfile = `build/${name}.cjs`;
  const { metafile } = await build({
    ...BUNDLE,
    define,
    entryPoints: [`cli/${name}.ts`],
    outfile,
    banner: { js: "#!/usr/bin/env node" },
  });
  chmodSync(outfile, 0o755);
  made.build.push(metafile);
}

// For any runtime: one file that reads like its source, whose bundler is the user's.
const sdk = await build({
  bundle: true,
  platform: "neutral",
  target: "es2022",
  format: "esm",
  entryPoints: ["shared/client/index.ts"],
  outfile: "build/client.js",
  metafile: true,
});
made.build.push(sdk.metafile);
describe("build", merged(made.build), ".");
declareTypes("build/types");

const policy = process.env["BROKER_CONFIG"] || "broker.yaml";
const { config, sources } = checkedPolicy(policy, "broker.yaml");
/** It is packed, and not compiled: what serves must not hang on it. */
const shadow =
  config.shadow === undefined ? [] : checkedPolicy(join(dirname(policy), config.shadow), config.shadow).sources;

// Made beside dist/ and put in its place when whole: half a package must not be there to be uploaded.
rmSync(MAKING, { recursive: true, force: true });
mkdirSync(MAKING);
await buildCode();
for (const { name, bytes } of [...sources, ...shadow]) {
  mkdirSync(join(MAKING, dirname(name)), { recursive: true });
  writeFileSync(join(MAKING, name), bytes);
}
writeFileSync(join(MAKING, "broker.compiled.json"), compile(config, sources, loader));
describe(MAKING, merged(made.dist), ".");
sum(MAKING);
rmSync("dist", { recursive: true, force: true });
renameSync(MAKING, "dist");
// Not in the npm package: what the tests, and whoever wonders at a size, look at.
for (const [name, metafiles] of Object.entries(made))
  writeFileSync(`build/${name}.meta.json`, JSON.stringify(merged(metafiles)));

/**
 * server.cjs, the code that it loads, and V8's caches of that: functions/broker/code-cache/load.ts. What only some starts need, or
 * none before its first credential, is a file of its own.
 */
async function buildCode(): Promise<void> {
  const parts: Readonly<Record<string, string>> = {
    "broker.cjs": "functions/broker/server.ts",
    "policy.cjs": "shared/config/load.ts",
    "alibaba.cjs": "shared/alibaba/vendor.ts",
    "redis.cjs": "shared/store/client.ts",
    "otel.cjs": "shared/audit/otel.ts",
  };
  const [js, end] = WRAPPER;
  for (const [name, entry] of Object.entries(parts)) {
    const { metafile } = await build({
      ...BUNDLE,
      define: {
        ...define,
        ACR_BROKER_REFERENCE: JSON.stringify(packedReference()),
        // lru-cache asks for it when it is loaded, and Node then makes all of node:perf_hooks; without it, it takes Date. OpenTelemetry cannot.
        ...(name === "otel.cjs" ? {} : { performance: "undefined" }),
      },
      entryPoints: [entry],
      outfile: join(MAKING, name),
      legalComments: "linked",
      // Of OpenTelemetry as CommonJS four fifths are never used and cannot be left out.
      ...(name === "otel.cjs" ? { mainFields: ["module", "main"] } : {}),
      banner: { js },
      footer: { js: end },
      // The code cache is V8's, of a script that knows of no imports.
      supported: { "dynamic-import": false },
      plugins: [
        { name: "parts", setup: ({ onResolve }) => onResolve({ filter: /^\./ }, partOf(entry, parts)) },
        {
          name: "when needed",
          setup: ({ onLoad }) =>
            onLoad({ filter: VENDORS_CODE }, async ({ path }) => ({
              contents: whenNeeded(await readFile(path, "utf8")),
            })),
        },
      ],
    });
    made.dist.push(metafile);
    const strange = /[^\0-\x7f]+/.exec(readFileSync(join(MAKING, name), "utf8"))?.[0];
    // load.ts reads it as Latin-1, which is quicker. esbuild escapes all but what is in a regular expression.
    if (strange !== undefined)
      throw new Error(`${name} has "${strange}" in it: write \\u and four digits in the source`);
    if (name === "broker.cjs") nameWhileLoading(join(MAKING, name));
  }
  const warmUp = join(MAKING, "warm-up.cjs");
  await build({ ...BUNDLE, entryPoints: ["functions/broker/code-cache/warm-up.ts"], outfile: warmUp });
  await makeCaches({ folder: MAKING, warmUp: resolve(warmUp), loader, now: new Date() }, nodes());
  rmSync(warmUp);
  const files = readdirSync(MAKING, { recursive: true, encoding: "utf8" })
    .filter((file) => file.endsWith(".cjs"))
    .sort();
  const digests = Object.fromEntries(files.map((file) => [file, sha256(readFileSync(join(MAKING, file)))]));
  const { metafile } = await build({
    ...BUNDLE,
    // Not by `define`: the digests of V8's caches are others each time, and by what a file says esbuild chooses its short names.
    banner: { js: `"use strict";const ACR_BROKER_CODE=${JSON.stringify(digests)};` },
    entryPoints: ["functions/broker/code-cache/launch.ts"],
    outfile: join(MAKING, "server.cjs"),
  });
  made.dist.push(metafile);
}

/** Leaves an import of another part's first file to be required when the code runs. */
function partOf(entry: string, parts: Readonly<Record<string, string>>) {
  return ({ kind, path, resolveDir }: OnResolveArgs): OnResolveResult | undefined => {
    if (kind !== "dynamic-import") return undefined;
    const wanted = relative(".", join(resolveDir, path));
    const part = Object.entries(parts).find(([, start]) => start === wanted && start !== entry);
    return part && { path: `./${part[0]}`, external: true };
  };
}

/** The Node that builds, and the one of s.yaml where `npm run nodes` has fetched it. A cache for each more would go up with every deployment. */
function nodes(): string[] {
  const deployed = ".nodes/node_modules/node-22/bin/node";
  return existsSync(deployed) ? [process.execPath, deployed] : [process.execPath];
}

/**
 * esbuild keeps names by a call for each function that is made, also for the dozens that each request makes: a fifth of a cached answer.
 * Here only what is made while the file loads keeps its name; that is what frames are told by.
 */
function nameWhileLoading(file: string): void {
  const text = readFileSync(file, "utf8");
  const keeper = /var ([\w$]+)=\(([\w$]+),([\w$]+)\)=>[\w$]+\(\2,"name",\{value:\3,configurable:!0\}\);/;
  if (!keeper.test(text)) throw new Error(`esbuild keeps the names in ${file} in another way than it did`);
  writeFileSync(
    file,
    text.replace(keeper, (all, name, made) => `${all}setImmediate(()=>{${name}=${made}=>${made}});`),
  );
}

/** The API's description, as functions/broker/routes/reference.ts unpacks it. */
function packedReference(): string {
  return gzipSync(JSON.stringify(reference()), { level: 9 }).toString("base64");
}

/** The package's version, and the SHA-256 of the loader with all that it is made of: any change to it may be one of what a policy means. */
async function loaderId(): Promise<string> {
  const { outputFiles } = await build({ ...BUNDLE, entryPoints: ["shared/config/load.ts"], write: false });
  const code = createHash("sha256");
  for (const { contents } of outputFiles) code.update(contents);
  return `${packageJson.version} ${code.digest("hex")}`;
}

/** Compiled without Node's types, so that the SDK cannot come to need them. */
function declareTypes(folder: string): void {
  rmSync(folder, { recursive: true, force: true });
  execFileSync(process.execPath, ["node_modules/typescript/bin/tsc", "-p", "tsconfig.client.json"], {
    stdio: "inherit",
  });
  // The compiler leaves the sources' `.ts` in them, which means nothing to whoever has only the declarations.
  for (const name of readdirSync(folder, { recursive: true, encoding: "utf8" })) {
    if (!name.endsWith(".d.ts")) continue;
    const file = join(folder, name);
    writeFileSync(file, readFileSync(file, "utf8").replace(/(from "\.[^"]*)\.ts"/g, '$1.js"'));
  }
}

/**
 * The policy, checked before anything is replaced, and the files that it is made of, by their names in the package, where it
 * is to be `packaged`. Ends the build with the policy's problems, where it has any.
 */
function checkedPolicy(file: string, packaged: string): { config: BrokerConfig; sources: Source[] } {
  const sources: Source[] = [];
  try {
    const config = loadConfig(file, ({ name, bytes }) =>
      sources.push({
        name: sources.length === 0 ? packaged : isAbsolute(name) ? name : join(dirname(packaged), name),
        bytes,
      }),
    );
    const outside = sources.find(({ name }) => isAbsolute(name) || relative(".", name).startsWith(".."));
    if (outside === undefined) return { config, sources };
    const message = `${outside.name}: must lie beside or below the policy, to be in the package`;
    throw new ConfigError([{ file: policy, line: 1, column: 1, message }]);
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    process.stderr.write(`${error.message}\nnot built: ${file} has to be mended first; dist/ is as it was\n`);
    process.exit(1);
  }
}
