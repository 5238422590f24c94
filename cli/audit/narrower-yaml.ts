/** Narrower grants as they would stand in the policy: the file's own text, with another `allow`. */

import { Document, isMap, parseDocument } from "yaml";

/** `policy` is the text of a policy that loads; each grant of `allows` is one of its own. */
export function narrowerYaml(policy: string, allows: ReadonlyMap<string, readonly string[]>): string {
  const document = parseDocument(policy);
  const out = new Document({ grants: {} });
  for (const [name, allow] of allows) {
    const grant = document.getIn(["grants", name], true);
    if (!isMap(grant)) throw new Error("a grant of the policy is not in its text");
    grant.set("allow", document.createNode(allow, { flow: allow.length <= 2 }));
    // A repository is made by its first push; without one the policy would not load.
    if (!allow.some((scope) => /[:,]push$/.test(scope))) grant.delete("create_repository");
    out.setIn(["grants", name], grant);
  }
  return out.toString({ lineWidth: 0 });
}
