/** `GET /healthz`, `GET /readyz`, `GET /version`: no identity needed, nothing secret told. */

import type { RoleKeys } from "../../../shared/alibaba/role-keys.ts";
import { BrokerError } from "../../../shared/error.ts";
import type { Broker } from "../app.ts";
import type { Blocks } from "../blocks.ts";
import { json } from "../http/answer.ts";

/** The state of this process. */
export interface Health {
  draining: boolean;
  keysExpired: boolean;
  /** Requests under way, the one that asks included. */
  inFlight: number;
  /** Called once, when no request is under way. */
  readonly onIdle: (() => void)[];
}

/** One request fewer is under way. */
export function leave(health: Health): void {
  health.inFlight--;
  if (health.inFlight === 0) for (const notify of health.onIdle.splice(0)) notify();
}

export function healthRoutes(
  app: Broker["app"],
  parts: {
    health: Health;
    keys: (headers: Headers) => RoleKeys;
    blocks: Blocks;
    isAuditSinkUp: (() => boolean) | undefined;
    version: string;
    digest: string;
  },
): void {
  const { health, keys, blocks, isAuditSinkUp, version, digest } = parts;
  app.get("/healthz", () => json({ status: "ok" }));
  app.get("/readyz", async (c) => {
    if (health.draining) throw new BrokerError("not_ready", "the broker is stopping", { retryAfterSeconds: 5 });
    if (health.keysExpired)
      throw new BrokerError("not_ready", "the broker's own keys have expired", { retryAfterSeconds: 5 });
    keys(c.req.raw.headers);
    await blocks.current();
    const age = blocks.ageSeconds();
    return json({
      status: "ready",
      ...(age === undefined ? {} : { blocks_age_seconds: age }),
      // Ready all the same: what is asked next is how it is seen to be up again, and it is no one instance's trouble.
      ...(isAuditSinkUp === undefined ? {} : { audit_sink: isAuditSinkUp() ? "up" : "down" }),
    });
  });
  app.get("/version", () => json({ name: "acr-token-broker", version, policy_digest: digest, node: process.version }));
}
