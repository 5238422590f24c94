/** What `node server.cjs` runs: the broker's code by way of its cache. Small, since this file itself has none. */

import { code, type Digests } from "./load.ts";

/** Set by `npm run build`. */
declare const ACR_BROKER_CODE: Digests;
declare const module: { require(name: string): unknown };

const { load, loaded } = code(__dirname, ACR_BROKER_CODE, (name) => module.require(name));
const { serve } = load("broker.cjs") as typeof import("../server.ts");
serve(loaded.get("broker.cjs")?.fromCache === true);
