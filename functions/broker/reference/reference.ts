/** The API's description as it is served: the document and the page. */

import packageJson from "../../../package.json" with { type: "json" };
import { openApi } from "./document.ts";
import { page } from "./page.ts";

export interface Reference {
  /** The OpenAPI document, as JSON. */
  readonly json: string;
  readonly html: string;
  /** The page's. */
  readonly contentSecurityPolicy: string;
}

export function reference(): Reference {
  const api = openApi(packageJson.version);
  return { json: `${JSON.stringify(api)}\n`, ...page(api) };
}
