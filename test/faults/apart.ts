/**
 * Observes what needs another Node: one that believes the CA of the tests, since the vendor's client takes none of its own. Run with
 * NODE_EXTRA_CA_CERTS; tells its parent what it has seen.
 */

import { readFileSync } from "node:fs";
import { makeCa } from "../certificates.ts";
import { FAULTS } from "./faults.ts";
import { combinations, observe, surroundings } from "./observe.ts";

const [, , folder, withRedis] = process.argv;
const around = await surroundings(withRedis === "redis", makeCa(JSON.parse(readFileSync(`${folder}/ca.json`, "utf8"))));
for (const { at, name } of combinations()) {
  if (!FAULTS[name]?.tls || (at === "Redis" && around.redis === undefined)) continue;
  process.send?.({ at, name, observed: await observe(at, name, around).catch((error) => String(error)) });
}
await around.close();
process.disconnect?.();
