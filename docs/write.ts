/** `npm run docs`: what is made from the schema of broker.yaml, for editors and for readers. */

import { writeFileSync } from "node:fs";
import { editorSchema } from "../shared/config/schema.ts";
import { policyReference } from "./policy-reference.ts";

const schema = editorSchema();
writeFileSync(new URL("broker.schema.json", import.meta.url), JSON.stringify(schema, null, 2));
writeFileSync(new URL("policy-reference.md", import.meta.url), policyReference(schema));
