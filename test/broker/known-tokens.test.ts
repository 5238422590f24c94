/** A token that has been verified before is not verified again (shared/identity/token-memory.ts); all that comes after happens each time. */

import { expect, test } from "vitest";
import { policy, startHarness } from "./harness.ts";

const FIELDS = { registry: "prod", scope: ["repository:base/alpine:pull"] };

test("the limits of its grant are asked, its uses counted, and each decision recorded", async () => {
  let from = "10.1.2.3";
  const h = await startHarness({
    socketAddress: () => from,
    policy: (cloud, issuer) =>
      policy(cloud, issuer)
        .replace(`issuer: "${issuer}" }`, `issuer: "${issuer}", replay: { count: 3 } }`)
        .replace("  base-pull: { issuer: ci, when: { sub: job }", "$&, cidrs: [10.0.0.0/8]")
        .replace("  web-main:", "$&\n    cidrs: [10.0.0.0/8]"),
  });
  const token = await h.mint({ jti: "sent-often" });
  const ask = async () => (await h.ask(FIELDS, token)).status;

  const inside = [await ask(), await ask()];
  from = "192.0.2.7";
  const outside = await ask();
  from = "10.1.2.3";
  const after = [await ask(), await ask()];

  expect([...inside, outside, ...after]).toEqual([200, 200, 403, 200, 401]);
  const decisions = h.logged().filter(({ event }) => event === "decision");
  expect(decisions.map(({ outcome, code, cache }) => [outcome, code, cache])).toEqual([
    ["allow", undefined, "miss"],
    ["allow", undefined, "hit"],
    ["deny", "access_denied", undefined],
    ["allow", undefined, "hit"],
    ["allow", "token_replayed", undefined],
  ]);
  expect(new Set(decisions.map((event) => event["token_id"]))).toEqual(new Set(["sent-often"]));
  await h.close();
});

test("a token that a client sends over the other route is the same token", async () => {
  const h = await startHarness({
    policy: (cloud, issuer) =>
      policy(cloud, issuer).replace(`issuer: "${issuer}" }`, `issuer: "${issuer}", replay: once }`),
  });
  const token = await h.mint();
  const exchange = () =>
    h.request("/oauth2/token", {
      method: "POST",
      body: new URLSearchParams({
        grant_type: "urn:ietf:params:oauth:grant-type:token-exchange",
        subject_token: token,
        subject_token_type: "urn:ietf:params:oauth:token-type:jwt",
        audience: "prod",
        scope: "repository:base/alpine:pull",
      }),
    });
  expect((await h.ask(FIELDS, token)).status).toBe(200);
  const again = await exchange();
  expect([again.status, ((await again.json()) as { code: string }).code]).toEqual([400, "token_replayed"]);
  await h.close();
});
