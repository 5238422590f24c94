import { describe, expect, test } from "vitest";
import { callUpstream } from "../../shared/alibaba/call.ts";

/** A clock that only `sleep` moves. */
function stage(random = 0.5) {
  const start = Date.parse("2026-01-01T00:00:00Z");
  const clock = { ms: start };
  const pauses: number[] = [];
  const context = {
    now: () => new Date(clock.ms),
    sleep: async (ms: number) => {
      pauses.push(ms);
      clock.ms += ms;
    },
    random: () => random,
  };
  const run = (attempt: () => Promise<string>, deadlineMs = 8_000) =>
    callUpstream("AssumeRole", new Date(start + deadlineMs), context, attempt);
  return { run, pauses, clock };
}

const failing = (error: object) => () => Promise.reject(Object.assign(new Error("AccessKeySecret=CANARY"), error));

describe("attempts", () => {
  test("pause a little longer each time, by chance", async () => {
    const { run, pauses } = stage();
    await expect(run(failing({ code: "ECONNRESET" }))).rejects.toMatchObject({ code: "upstream_unavailable" });
    expect(pauses).toEqual([100, 200]);
  });

  test("are not begun where the pause would end after the deadline", async () => {
    const { run, pauses } = stage(0.9);
    await expect(run(failing({ code: "ECONNRESET" }), 150)).rejects.toMatchObject({ code: "upstream_unavailable" });
    expect(pauses).toEqual([]);
  });

  test("are not begun after the deadline", async () => {
    const { run } = stage();
    let attempts = 0;
    const outcome = run(async () => String(++attempts), 0);
    await expect(outcome).rejects.toMatchObject({ code: "upstream_timeout" });
    expect(attempts).toBe(0);
  });

  test("that never end are given up at the deadline", async () => {
    const { run } = stage();
    await expect(run(() => new Promise(() => {}), 30)).rejects.toMatchObject({
      code: "upstream_timeout",
      facts: { retryAfterSeconds: 2 },
    });
  });
});

describe("what a failure becomes", () => {
  test.each([
    [
      { statusCode: 403, code: "NoPermission", data: { RequestId: "A-1" } },
      "upstream_rejected",
      "trust the function's role",
    ],
    [{ statusCode: 404, code: "EntityNotExist.Role" }, "upstream_rejected", "role that does not exist"],
    [{ statusCode: 400, code: "InvalidParameter.DurationSeconds" }, "upstream_rejected", "MaxSessionDuration"],
    [{ statusCode: 400, code: "Throttling.User" }, "upstream_unavailable", "Throttling.User"],
    [{ statusCode: 503, code: "ServiceUnavailable" }, "upstream_unavailable", "ServiceUnavailable"],
    [{ statusCode: 500, code: "undefined" }, "upstream_unavailable", "Status500"],
    [{ statusCode: 400, code: "undefined" }, "upstream_rejected", "Status400"],
    [{ code: "ENOTFOUND" }, "upstream_unavailable", "ENOTFOUND"],
    [{ name: "RequestTimeoutError" }, "upstream_timeout", "in time"],
    [{ statusCode: 429, code: "TooMany" }, "upstream_unavailable", "TooMany"],
    [{ statusCode: 400, code: "constructor" }, "upstream_rejected", "(constructor): the broker's operator"],
    [{ statusCode: 400, code: "x\ny", data: { RequestId: "<script>" } }, "upstream_rejected", "Status400"],
  ])("%j: %s", async (error, code, detail) => {
    const thrown = await stage()
      .run(failing(error))
      .catch((caught: Error) => caught);
    expect(thrown).toMatchObject({ code, message: expect.stringContaining(detail) });
    expect(JSON.stringify(thrown)).not.toContain("CANARY");
    expect((thrown as Error).message).not.toMatch(/CANARY|script|\n/);
    expect((thrown as Error).cause).toBeUndefined();
  });
});
