import { once } from "node:events";
import { createServer, type RequestListener, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { exportJWK, generateKeyPair } from "jose";
import { afterEach, beforeAll, describe, expect, test } from "vitest";
import type { OidcIssuer } from "../../shared/config/config.ts";
import type { VerificationKey } from "../../shared/identity/jwks.ts";
import { keySource } from "../../shared/identity/key-source.ts";

const ISSUER = "https://issuer.example";

function issuer(facts: Partial<OidcIssuer> = {}): OidcIssuer {
  return {
    name: "ci",
    provider: "generic",
    issuer: ISSUER,
    audience: "https://broker.example",
    algorithms: ["RS256"],
    keys: { from: "discovery" },
    maxTokenLifetimeSeconds: 3600,
    replay: "off",
    ...facts,
  };
}

let jwk: Record<string, unknown>;
beforeAll(async () => {
  jwk = { ...(await exportJWK((await generateKeyPair("RS256", { extractable: true })).publicKey)) };
});

/** An issuer whose documents a test can change, and a clock that it moves. */
function stage(documents: { discovery?: unknown; kids: string[]; down?: boolean }) {
  const clock = { ms: Date.parse("2026-01-01T00:00:00Z") };
  const fetched: string[] = [];
  const source = keySource(
    issuer(),
    async (url) => {
      fetched.push(url);
      if (documents.down) throw new TypeError("fetch failed", { cause: { code: "ECONNREFUSED" } });
      return Response.json(
        url.endsWith("/openid-configuration")
          ? (documents.discovery ?? { issuer: ISSUER, jwks_uri: `${ISSUER}/jwks` })
          : { keys: documents.kids.map((kid) => ({ ...jwk, kid })) },
      );
    },
    () => new Date(clock.ms),
  );
  const has = (kid: string) => (keys: readonly VerificationKey[]) => keys.some((key) => key.kid === kid);
  return { source, fetched, clock, documents, find: (kid: string) => source.keys(has(kid)).then(has(kid)) };
}

const MINUTE = 60_000;

describe("what is remembered", () => {
  test("many who need the keys at once fetch them once", async () => {
    const { find, fetched } = stage({ kids: ["a"] });
    expect(await Promise.all(Array.from({ length: 20 }, () => find("a")))).not.toContain(false);
    expect(fetched).toEqual([`${ISSUER}/.well-known/openid-configuration`, `${ISSUER}/jwks`]);
  });

  test("an unknown key is looked for again, but at most every 30 seconds", async () => {
    const { find, fetched, clock, documents, source } = stage({ kids: ["a"] });
    await find("a");
    documents.kids = ["a", "b"];
    expect(await find("b")).toBe(false);
    expect(source.retryAfterSeconds()).toBe(30);
    clock.ms += 30_000;
    expect(await find("b")).toBe(true);
    expect(fetched).toHaveLength(4);
  });

  test("past a quarter of an hour the issuer is asked before its keys are believed again", async () => {
    const { find, clock, documents } = stage({ kids: ["a", "b"] });
    await find("a");
    documents.kids = ["b"];
    clock.ms += 16 * MINUTE;
    expect(await Promise.all([find("a"), find("a")])).toEqual([false, false]);
    expect(await find("b")).toBe(true);
  });

  test("before that, a key that the issuer took back is believed for one request more", async () => {
    const { find, clock, documents } = stage({ kids: ["a", "b"] });
    await find("a");
    documents.kids = ["b"];
    clock.ms += 11 * MINUTE;
    await find("b"); // finds the keys old, is served, and has them fetched
    await new Promise(setImmediate);
    expect(await find("a")).toBe(false);
  });

  test("an issuer that is down is believed for twelve hours, and no longer", async () => {
    const { find, clock, documents } = stage({ kids: ["a"] });
    await find("a");
    documents.down = true;
    clock.ms += 12 * 60 * MINUTE;
    expect(await find("a")).toBe(true);
    clock.ms += MINUTE;
    await expect(find("a")).rejects.toMatchObject({ code: "issuer_unavailable", facts: { retryAfterSeconds: 5 } });
  });

  test("an issuer that never answered is asked again after five seconds, not before", async () => {
    const { find, fetched, clock } = stage({ kids: ["a"], down: true });
    await expect(find("a")).rejects.toThrow("ECONNREFUSED");
    await expect(find("a")).rejects.toThrow("ECONNREFUSED");
    expect(fetched).toHaveLength(1);
    clock.ms += 5_000;
    await expect(find("a")).rejects.toThrow("ECONNREFUSED");
    expect(fetched).toHaveLength(2);
  });
});

describe("to the millisecond", () => {
  const HOUR = 60 * MINUTE;

  test("keys are fresh for ten minutes, and believed beside a fetch for five more", async () => {
    const { find, fetched, clock } = stage({ kids: ["a"] });
    await find("a");
    clock.ms += 10 * MINUTE;
    await find("a");
    expect(fetched).toHaveLength(2);
    clock.ms += 1;
    expect(await find("a")).toBe(true);
    await new Promise(setImmediate);
    expect(fetched).toHaveLength(4);
  });

  test("to a quarter of an hour they are served before the issuer has answered, and from then on after", async () => {
    for (const [age, served] of [
      [15 * MINUTE, true],
      [15 * MINUTE + 1, false],
    ] as const) {
      const { find, clock, documents } = stage({ kids: ["a"] });
      await find("a");
      documents.kids = ["b"];
      clock.ms += age;
      expect([age, await find("a")]).toEqual([age, served]);
      await new Promise(setImmediate);
    }
  });

  test("where the issuer is down they are asked for every half minute, and believed until twelve hours are over", async () => {
    const { find, fetched, clock, documents } = stage({ kids: ["a"] });
    await find("a");
    documents.down = true;
    clock.ms += 11 * HOUR;
    expect(await find("a")).toBe(true);
    clock.ms += 29_999;
    expect(await find("a")).toBe(true);
    expect(fetched).toHaveLength(3);
    clock.ms += 1;
    expect(await find("a")).toBe(true);
    expect(fetched).toHaveLength(4);
    clock.ms += HOUR - 30_000 + 1;
    await expect(find("a")).rejects.toMatchObject({ code: "issuer_unavailable" });
  });

  test("an unknown key waits for a fetch that is under way, whenever the last one was", async () => {
    const { find, fetched, clock, documents } = stage({ kids: ["a"] });
    await find("a");
    documents.kids = ["a", "b"];
    clock.ms += 29_999;
    expect([await find("b"), fetched.length]).toEqual([false, 2]);
    clock.ms += 1;
    expect(await Promise.all([find("b"), find("b")])).toEqual([true, true]);
    expect(fetched).toHaveLength(4);
  });

  test("how long until an unknown key is looked for again is told in whole seconds, one at least", async () => {
    const { find, clock, source } = stage({ kids: ["a"] });
    await find("a");
    const told = [0, 1, 999, 1000, 29_999, 30_000, 60_000].map((ms) => {
      clock.ms = Date.parse("2026-01-01T00:00:00Z") + ms;
      return source.retryAfterSeconds();
    });
    expect(told).toEqual([30, 30, 30, 29, 1, 1, 1]);
  });
});

describe("where it asks, and what it makes of a failure", () => {
  const asking = (facts: Partial<OidcIssuer>, cause?: unknown) => {
    const fetched: string[] = [];
    const source = keySource(
      issuer(facts),
      async (url) => {
        fetched.push(url);
        if (cause !== undefined) throw cause;
        return Response.json(
          url.endsWith("/openid-configuration")
            ? { issuer: facts.issuer ?? ISSUER, jwks_uri: `${ISSUER}/jwks` }
            : { keys: [jwk] },
        );
      },
      () => new Date(0),
    );
    return { source, fetched, keys: () => source.keys(() => true) };
  };

  test("a pinned file is never fetched, a pinned URL alone, and else what discovery names", async () => {
    const file = asking({ keys: { from: "file", path: "keys.json", jwks: { keys: [jwk] } } });
    expect([(await file.keys()).length, file.fetched, file.source.retryAfterSeconds()]).toEqual([1, [], 0]);
    const url = asking({ keys: { from: "url", url: "https://keys.example/jwks" } });
    expect([(await url.keys()).length, url.fetched]).toEqual([1, ["https://keys.example/jwks"]]);
    const slash = asking({ issuer: `${ISSUER}/` });
    await slash.keys();
    expect(slash.fetched).toEqual([`${ISSUER}/.well-known/openid-configuration`, `${ISSUER}/jwks`]);
  });

  const broken = (code?: unknown) => new TypeError("CANARY", { cause: { code } });
  const unknownCa = "its certificate is of no public CA: name its CA in ca_file";
  const otherCa = "its certificate is of no CA in ca_file: put the one that signed it there";
  const ca = { ca: { path: "ca.pem", certificates: [] } } as unknown as Partial<OidcIssuer>;

  test.each<[unknown, string, Partial<OidcIssuer>?]>([
    ["a text", "(failed); try again, or pin them with jwks_file"],
    [new DOMException("CANARY", "TimeoutError"), "(no answer within 3 s); try again, or pin them with jwks_file"],
    [new Error("status 404"), "(status 404); try again, or pin them with jwks_file"],
    [new Error("status 404"), "(status 404); try again", { template: "https://{x}" } as Partial<OidcIssuer>],
    [new TypeError("CANARY"), "(the connection failed or was redirected); try again"],
    [broken(), "(the connection failed or was redirected); try again"],
    [broken(7), "(the connection failed or was redirected); try again"],
    [broken("ECONNRESET"), "(ECONNRESET); try again, or pin them with jwks_file"],
    ...[
      ...["SELF_SIGNED_CERT_IN_CHAIN", "DEPTH_ZERO_SELF_SIGNED_CERT", "UNABLE_TO_GET_ISSUER_CERT"],
      ...["UNABLE_TO_GET_ISSUER_CERT_LOCALLY", "UNABLE_TO_VERIFY_LEAF_SIGNATURE", "CERT_SIGNATURE_FAILURE"],
    ].flatMap((code): [unknown, string, Partial<OidcIssuer>?][] => [
      [broken(code), `(${code}); ${unknownCa}`],
      [broken(code), `(${code}); ${otherCa}`, ca],
    ]),
    [broken("CERT_HAS_EXPIRED"), "its certificate or its CA's has expired: have it renewed"],
    [broken("CERT_NOT_YET_VALID"), "its certificate or its CA's is not valid yet: compare the clocks"],
    [
      broken("ERR_TLS_CERT_ALTNAME_INVALID"),
      "its certificate is for other host names: have it issued for the issuer's",
    ],
  ])("%o: %s", async (cause, told, facts = {}) => {
    const error = await asking(facts, cause)
      .keys()
      .catch((thrown: Error) => thrown);
    expect(error).toMatchObject({ code: "issuer_unavailable", facts: { retryAfterSeconds: 5 } });
    const message = (error as Error).message;
    expect(message.startsWith("the keys of issuer ci could not be fetched (")).toBe(true);
    expect(message).toContain(told);
    expect(message).not.toContain("CANARY");
    if (facts.template !== undefined) expect(message.endsWith("; try again")).toBe(true);
  });
});

describe("a discovery document is not believed", () => {
  test.each([
    [{ issuer: "https://evil.example", jwks_uri: `${ISSUER}/jwks` }, "another issuer"],
    [{ issuer: `${ISSUER}/`, jwks_uri: `${ISSUER}/jwks` }, "another issuer"],
    [{ issuer: ISSUER, jwks_uri: "https://evil.example/jwks" }, "another host"],
    [{ issuer: ISSUER, jwks_uri: "https://issuer.example:8443/jwks" }, "another host"],
    [{ issuer: ISSUER, jwks_uri: "http://issuer.example/jwks" }, "another host"],
    [{ issuer: ISSUER, jwks_uri: "https://issuer.example@evil.example/jwks" }, "another host"],
    [{ issuer: ISSUER }, "no jwks_uri"],
    [{ issuer: ISSUER, jwks_uri: ["https://issuer.example/jwks"] }, "no jwks_uri"],
    [{ issuer: ISSUER, jwks_uri: "/jwks" }, "no jwks_uri"],
    [[], "another issuer"],
  ])("%j", async (discovery, why) => {
    const { find, fetched } = stage({ discovery, kids: ["a"] });
    await expect(find("a")).rejects.toThrow(why);
    expect(fetched).toHaveLength(1);
  });
});

test("a set without a usable key is a failure, not an empty trust", async () => {
  await expect(stage({ kids: [] }).find("a")).rejects.toThrow("none of its keys");
});

describe("over a real connection", () => {
  let server: Server | undefined;
  afterEach(() => {
    server?.closeAllConnections();
    server?.close();
  });

  async function keysFrom(listener: RequestListener): Promise<unknown> {
    server = createServer(listener).listen(0, "127.0.0.1");
    await once(server, "listening");
    const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    return keySource(issuer({ issuer: url, keys: { from: "url", url: `${url}/jwks` } }), fetch, () => new Date()).keys(
      () => true,
    );
  }

  test("a redirect is not followed", async () => {
    const visited: unknown[] = [];
    const attempt = keysFrom((request, response) => {
      visited.push(request.url);
      response.writeHead(302, { location: "/elsewhere" }).end();
    });
    await expect(attempt).rejects.toMatchObject({ code: "issuer_unavailable" });
    expect(visited).toEqual(["/jwks"]);
  });

  test("an endless body is cut off", async () => {
    const attempt = keysFrom((_, response) => {
      const more = (): void => {
        while (response.write("x".repeat(16_384)));
        response.once("drain", more);
      };
      more();
    });
    await expect(attempt).rejects.toThrow("more than 65536 bytes");
  });

  test("an error page is not read", async () => {
    await expect(keysFrom((_, response) => response.writeHead(500).end("secret"))).rejects.toThrow("status 500");
  });

  test("no answer is waited for longer than three seconds", async () => {
    await expect(keysFrom(() => {})).rejects.toThrow("no answer within 3 s");
  });
});
