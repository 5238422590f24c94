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

describe("a discovery document is not believed", () => {
  test.each([
    [{ issuer: "https://evil.example", jwks_uri: `${ISSUER}/jwks` }, "another issuer"],
    [{ issuer: `${ISSUER}/`, jwks_uri: `${ISSUER}/jwks` }, "another issuer"],
    [{ issuer: ISSUER, jwks_uri: "https://evil.example/jwks" }, "another host"],
    [{ issuer: ISSUER, jwks_uri: "https://issuer.example:8443/jwks" }, "another host"],
    [{ issuer: ISSUER, jwks_uri: "http://issuer.example/jwks" }, "another host"],
    [{ issuer: ISSUER, jwks_uri: "https://issuer.example@evil.example/jwks" }, "another host"],
    [{ issuer: ISSUER }, "no jwks_uri"],
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
