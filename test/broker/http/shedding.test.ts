import { once } from "node:events";
import { Agent, createServer, type IncomingMessage, request } from "node:http";
import type { AddressInfo } from "node:net";
import { text } from "node:stream/consumers";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { shedding, sheddingListener } from "../../../functions/broker/http/shedding.ts";
import { exchange, written } from "../../attacks/socket.ts";

interface Outcome {
  readonly isServed: boolean;
  /** From when the kernel had the request until its answer left. */
  readonly ms: number;
}

/**
 * An event loop in virtual time: in each turn it reads what the kernel had ready when the turn began, and what was taken on is answered
 * when it ends, as `audit/lines.ts` has it.
 */
function eventLoop({ servedMs = 0.2, refusedMs = 0.025 } = {}) {
  const changes: (number | undefined)[] = [];
  const callbacks: (() => void)[] = [];
  let time = 1_000;
  let rested = 500;
  let hurried = 0;
  const shed = shedding(
    {
      now: () => time,
      rested: () => rested,
      afterTurn: (callback) => callbacks.push(callback),
      hurry: () => hurried++,
    },
    (refused) => changes.push(refused),
  );

  /** What node:http did before is a part of the time that a refused request takes. */
  function pass(isTaken: boolean): void {
    if (isTaken) time += servedMs;
    else {
      time += 0.4 * refusedMs;
      shed.refuse(() => {
        time += 0.6 * refusedMs;
      });
    }
  }

  function endTurn(): void {
    for (const callback of callbacks.splice(0)) callback();
  }

  const loop = {
    changes,
    hurried: () => hurried,
    rest: (ms: number) => {
      [time, rested] = [time + ms, rested + ms];
    },
    /** So many ready at once, and the process stopped for a while in the middle of them. Answers how many were taken on. */
    turn(requests: number, underWay = 0, stoppedMs = 0): number {
      let taken = 0;
      for (let index = 0; index < requests; index++) {
        if (index === Math.floor(requests / 2)) time += stoppedMs;
        const isTaken = shed.take(underWay);
        if (isTaken) taken++;
        pass(isTaken);
      }
      endTurn();
      return taken;
    },
    /** Requests that come evenly, whatever becomes of those before. */
    steadily(perSecond: number, ms: number): Outcome[] {
      const [from, outcomes] = [time, [] as Outcome[]];
      const came = (index: number) => from + (index * 1000) / perSecond;
      const count = Math.floor((perSecond * ms) / 1000);
      for (let next = 0; next < count; ) {
        loop.rest(Math.max(0, came(next) - time));
        const turnBegan = time;
        const served: number[] = [];
        for (; next < count && came(next) <= turnBegan; next++) {
          const isServed = shed.take(0);
          pass(isServed);
          if (isServed) served.push(next);
          else outcomes.push({ isServed, ms: time - came(next) });
        }
        endTurn();
        outcomes.push(...served.map((index) => ({ isServed: true, ms: time - came(index) })));
      }
      return outcomes;
    },
  };
  return loop;
}

const CAPACITY = 5_000;

const count = (outcomes: readonly Outcome[], isServed: boolean) =>
  outcomes.filter((one) => one.isServed === isServed).length;
const longest = (outcomes: readonly Outcome[], isServed: boolean) =>
  outcomes.reduce((most, one) => (one.isServed === isServed ? Math.max(most, one.ms) : most), 0);

describe("nobody is refused", () => {
  test("of a hundred at a time, however slow the machine is", () => {
    const loop = eventLoop({ servedMs: 50 });
    for (let turn = 0; turn < 100; turn++) expect(loop.turn(100)).toBe(100);
  });

  test("while the wait is shorter than a quarter of a second, however long that goes on", () => {
    const loop = eventLoop();
    for (let turn = 0; turn < 1_000; turn++) expect(loop.turn(1_249)).toBe(1_249);
  });

  test("where more come than can be answered, but not for long", () => {
    const loop = eventLoop();
    for (let again = 0; again < 10; again++) {
      expect(count(loop.steadily(4 * CAPACITY, 120), false)).toBe(0);
      expect(count(loop.steadily(CAPACITY / 2, 1_000), false)).toBe(0);
    }
    expect(loop.changes).toEqual([]);
  });

  test("of a burst that can be answered within half a second", () => {
    const loop = eventLoop();
    expect([loop.turn(2_500), loop.turn(10)]).toEqual([2_500, 10]);
  });

  test("because the process was stopped for a while in the middle of a thousand requests", () => {
    const loop = eventLoop();
    for (let again = 0; again < 5; again++) {
      expect(loop.turn(1_000, 0, 60_000)).toBe(1_000);
      loop.steadily(100, 1_000);
    }
  });

  test("because those under way wait for the cloud", () => {
    const loop = eventLoop();
    for (let turn = 0; turn < 1_000; turn++) expect(loop.turn(200, 9_000)).toBe(200);
  });

  test("at nine tenths of what can be answered, nor at all of it", () => {
    const loop = eventLoop();
    expect(count(loop.steadily(0.9 * CAPACITY, 60_000), false)).toBe(0);
    expect(count(loop.steadily(CAPACITY, 60_000), false)).toBe(0);
  });
});

describe("at four times what can be answered", () => {
  function overloaded() {
    const loop = eventLoop();
    const onset = loop.steadily(4 * CAPACITY, 1_000);
    return { loop, onset };
  }

  test("refusing begins within a second, and nobody has waited longer than a second", () => {
    const { loop, onset } = overloaded();
    expect(loop.changes).toEqual([undefined]);
    expect([longest(onset, true), longest(onset, false)].every((ms) => ms < 1_000)).toBe(true);
  });

  test("those who are served wait for a few others, and those who are refused no longer", () => {
    const { loop } = overloaded();
    const steady = loop.steadily(4 * CAPACITY, 10_000);
    expect(longest(steady, true)).toBeLessThan(4);
    expect(longest(steady, false)).toBeLessThan(4);
  });

  test("as many are served as refusing the others leaves time for", () => {
    const { loop } = overloaded();
    const seconds = 10;
    const served = count(loop.steadily(4 * CAPACITY, seconds * 1_000), true) / seconds;
    // 0.2 ms of each served, 0.025 ms of each of the others.
    const most = (1_000 - 4 * CAPACITY * 0.025) / (0.2 - 0.025);
    expect(served / most).toBeGreaterThan(0.95);
  });

  test("refusing ends a fifth of a second after the load, and is told with how many there were", () => {
    const { loop, onset } = overloaded();
    const refused = count(onset, false);
    for (let waited = 0; waited < 200; waited += 20) {
      loop.rest(20);
      expect(loop.turn(1)).toBe(1);
    }
    expect(loop.turn(100)).toBe(100);
    expect(loop.changes).toEqual([undefined, refused]);
  });

  test("refusing ends within a fifth of a second where nearly as many go on coming as can be answered", () => {
    const { loop } = overloaded();
    loop.steadily(0.95 * CAPACITY, 200);
    expect(loop.changes).toHaveLength(2);
    expect(count(loop.steadily(0.95 * CAPACITY, 10_000), false)).toBe(0);
  });
});

test.each([
  [90, 100],
  [110, 100],
  [200, 100],
  [110, 50],
])(
  "a burst of %d each %d ms, which is little to do, does not keep it refusing: another caller's twenty are served",
  (burst, everyMs) => {
    const loop = eventLoop();
    for (const _ of [1, 2]) loop.turn(3_000);
    expect(loop.changes).toEqual([undefined]);
    const served: number[] = [];
    for (let round = 0; round < 40; round++) {
      loop.turn(burst);
      loop.rest(everyMs / 2);
      served.push(loop.turn(20));
      loop.rest(everyMs / 2);
    }
    expect([served.slice(10), loop.changes.length]).toEqual([Array(30).fill(20), 2]);
  },
);

test("with ten thousand under way, whatever they wait for, the next is refused until one of them has ended", () => {
  const loop = eventLoop();
  expect([loop.turn(1, 9_999), loop.turn(1, 10_000), loop.turn(1, 9_999)]).toEqual([1, 0, 1]);
});

test("in a long turn what waits for its end is done in between, and one of 64 is served however many are refused", () => {
  const loop = eventLoop();
  loop.turn(4_000);
  const before = loop.hurried();
  expect([loop.turn(6_400), loop.hurried() - before]).toEqual([2 + 100, 100]);
});

describe("a refused request", () => {
  const seen: (string | undefined)[] = [];
  const server = createServer(
    sheddingListener(
      ({ url }, outgoing) => {
        seen.push(url);
        outgoing.end("served");
      },
      { take: () => false, refuse: (carryOut) => carryOut() },
      () => 0,
      () => "refused-1",
    ),
  );
  let url: string;
  beforeAll(async () => {
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  });
  afterAll(() => server.close());

  const chunked = { body: "1\r\nx\r\n0\r\n\r\n", headers: [["Transfer-Encoding", "chunked"]] } as const;
  const whoami = { method: "GET", target: "/v1/whoami" };

  test("gets 503 at once, with a body or without, and its connection goes on; healthz and readyz are always answered", async () => {
    const requests = [
      written({ ...whoami, more: true }),
      written({ body: "x".repeat(1_000), more: true }),
      written({ body: "x".repeat(100_000), more: true }),
      written({ ...chunked, more: true }),
      written({ target: "/oauth2/token", body: "x", more: true }),
      written({ method: "GET", target: "/healthz", more: true }),
      written({ method: "GET", target: "/readyz" }),
    ];
    const { answers } = await exchange(url, Buffer.concat(requests));
    expect(answers.map(({ status }) => status)).toEqual([503, 503, 503, 503, 503, 200, 200]);
    const refused = answers.slice(0, 4);
    // So that they do not all come back at once.
    expect(refused.map(({ head }) => /^retry-after: (\d+)$/im.exec(head)?.[1])).toEqual(["1", "2", "3", "1"]);
    for (const { head, body } of refused) {
      expect(head).toMatch(/^content-type: application\/problem\+json$/im);
      expect(head).toMatch(/^x-request-id: refused-1$/im);
      expect(JSON.parse(body)).toMatchObject({ status: 503, code: "not_ready", request_id: "refused-1" });
    }
    expect(JSON.parse(answers[4]?.body ?? "")).toMatchObject({ error: "temporarily_unavailable", code: "not_ready" });
    expect(seen).toEqual(["/healthz", "/readyz"]);
  });

  test.each<[string, Buffer, number]>([
    ["has no body where the method has none", written({ method: "HEAD", target: "/v1/whoami" }), 0],
    ["has its connection closed where it says so", written(whoami), 1],
    ["of HTTP/1.0 as well", Buffer.from("GET /v1/whoami HTTP/1.0\r\n\r\n"), 1],
    [
      "does not have the rest of its body waited for",
      written({ headers: [["Content-Length", "999999"]], body: "x" }),
      1,
    ],
  ])("%s", async (_, bytes, bodies) => {
    const { answers } = await exchange(url, bytes);
    expect(answers.map(({ status, body }) => [status, body === "" ? 0 : 1])).toEqual([[503, bodies]]);
  });

  test("leaves its connection to the next one", async () => {
    const agent = new Agent({ keepAlive: true, maxSockets: 1 });
    const ports = new Set<number | undefined>();
    for (let again = 0; again < 20; again++) {
      const sent = request(url, { agent, method: "POST", path: again % 2 === 0 ? "/v1/token" : "/healthz" });
      sent.end("x".repeat(again * 100));
      const [response] = (await once(sent, "response")) as [IncomingMessage];
      ports.add(response.socket.localPort);
      expect([response.statusCode, await text(response)]).toEqual(
        again % 2 === 0 ? [503, expect.stringContaining("not_ready")] : [200, "served"],
      );
    }
    agent.destroy();
    expect(ports.size).toBe(1);
  });
});
