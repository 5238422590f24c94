/** What `node server.cjs` runs: the broker's code by way of its cache. Small, since this file itself has none. */

import { setFlagsFromString } from "node:v8";
import { code, type Digests } from "./load.ts";

/** Set by `npm run build`. */
declare const ACR_BROKER_CODE: Digests;
declare const module: { require(name: string): unknown };

/**
 * Of V8's heap: young objects get about as much room as they have by then, and not 16 MB; old ones are collected when there are a fifth more
 * of them, and not several times as many (docs/performance/memory.md). A flag that another V8 does not know is told of on standard error, and does
 * nothing.
 */
const HEAP_FLAGS = ["--semi-space-growth-factor=1", "--heap-growing-percent=20"];
/** When the first credential has been given out: a start with these takes a fifth longer, and V8 refuses a cache that was made without them. */
const LATER_MS = 100;

const { load, loaded } = code(
  __dirname,
  ACR_BROKER_CODE,
  (name) => module.require(name),
  () => {
    setTimeout(() => {
      for (const flag of HEAP_FLAGS) setFlagsFromString(flag);
    }, LATER_MS).unref();
  },
);
const { serve } = load("broker.cjs") as typeof import("../server.ts");
serve(loaded.get("broker.cjs")?.fromCache === true);
