/** Which credentials are handed over again, for how long, and what happens to those who wait for the same. */

import { setImmediate as turn } from "node:timers/promises";
import { expect, test } from "vitest";
import { AcrBroker } from "../../shared/client/acr-broker.ts";
import { json, type Play, problem, serve, testTime, tokenAnswer } from "./servers.ts";

const PULL = { registry: "prod", scope: "repository:web/app:pull" };

/** A broker that gives `password-1`, `password-2` and so on, each for 900 s. */
async function numbered(play: Play = (_, response, count) => json(response, 200, tokenAnswer(`password-${count}`))) {
  const played = await serve(play);
  const { forward, outside, time } = testTime();
  const broker = new AcrBroker({ url: played.url, identity: "a-token", outside });
  const ask = async (change: object = {}) => (await broker.credentials({ ...PULL, ...change })).password;
  return { played, broker, ask, forward, time };
}

test("the cached ones are handed over until refreshAfter, then too, and a new one is fetched beside it", async () => {
  const { ask, forward, played } = await numbered();
  expect(await ask()).toBe("password-1");
  forward(599_000);
  expect([await ask(), played.requests.length]).toEqual(["password-1", 1]);
  forward(2_000);
  expect(await ask()).toBe("password-1");
  await expect.poll(ask).toBe("password-2");
  expect(played.requests.length).toBe(2);
});

test("they are handed over while they live for minTtl, which is 60 s unless said otherwise", async () => {
  const { ask, forward } = await numbered((_, response, count) =>
    count === 2 ? problem(response, 403, "access_denied") : json(response, 200, tokenAnswer(`password-${count}`)),
  );
  expect(await ask()).toBe("password-1");
  forward(500_000);
  expect(await ask({ minTtl: 400 })).toBe("password-1");
  await expect(ask({ minTtl: 401 })).rejects.toMatchObject({ code: "access_denied" });
  expect(await ask({ minTtl: 401 })).toBe("password-3");
  forward(841_000);
  expect(await ask()).toBe("password-4");
});

test("one that has ended is never handed over, also where minTtl is 0 and the broker gives no other", async () => {
  const { ask, forward } = await numbered((_, response, count) =>
    count === 1 ? json(response, 200, tokenAnswer("password-1")) : problem(response, 403, "access_denied"),
  );
  await ask();
  forward(898_000);
  expect(await ask({ minTtl: 0 })).toBe("password-1");
  forward(2_000);
  await expect(ask({ minTtl: 0 })).rejects.toMatchObject({ code: "access_denied" });
});

test("neither a clock that is set back nor one that stood still makes them live longer", async () => {
  const back = await numbered();
  await back.ask();
  back.time.wallMs -= 86_400_000;
  back.time.monotonicMs += 900_000;
  expect(await back.ask()).toBe("password-2");

  const asleep = await numbered();
  await asleep.ask();
  asleep.time.wallMs += 900_000;
  expect(await asleep.ask()).toBe("password-2");
});

test("how long they live is the broker's word: a machine years ahead or behind keeps them just as long", async () => {
  for (const years of [-5, 5]) {
    const { ask, broker, forward, time } = await numbered();
    time.wallMs += years * 365 * 86_400_000;
    expect((await broker.credentials(PULL)).expiresInSeconds).toBe(900);
    forward(500_000);
    expect([await ask(), (await broker.credentials(PULL)).expiresInSeconds]).toEqual(["password-1", 400]);
  }
});

test("a refresh that fails is tried again after 10 s, and is nobody's failure", async () => {
  const { ask, forward, played } = await numbered((_, response, count) =>
    count === 2 ? problem(response, 403, "access_denied") : json(response, 200, tokenAnswer(`password-${count}`)),
  );
  await ask();
  forward(610_000);
  expect(await ask()).toBe("password-1");
  await expect.poll(() => played.requests.length).toBe(2);
  // The refusal is on its way here: by then asking again asks the broker nothing.
  await expect
    .poll(async () => [await ask(), await turn(), played.requests.length])
    .toEqual(["password-1", undefined, 2]);
  forward(10_000);
  expect(await ask()).toBe("password-1");
  await expect.poll(ask).toBe("password-3");
});

test("different requests do not share, equal ones do", async () => {
  const { ask } = await numbered();
  const passwords = [
    await ask(),
    await ask({ ttl: 900 }),
    await ask({ registry: "lost" }),
    await ask({ scope: "repository:web/app:push" }),
    await ask({ scope: undefined, grant: "web-main" }),
    await ask({ scope: "repository:web/app:pull repository:web/app:pull" }),
  ];
  expect(passwords).toEqual([1, 2, 3, 4, 5, 1].map((count) => `password-${count}`));
});

test("of more than a thousand the one that was used least recently goes", async () => {
  let asked = 0;
  const fetch = async () => Response.json(tokenAnswer(`password-${++asked}`));
  const broker = new AcrBroker({ url: "https://broker.example", identity: "a-token", outside: { fetch } });
  const ask = (index: number) => broker.credentials({ scope: `repository:web/app-${index}:pull` });
  for (let index = 0; index < 1_000; index++) await ask(index);
  await ask(0);
  await ask(1_000);
  await ask(0);
  expect(asked).toBe(1_001);
  await ask(1);
  expect(asked).toBe(1_002);
});

test("equal requests have one request under way, and one failure", async () => {
  const { ask, played } = await numbered((_, response, count) =>
    count === 1 ? problem(response, 403, "access_denied") : json(response, 200, tokenAnswer(`password-${count}`)),
  );
  const failed = await Promise.allSettled([ask(), ask(), ask()]);
  expect(failed.map(({ status }) => status)).toEqual(["rejected", "rejected", "rejected"]);
  expect(await Promise.all([ask(), ask(), ask()])).toEqual(["password-2", "password-2", "password-2"]);
  expect(played.requests.length).toBe(2);
});

/** Promise.withResolvers, which Node 20 does not have. */
function resolvers(): { promise: Promise<void>; resolve: () => void } {
  let resolve = () => {};
  const promise = new Promise<void>((done) => {
    resolve = done;
  });
  return { promise, resolve };
}

/** A broker that does not answer before it is told to. */
async function held() {
  const gate = resolvers();
  const cut = resolvers();
  const made = await numbered((_, response, count) => {
    response.once("close", () => response.writableFinished || cut.resolve());
    gate.promise.then(() => json(response, 200, tokenAnswer(`password-${count}`)));
  });
  const arrived = () => expect.poll(() => made.played.requests.length).toBe(1);
  return { ...made, arrived, answer: gate.resolve, cut: cut.promise };
}

test("who gives up does not take the others' request away", async () => {
  const { ask, arrived, answer, played } = await held();
  const controller = new AbortController();
  const [impatient, patient] = [ask({ signal: controller.signal }), ask()];
  await arrived();
  controller.abort(new Error("enough"));
  await expect(impatient).rejects.toThrow("enough");
  answer();
  expect([await patient, played.requests.length]).toEqual(["password-1", 1]);
});

test("when the last has given up, the request is cut off, and whoever asks next begins another", async () => {
  const { ask, arrived, answer, cut, played } = await held();
  const controllers = [new AbortController(), new AbortController()];
  const both = controllers.map(({ signal }) => ask({ signal }));
  await arrived();
  for (const controller of controllers) controller.abort();
  for (const one of both) await expect(one).rejects.toMatchObject({ name: "AbortError" });
  await cut;
  answer();
  expect([await ask(), played.requests.length]).toEqual(["password-2", 2]);
});

test("a signal that is aborted before sends nothing", async () => {
  const { ask, played } = await numbered();
  await expect(ask({ signal: AbortSignal.abort() })).rejects.toMatchObject({ name: "AbortError" });
  expect(played.requests).toEqual([]);
});
