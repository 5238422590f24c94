/**
 * `npm run docs`: what is made from the schema of broker.yaml, for editors and for readers, from the one login of the CI recipes,
 * and from what `npm run bench` measured.
 */

import { writeFileSync } from "node:fs";
import { allKept } from "../bench/results.ts";
import { editorSchema } from "../shared/config/schema.ts";
import { performancePage } from "./performance.ts";
import { policyReference } from "./policy-reference.ts";
import { recipes } from "./recipes.ts";

const schema = editorSchema();
writeFileSync(new URL("broker.schema.json", import.meta.url), JSON.stringify(schema, null, 2));
writeFileSync(new URL("policy-reference.md", import.meta.url), policyReference(schema));
writeFileSync(new URL("performance.md", import.meta.url), performancePage(allKept()));
for (const [file, text] of recipes()) writeFileSync(new URL(`../${file}`, import.meta.url), text);
