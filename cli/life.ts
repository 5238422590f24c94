/** How long a credential lives, for a person. */

import type { Credentials } from "../shared/client/credentials.ts";

/** `in 29 min (2026-06-01T12:30:00Z)`. */
export function lifeText({ expiresInSeconds, expiresAt }: Pick<Credentials, "expiresInSeconds" | "expiresAt">): string {
  const minutes = Math.floor(expiresInSeconds / 60);
  const left =
    minutes >= 120 ? `${Math.floor(minutes / 60)} h` : minutes > 0 ? `${minutes} min` : `${expiresInSeconds} s`;
  return `in ${left} (${expiresAt.toISOString().replace(/\.\d+Z$/, "Z")})`;
}
