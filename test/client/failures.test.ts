/** What the SDK makes of answers that are bad, late or somebody else's: what it tries again, how long, and what it says. */

import { once } from "node:events";
import type { AddressInfo } from "node:net";
import { createServer } from "node:net";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { AcrBroker, type AcrBrokerOptions } from "../../shared/client/acr-broker.ts";
import { Credentials } from "../../shared/client/credentials.ts";
import { AcrBrokerError } from "../../shared/client/errors.ts";
import { json, type Play, problem, serve, testTime, tokenAnswer } from "./servers.ts";

const PULL = { registry: "prod", scope: "repository:web/app:pull" };

async function playing(play: Play, options: Partial<AcrBrokerOptions> = {}) {
  const played = await serve(play);
  const { outside, time } = testTime();
  const broker = new AcrBroker({
    url: played.url,
    identity: "a-token",
    ...options,
    outside: { ...outside, ...options.outside },
  });
  return { played, time, ask: async () => (await broker.credentials(PULL)).password };
}

/** Fails as `play` does, so many times, and then answers well. */
const failing =
  (times: number, play: Play): Play =>
  (request, response, count) =>
    count <= times ? play(request, response, count) : json(response, 200, tokenAnswer(`password-${count}`));

describe("is tried again", () => {
  const passing: [what: string, play: Play][] = [
    ["429", (_, response) => problem(response, 429, "rate_limited")],
    ["503", (_, response) => problem(response, 503, "upstream_unavailable")],
    ["504", (_, response) => problem(response, 504, "upstream_timeout")],
    ["502 of a gateway", (_, response) => response.writeHead(502, { "content-type": "text/html" }).end("<h1>Bad</h1>")],
    ["429 of Function Compute", (_, response) => json(response, 429, { ErrorCode: "ResourceExhausted" })],
    ["a connection that is cut", (request) => request.socket.destroy()],
    [
      "an answer that is cut",
      (request, response) => {
        response.writeHead(200, { "content-type": "application/json", "content-length": 1_000 }).write('{"user');
        setImmediate(() => request.socket.destroy());
      },
    ],
  ];
  test.each(passing)("%s", async (_, play) => {
    const { ask, played, time } = await playing(failing(2, play));
    expect(await ask()).toBe("password-3");
    expect(played.requests).toEqual(Array(3).fill("POST /v1/token"));
    // Full jitter, half of it: of 400 ms, then of 800.
    expect(time.pauses).toEqual([200, 400]);
  });

  test("after as long as Retry-After says, and the jitter on top", async () => {
    const { ask, time } = await playing(
      failing(1, (_, response) => problem(response, 429, "rate_limited", { "retry-after": "7" })),
    );
    await ask();
    expect(time.pauses).toEqual([7_200]);
  });

  test("Retry-After may be a date, which is compared with the broker's clock", async () => {
    const date = (seconds: number) => new Date(Date.UTC(2001, 0, 1, 0, 0, seconds)).toUTCString();
    const { ask, time } = await playing(
      failing(1, (_, response) => {
        response.setHeader("date", date(0));
        problem(response, 503, "not_ready", { "retry-after": date(9) });
      }),
    );
    await ask();
    expect(time.pauses[0]).toBeGreaterThan(8_000);
    expect(time.pauses[0]).toBeLessThanOrEqual(10_200);
  });

  test("not when the wait would end after the deadline; the error says how long it would be", async () => {
    const { ask, played, time } = await playing((_, response) =>
      problem(response, 503, "not_ready", { "retry-after": "31" }),
    );
    await expect(ask()).rejects.toMatchObject({ code: "not_ready", retryAfterSeconds: 31, retryable: true });
    expect([played.requests.length, time.pauses]).toEqual([1, []]);
  });

  test("until the deadline, with pauses that grow to 5 s", async () => {
    const { ask, time } = await playing((_, response) => problem(response, 503, "upstream_unavailable"), {
      outside: { random: () => 0.999_999 },
    });
    await expect(ask()).rejects.toMatchObject({ code: "upstream_unavailable", status: 503 });
    const total = time.pauses.reduce((sum, pause) => sum + pause, 0);
    expect(time.pauses.map(Math.round)).toEqual([400, 800, 1600, 3200, 5000, 5000, 5000, 5000]);
    expect(total).toBeLessThan(30_000);
  });

  test("with a token of its own each time", async () => {
    const seen: (string | undefined)[] = [];
    let tokens = 0;
    const { ask } = await playing(
      failing(2, (request, response) => {
        seen.push(request.headers.authorization);
        problem(response, 503, "not_ready");
      }),
      { identity: () => `token-${++tokens}` },
    );
    await ask();
    expect(seen).toEqual(["Bearer token-1", "Bearer token-2"]);
    expect(tokens).toBe(3);
  });
});

describe("is final", () => {
  test.each([
    [400, "invalid_scope"],
    [401, "invalid_token"],
    [403, "access_denied"],
    [422, "policy_too_large"],
    [500, "internal_error"],
    [502, "upstream_rejected"],
    [403, "a_code_of_next_year"],
  ])("%i %s", async (status, code) => {
    const { ask, played } = await playing((_, response) => problem(response, status, code));
    await expect(ask()).rejects.toMatchObject({
      name: "RefusedError",
      code,
      status,
      requestId: "request-77",
      message: `the detail of ${code}`,
      retryable: false,
    });
    expect(played.requests.length).toBe(1);
  });

  const page = `<html><h1>Welcome, ${"x".repeat(100)} secret-of-the-gateway`;
  const strangers: [what: string, play: Play, says: string][] = [
    [
      "an HTML page",
      (_, response) => response.writeHead(200, { "content-type": "text/html" }).end(page),
      "status 200, text/html",
    ],
    [
      "an HTML error",
      (_, response) => response.writeHead(404, { "content-type": "text/html" }).end(page),
      "status 404, text/html",
    ],
    ["a gateway's JSON", (_, response) => json(response, 403, { Code: "AccessDenied", Message: page }), "AccessDenied"],
    ["JSON of no problem", (_, response) => json(response, 400, { code: "invalid_scope", detail: page }), "status 400"],
    [
      "no JSON",
      (_, response) => response.writeHead(200, { "content-type": "application/json" }).end("{"),
      "status 200",
    ],
    ["a list", (_, response) => json(response, 200, [page]), "status 200"],
    ["nothing", (_, response) => response.writeHead(200).end(), "of a type that the broker never sends"],
    ["too much", (_, response) => json(response, 200, { page: "x".repeat(70_000) }), "larger than 65536 bytes"],
    ["a redirect", (_, response) => response.writeHead(307, { location: "http://127.0.0.1:1/" }).end(page), "redirect"],
    ["no password", (_, response) => json(response, 200, tokenAnswer("")), "its password"],
    [
      "a lifetime in words",
      (_, response) => json(response, 200, tokenAnswer("p", 900, { expires_in: "900" })),
      "its expires_in",
    ],
    [
      "a time that is none",
      (_, response) => json(response, 200, tokenAnswer("p", 900, { expires_at: "soon" })),
      "its expires_at",
    ],
    [
      "hosts that are none",
      (_, response) => json(response, 200, tokenAnswer("p", 900, { endpoints: [1] })),
      "its endpoints",
    ],
  ];
  test.each(strangers)("%s: not the broker's, and nothing of its body is told", async (_, play, says) => {
    const { ask, played } = await playing(play);
    const error = await ask().catch((error: unknown) => error);
    expect(error).toMatchObject({ name: "ConnectionError", code: "bad_response", retryable: false });
    expect(String(error)).toContain(new URL(played.url).host);
    expect(String(error)).toContain(says);
    expect(String(error)).not.toContain("secret-of-the-gateway");
    expect(played.requests.length).toBe(1);
  });

  test("an invalid token in the making: what it would do to a header is not sent, nor told", async () => {
    for (const identity of ["two words-of-a-secret", "line\nbreak-of-a-secret", "ünicode-of-a-secret"]) {
      const { ask, played } = await playing((_, response) => problem(response, 500, "internal_error"), { identity });
      await expect(ask()).rejects.toMatchObject({
        code: "identity_failed",
        message: expect.not.stringContaining("of-a-secret"),
      });
      expect(played.requests).toEqual([]);
    }
  });

  test.each(["null", "undefined", " "])(
    "the token %j, which is what is left where there was none",
    async (identity) => {
      const { ask } = await playing((_, response) => problem(response, 500, "internal_error"), { identity });
      await expect(ask()).rejects.toMatchObject({ name: "IdentityError", code: "no_identity" });
    },
  );
});

describe.each(["token_expired", "token_replayed"])("%s", (code) => {
  test("has another token sent, once and at once", async () => {
    let tokens = 0;
    const { ask, played, time } = await playing(
      failing(1, (_, response) => problem(response, 401, code)),
      {
        identity: () => `token-${++tokens}`,
      },
    );
    expect(await ask()).toBe("password-2");
    expect([tokens, played.requests.length, time.pauses]).toEqual([2, 2, []]);
  });

  test("is final the second time", async () => {
    let tokens = 0;
    const { ask, played } = await playing((_, response) => problem(response, 401, code), {
      identity: () => `token-${++tokens}`,
    });
    await expect(ask()).rejects.toMatchObject({ code });
    expect(played.requests.length).toBe(2);
  });

  test("is final at once where there is only the same token", async () => {
    const { ask, played } = await playing((_, response) => problem(response, 401, code));
    await expect(ask()).rejects.toMatchObject({ code });
    expect(played.requests.length).toBe(1);
  });
});

describe("the deadline", () => {
  test("ends a call that nobody answers", async () => {
    const { ask } = await playing(() => {}, { deadlineSeconds: 0.05 });
    await expect(ask()).rejects.toMatchObject({
      name: "ConnectionError",
      code: "deadline_exceeded",
      message: expect.stringContaining("0.05 s"),
    });
  });

  test("ends an answer that comes slowly", async () => {
    const { ask } = await playing(
      (_, response) => response.writeHead(200, { "content-type": "application/json" }).write("{"),
      { deadlineSeconds: 0.05 },
    );
    await expect(ask()).rejects.toMatchObject({ code: "deadline_exceeded" });
  });

  test("ends an identity that does not come, and tells its source", async () => {
    const { ask, played } = await playing(() => {}, {
      deadlineSeconds: 0.05,
      identity: ({ signal }) =>
        new Promise((_, reject) => signal.addEventListener("abort", () => reject(signal.reason))),
    });
    await expect(ask()).rejects.toMatchObject({ code: "deadline_exceeded" });
    expect(played.requests).toEqual([]);
  });

  test("ends an identity function that looks at no signal, and so does the caller's own", async () => {
    const identity = () => new Promise<string>(() => {});
    await expect((await playing(() => {}, { deadlineSeconds: 0.05, identity })).ask()).rejects.toMatchObject({
      code: "deadline_exceeded",
    });
    const broker = new AcrBroker({ url: "http://127.0.0.1:9", identity });
    const asked = broker.credentials({ ...PULL, signal: AbortSignal.timeout(20) });
    await expect(asked).rejects.toMatchObject({ name: "TimeoutError" });
  });

  test("says what was wrong before", async () => {
    const { ask } = await playing(
      (_, response, count) => (count === 1 ? problem(response, 503, "not_ready") : undefined),
      { deadlineSeconds: 0.3, outside: { sleep: async () => {} } },
    );
    await expect(ask()).rejects.toMatchObject({
      code: "deadline_exceeded",
      message: expect.stringContaining("the detail of not_ready"),
    });
  });
});

test("whatever is answered, it makes credentials or an AcrBrokerError", async () => {
  const value = fc.oneof(fc.jsonValue(), fc.constant("2026-06-01T12:00:00Z"), fc.string(), fc.nat());
  const fields = fc.record(Object.fromEntries(Object.keys(tokenAnswer("p")).map((name) => [name, value])), {
    requiredKeys: [],
  });
  const body = fc.oneof(
    fields.map((change) => JSON.stringify(tokenAnswer("p", 900, change))),
    fc.record({ code: value, detail: value, request_id: value }).map((problem) => JSON.stringify(problem)),
    fc.json(),
    fc.string(),
  );
  const type = fc.constantFrom("application/json", "application/problem+json", "text/html", "");
  const status = fc.oneof(
    fc.constant(200),
    fc.integer({ min: 200, max: 599 }).filter((one) => ![204, 205, 304].includes(one)),
  );
  const { outside } = testTime();
  await fc.assert(
    fc.asyncProperty(status, type, body, fc.string(), async (status, type, body, retryAfter) => {
      const headers = { "content-type": type, "retry-after": encodeURIComponent(retryAfter) };
      const fetch = async () => new Response(body, { status, headers });
      const broker = new AcrBroker({
        url: "https://broker.example",
        identity: "a-token",
        outside: { ...outside, fetch },
      });
      const answered: unknown = await broker.credentials(PULL).catch((error: unknown) => error);
      expect(answered instanceof AcrBrokerError || answered instanceof Credentials).toBe(true);
    }),
    { numRuns: 500 },
  );
});

test("no connection is named with the system's code, and tried again", async () => {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, "close");
  const { outside, time } = testTime();
  const broker = new AcrBroker({ url: `http://127.0.0.1:${port}`, identity: "a-token", outside });
  await expect(broker.credentials(PULL)).rejects.toMatchObject({
    code: "network_error",
    retryable: true,
    message: `the broker at 127.0.0.1:${port} could not be reached (ECONNREFUSED)`,
  });
  expect(time.pauses.length).toBeGreaterThan(3);
});

test("a detail is one line and cannot steer a terminal", async () => {
  const { ask } = await playing((_, response) => problem(response, 403, "access_denied", {}, "red\u001b[31m\r\nline"));
  await expect(ask()).rejects.toMatchObject({ message: "red [31m line" });
});

test("what an identity function throws is passed on as it is", async () => {
  const { ask } = await playing(() => {}, {
    identity: () => {
      throw new Error("the vault is closed");
    },
  });
  await expect(ask()).rejects.toThrow("the vault is closed");
});

test.each<[what: string, change: Record<string, unknown>]>([
  ["a host that is none", { endpoints: ["__proto__"] }],
  ["a host with a path", { endpoints: ["registry.example.com/v2"] }],
  ["no host", { endpoints: [] }],
  ["a line end in the user name", { username: "cr_temp_user\nACR_PASSWORD=x" }],
  ["a scope that steers a terminal", { scope: ["repository:web/app:pull\u001b[2A"] }],
  ["a grant that reverses text", { grants: ["\u202eweb"] }],
  ["a life without end", { expires_in: Number.MAX_SAFE_INTEGER }],
])("an answer with %s is not the broker's", async (_, change) => {
  const { ask } = await playing((_request, response) => json(response, 200, tokenAnswer("p", 900, change)));
  await expect(ask()).rejects.toMatchObject({ code: "bad_response" });
});

test("a Retry-After of a year is not answered by coming back at once", async () => {
  const { ask, played } = await playing((_, response) =>
    problem(response, 429, "rate_limited", { "retry-after": "31536000" }),
  );
  await expect(ask()).rejects.toMatchObject({ code: "rate_limited", retryAfterSeconds: 31_536_000 });
  expect(played.requests).toHaveLength(1);
});

test("nothing in a detail reverses what stands behind it", async () => {
  const { ask } = await playing((_, response) => problem(response, 403, "access_denied", {}, "no\u202e\u2028more"));
  await expect(ask()).rejects.toMatchObject({ message: "no more" });
});
