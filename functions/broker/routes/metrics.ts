/** `GET /metrics`: for Prometheus. No identity needed, nothing secret told; what it leaves out is in docs/monitoring.md. */

import type { Broker } from "../app.ts";
import { answer } from "../http/answer.ts";

export function metricsRoute(app: Broker["app"], text: () => string): void {
  app.get("/metrics", () =>
    answer(text(), 200, {
      "content-type": "text/plain; version=0.0.4; charset=utf-8",
      "cache-control": "no-store",
    }),
  );
}
