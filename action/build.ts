/** `npm run action`: main.cjs and post.cjs, which GitHub runs as they stand in the repository. They read like their sources. */

import { fileURLToPath } from "node:url";
import { type BuildOptions, build } from "esbuild";

const FOLDER = fileURLToPath(new URL(".", import.meta.url));

export const BUNDLES = {
  bundle: true,
  platform: "node",
  target: "node24",
  format: "cjs",
  absWorkingDir: FOLDER,
  entryPoints: ["main.ts", "post.ts"],
  outdir: FOLDER,
  outExtension: { ".js": ".cjs" },
  logLevel: "warning",
} satisfies BuildOptions;

if (process.argv[1] === fileURLToPath(import.meta.url)) await build(BUNDLES);
