import { describe, expect, test } from "vitest";
import { policy, read, startHarness } from "./harness.ts";

const scope = ["repository:web/app:pull"];

describe("replay: once", () => {
  const once = (cloud: string, issuer: string) =>
    policy(cloud, issuer).replace(`issuer: "${issuer}" }`, `issuer: "${issuer}", replay: once }`);

  test("a token serves once, and again only where nothing was issued for it", async () => {
    const strict = await startHarness({ policy: once });
    const token = await strict.mint();
    const fields = { registry: "prod", scope };
    strict.cloud.failNext("AssumeRole", { status: 400, code: "SomethingOdd" });
    expect((await strict.ask(fields, token)).status).toBe(502);
    expect((await strict.ask(fields, token)).status).toBe(200);
    const again = await strict.ask(fields, token);
    expect(await again.json()).toMatchObject({ status: 401, code: "token_replayed" });
    expect((await strict.ask(fields, await strict.mint())).status).toBe(200);
    expect(await (await strict.ask(fields, await strict.mint({ jti: null }))).json()).toMatchObject({
      code: "invalid_token",
    });
    await strict.close();
  });

  test("bind: any number of times for the same scopes, and for no others", async () => {
    const bound = await startHarness({
      policy: (cloud, issuer) => once(cloud, issuer).replace("replay: once", "replay: bind"),
    });
    const token = await bound.mint();
    const ask = async (...scopes: string[]) =>
      (await read(await bound.ask({ registry: "prod", scope: scopes }, token))).code;
    bound.cloud.failNext("AssumeRole", { status: 400, code: "SomethingOdd" });
    expect(await ask("repository:web/other:pull")).toBe("upstream_rejected"); // binds nothing: nothing was issued
    expect(await ask("repository:web/a:pull", "repository:web/b:pull")).toBeUndefined();
    expect(await ask("repository:web/b:pull", "repository:web/a:pull")).toBeUndefined();
    expect(await ask("repository:web/a:pull")).toBe("token_replayed");
    expect(await ask("repository:web/a:push", "repository:web/b:pull")).toBe("token_replayed");
    await bound.close();
  });

  test("count: so many times", async () => {
    const counted = await startHarness({
      policy: (cloud, issuer) => once(cloud, issuer).replace("replay: once", "replay: { count: 2 }"),
    });
    const token = await counted.mint();
    const ask = async (name: string) =>
      (await counted.ask({ registry: "prod", scope: [`repository:web/${name}:pull`] }, token)).status;
    counted.cloud.failNext("AssumeRole", { status: 400, code: "SomethingOdd" });
    expect([await ask("a"), await ask("a"), await ask("b"), await ask("c")]).toEqual([502, 200, 200, 401]);
    await counted.close();
  });

  test("of two at once one is served", async () => {
    const strict = await startHarness({ policy: once });
    const token = await strict.mint();
    const statuses = await Promise.all(
      [1, 2, 3].map(async () => (await strict.ask({ registry: "prod", scope }, token)).status),
    );
    expect(statuses.sort()).toEqual([200, 401, 401]);
    await strict.close();
  });
});
