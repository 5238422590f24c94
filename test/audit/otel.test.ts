import { once } from "node:events";
import { createServer } from "node:https";
import type { AddressInfo } from "node:net";
import { expect, test, vi } from "vitest";
import { openTelemetry, type TraceParts } from "../../shared/audit/otel.ts";
import { makeCa } from "../certificates.ts";
import { type Collector, startCollector } from "../collector.ts";

function traces(endpoint: string, more: Partial<TraceParts> = {}) {
  const dropped: number[] = [];
  const parts = { endpoint, headers: {}, ratio: 1, parentRatio: 1, resource: {}, random: () => 0 };
  const made = openTelemetry({ ...parts, onDropped: (count) => dropped.push(count), ...more }, () => "its_code");
  return { ...made, dropped: () => dropped.reduce((sum, count) => sum + count, 0) };
}

async function withCollector(status: number | "hang", use: (collector: Collector) => Promise<void>): Promise<void> {
  const collector = await startCollector(status);
  try {
    await use(collector);
  } finally {
    await collector.close();
  }
}

test("so many spans wait and no more, each of the others is counted, and whoever makes one does not wait", () =>
  withCollector("hang", async ({ url }) => {
    const it = traces(url, { mostWaiting: 4 });
    for (let i = 0; i < 10; i++) await it.request("x", undefined, async () => {});
    expect(it.dropped()).toBe(6);
    await it.flush();
    // Those that are being sent are in memory, too.
    for (let i = 0; i < 3; i++) await it.request("x", undefined, async () => {});
    expect(it.dropped()).toBeGreaterThanOrEqual(9);
  }));

test("there is room again when they have been sent", () =>
  withCollector(200, async ({ url, spans }) => {
    const it = traces(url, { mostWaiting: 4 });
    for (let i = 0; i < 3; i++) {
      for (let j = 0; j < 4; j++) await it.request("x", undefined, async () => {});
      await it.flush();
    }
    expect([spans().length, it.dropped()]).toEqual([12, 0]);
  }));

test("what fails keeps its error, and the span has its code and nothing of its message", () =>
  withCollector(200, async ({ url, spans, posts }) => {
    const it = traces(url);
    const error = new Error("canary");
    const failing = it.request("above", undefined, () => it.span("below", true, {}, () => Promise.reject(error)));
    await expect(failing).rejects.toBe(error);
    await it.flush();
    expect(spans().map(({ name, status }) => [name, status])).toEqual([
      ["below", { code: 2 }],
      ["above", { code: 2 }],
    ]);
    expect(posts[0]?.body).toContain("its_code");
    expect(posts[0]?.body).not.toContain("canary");
  }));

test("requests at the same time have each its own trace, and nothing is traced outside of one", () =>
  withCollector(200, async ({ url, spans }) => {
    const it = traces(url);
    let go = () => {};
    const gate = new Promise<void>((resolve) => {
      go = resolve;
    });
    const work = () =>
      it.request("above", undefined, async () => {
        await gate;
        await it.span("below", false, {}, async () => it.spanNow("at once", () => {}));
      });
    const both = Promise.all([work(), work()]);
    go();
    await both;
    expect(it.current()).toBeUndefined();
    expect(it.spanNow("alone", () => 7)).toBe(7);
    expect(await it.span("alone", false, {}, async () => 8)).toBe(8);
    await it.flush();
    const found = spans();
    expect(found.map(({ name }) => name).sort()).toEqual(["above", "above", "at once", "at once", "below", "below"]);
    for (const below of found.filter(({ name }) => name !== "above")) {
      const above = found.find(({ spanId }) => spanId === below.parentSpanId);
      expect(above?.traceId).toBe(below.traceId);
    }
    expect(new Set(found.map(({ traceId }) => traceId)).size).toBe(2);
  }));

test("a collector that nobody vouches for gets nothing, whatever NODE_TLS_REJECT_UNAUTHORIZED says", async () => {
  const server = createServer(makeCa().server("localhost"), (_, response) => void response.end("{}"));
  await once(server.listen(0, "127.0.0.1"), "listening");
  const end = Promise.race(
    ["tlsClientError", "request"].map(async (event) => {
      await once(server, event);
      return event;
    }),
  );
  vi.stubEnv("NODE_TLS_REJECT_UNAUTHORIZED", "0");
  try {
    const it = traces(`https://localhost:${(server.address() as AddressInfo).port}/v1/traces`);
    await it.request("x", undefined, async () => {});
    await it.flush();
    expect(await end).toBe("tlsClientError");
  } finally {
    vi.unstubAllEnvs();
    server.closeAllConnections();
    server.close();
  }
});
