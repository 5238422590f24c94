/**
 * `npm run build`: dist/ is what `s deploy` uploads: one file that starts with `node server.cjs`, and the policy.
 * build/ is what stays here: the command line. CommonJS, since it starts some 10 ms earlier than the same as ESM.
 */

import { chmodSync, copyFileSync, mkdirSync, renameSync, rmSync } from "node:fs";
import { dirname, isAbsolute, join, relative } from "node:path";
import { type BuildOptions, build } from "esbuild";
import { ConfigError } from "./shared/config/config.ts";
import { loadConfig } from "./shared/config/load.ts";

const MAKING = "dist.making";

const BUNDLE = {
  bundle: true,
  platform: "node",
  // The oldest Node that it must start under.
  target: "node20",
  format: "cjs",
  minify: true,
  // Frames in the log keep their functions' names.
  keepNames: true,
} satisfies BuildOptions;

// First, so that `acr-broker check` is there to say what is wrong with a policy that stops the build further down.
await build({
  ...BUNDLE,
  entryPoints: ["cli/acr-broker.ts"],
  outfile: "build/acr-broker.cjs",
  banner: { js: "#!/usr/bin/env node" },
});
chmodSync("build/acr-broker.cjs", 0o755);

/** The policy, checked before anything is replaced, and the files that it names: key sets, and a shadow policy with its own. */
const policy = process.env["BROKER_CONFIG"] || "broker.yaml";
const named = namedFiles(policy);

// Made beside dist/ and put in its place when whole: half a package must not be there to be uploaded.
rmSync(MAKING, { recursive: true, force: true });
mkdirSync(MAKING);
await build({
  ...BUNDLE,
  entryPoints: ["functions/broker/server.ts"],
  outfile: join(MAKING, "server.cjs"),
  legalComments: "linked",
});
copyFileSync(policy, join(MAKING, "broker.yaml"));
for (const path of named) {
  mkdirSync(join(MAKING, dirname(path)), { recursive: true });
  copyFileSync(join(dirname(policy), path), join(MAKING, path));
}
rmSync("dist", { recursive: true, force: true });
renameSync(MAKING, "dist");

/** Relative to the policy; `withShadow`: also its shadow policy, whose own shadow counts for nothing. Ends the build with a policy's problems. */
function namedFiles(policy: string, withShadow = true): string[] {
  try {
    const { issuers, redis, shadow } = loadConfig(policy);
    const ca = redis?.tls ? redis.tls.ca : undefined;
    const files = [
      ...[...issuers.values()].flatMap((issuer) => {
        if (issuer.provider === "alibaba") return [];
        const field = (name: string) => `issuers.${issuer.name}.${name}`;
        return [
          ...(issuer.keys.from === "file" ? [besidePolicy(policy, issuer.keys.path, field("jwks_file"))] : []),
          ...(issuer.ca === undefined ? [] : [besidePolicy(policy, issuer.ca.path, field("ca_file"))]),
        ];
      }),
      ...(ca === undefined ? [] : [besidePolicy(policy, ca.path, "redis.ca_file")]),
    ];
    if (shadow === undefined || !withShadow) return files;
    const second = besidePolicy(policy, shadow, "shadow");
    const itsFiles = namedFiles(join(dirname(policy), second), false).map((path) => join(dirname(second), path));
    return [...files, second, ...itsFiles];
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    process.stderr.write(`${error.message}\nnot built: ${policy} has to be mended first; dist/ is as it was\n`);
    process.exit(1);
  }
}

function besidePolicy(policy: string, written: string, field: string): string {
  const path = relative(".", written);
  if (!path.startsWith("..") && !isAbsolute(written)) return path;
  const message = `${field}: must lie beside or below the policy, to be in the package`;
  throw new ConfigError([{ file: policy, line: 1, column: 1, message }]);
}
