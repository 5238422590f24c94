/**
 * Function Compute's hooks: `POST /initialize` before the first request, `GET /pre-stop` before an instance is frozen away.
 * Anybody can call them over the HTTP trigger, so neither does what would hurt if a stranger asked for it.
 * https://www.alibabacloud.com/help/en/functioncompute/fc-3-0/user-guide/function-instance-lifecycle-1
 */

import type { Broker } from "../app.ts";
import { json } from "../http/answer.ts";
import type { Health } from "./health.ts";

/** How long `/pre-stop` waits for requests under way; no request takes longer than its upstream deadline. */
const LONGEST_WAIT_MS = 10_000;

export function lifecycleRoutes(
  app: Broker["app"],
  health: Health,
  warm: () => Promise<void>,
  flush: () => Promise<void>,
): void {
  let warming: Promise<void> | undefined;
  // Once at a time, not once: an instance is also initialized when it thaws.
  app.post("/initialize", async () => {
    warming ??= warm().finally(() => {
      warming = undefined;
    });
    await warming;
    return json({ status: "initialized" });
  });
  let waiting: Promise<void> | undefined;
  app.get("/pre-stop", async () => {
    // One request waits, or strangers could fill the instance with requests that do.
    if (waiting !== undefined) return json({ status: "waiting" });
    waiting = othersDone(health)
      .then(flush)
      .finally(() => {
        waiting = undefined;
      });
    await waiting;
    return json({ status: "idle" });
  });
}

/** When no request but the asking one is under way. */
function othersDone(health: Health): Promise<void> {
  // This request does not count itself, or it would wait for its own end.
  health.inFlight--;
  return new Promise<void>((resolve) => {
    if (health.inFlight === 0) return resolve();
    const timer = setTimeout(resolve, LONGEST_WAIT_MS);
    health.onIdle.push(() => {
      clearTimeout(timer);
      resolve();
    });
  }).finally(() => {
    health.inFlight++;
  });
}
