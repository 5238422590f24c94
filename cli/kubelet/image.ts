/** An image's name as a pod has it: which host, and which repository there. */

import { formatScope, parseScope } from "../../shared/policy/scope.ts";

export interface Image {
  /** With its port, as it is written. */
  readonly host: string;
  /** To pull exactly this repository. */
  readonly scope: string;
}

/**
 * Tag and digest say nothing of rights. The first part is a host where it has a dot or a port, or is `localhost`; else it is of
 * Docker Hub: https://github.com/distribution/reference.
 */
export function parseImage(text: string): Image | { readonly problem: string } {
  const [name = ""] = text.split("@", 1);
  const slash = name.indexOf("/");
  const host = name.slice(0, slash);
  if (slash === -1 || !(/[.:]/.test(host) || host === "localhost")) return { problem: `${shown(text)} has no host` };
  const path = name.slice(slash + 1).replace(/:[^/:]*$/, "");
  const parsed = parseScope(`repository:${path}:pull`);
  if ("problem" in parsed || parsed.scope.repository === "*") {
    return {
      problem: `${shown(text)} is not HOST/<namespace>/<repository>, as all images of ACR Enterprise Edition are`,
    };
  }
  return { host, scope: formatScope(parsed.scope) };
}

function shown(text: string): string {
  return JSON.stringify(text.slice(0, 300));
}
