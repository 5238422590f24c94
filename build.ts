/**
 * `npm run build`: dist/ is what `s deploy` uploads: one file that starts with `node server.cjs`, and the policy.
 * build/ is what stays here: the command line. CommonJS, since it starts some 10 ms earlier than the same as ESM.
 */

import { chmodSync, copyFileSync, mkdirSync, rmSync } from "node:fs";
import { dirname, isAbsolute, join, relative } from "node:path";
import { type BuildOptions, build } from "esbuild";
import { loadConfig } from "./shared/config/load.ts";

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

rmSync("dist", { recursive: true, force: true });
mkdirSync("dist");
await build({
  ...BUNDLE,
  entryPoints: ["functions/broker/server.ts"],
  outfile: "dist/server.cjs",
  legalComments: "linked",
});

/** The policy, checked before it ships, and the key sets that it pins. */
const policy = process.env["BROKER_CONFIG"] ?? "broker.yaml";
const config = loadConfig(policy);
copyFileSync(policy, "dist/broker.yaml");
for (const issuer of config.issuers.values()) {
  if (issuer.provider === "alibaba" || issuer.keys.from !== "file") continue;
  const path = relative(".", issuer.keys.path);
  if (path.startsWith("..") || isAbsolute(issuer.keys.path)) {
    throw new Error(
      `${policy}: issuer ${issuer.name}: jwks_file must lie beside or below the policy, to be in the package`,
    );
  }
  mkdirSync(join("dist", dirname(path)), { recursive: true });
  copyFileSync(join(dirname(policy), path), join("dist", path));
}
