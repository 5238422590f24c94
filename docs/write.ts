/**
 * `npm run docs`: what is made from the schemas of broker.yaml and of the audit events, for editors and for readers, from the one
 * login of the CI recipes, and from what `npm run bench` measured and simulated.
 */

import { mkdirSync, writeFileSync } from "node:fs";
import { allKept } from "../bench/results.ts";
import { simulated } from "../bench/scenarios.ts";
import { eventSchema } from "../shared/audit/event-schema.ts";
import { editorSchema } from "../shared/config/schema.ts";
import { performancePage } from "./performance.ts";
import { policyReference } from "./policy-reference.ts";
import { recipes } from "./recipes.ts";
import { simulationPages } from "./simulation.ts";

const schema = editorSchema();
writeFileSync(new URL("broker.schema.json", import.meta.url), JSON.stringify(schema, null, 2));
writeFileSync(new URL("audit-event.schema.json", import.meta.url), JSON.stringify(eventSchema(), null, 2));
writeFileSync(new URL("policy-reference.md", import.meta.url), policyReference(schema));
writeFileSync(new URL("performance.md", import.meta.url), performancePage(allKept()));
mkdirSync(new URL("performance/", import.meta.url), { recursive: true });
for (const [file, text] of simulationPages(simulated()))
  writeFileSync(new URL(`performance/${file}`, import.meta.url), text);
for (const [file, text] of recipes()) writeFileSync(new URL(`../${file}`, import.meta.url), text);
