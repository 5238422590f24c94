/** A token that something else keeps in a file: read again for each request, since it may be renewed at any time. */

import { IdentityError } from "../errors.ts";
import type { Outside } from "../outside.ts";
import type { IdentitySource } from "./identity.ts";

export function tokenFile(path: string): IdentitySource {
  return { name: `the file ${path}`, token: ({ outside }) => readTokenFile(path, outside) };
}

/** Where docs/callers/kubernetes.md has it mounted. */
export const KUBERNETES_TOKEN_FILE = "/var/run/secrets/acr-broker/token";

/** A projected service-account token with the broker's audience; the kubelet renews the file. */
export function kubernetes(path = KUBERNETES_TOKEN_FILE): IdentitySource {
  return { ...tokenFile(path), name: `the service-account token ${path}` };
}

/** @throws IdentityError identity_failed, which names the file and the system's code */
export async function readTokenFile(path: string, { readFile }: Outside): Promise<string> {
  try {
    return await readFile(path);
  } catch (error) {
    const { code } = error as { code?: unknown };
    const why = typeof code === "string" && /^E[A-Z]{2,20}$/.test(code) ? code : "this runtime could not read it";
    throw new IdentityError("identity_failed", `the token file ${path} could not be read: ${why}`);
  }
}
