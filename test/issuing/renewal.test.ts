/** Renewal by the real issuer, cache and budget, with a cloud whose calls the test sees and answers. */

import { expect, test } from "vitest";
import { virtualTime } from "../../bench/virtual-time.ts";
import type { RoleKeys } from "../../shared/alibaba/role-keys.ts";
import type { BrokerConfig } from "../../shared/config/config.ts";
import { BrokerError } from "../../shared/error.ts";
import { assumeRoleBudget } from "../../shared/issuing/budget/budget.ts";
import { type Cloud, type IssueRequest, issuer } from "../../shared/issuing/issue.ts";
import { grant, scope } from "../policy/grants.ts";

const START = Date.parse("2026-01-01T00:00:00Z");
const LIFE = 900;
const registry = { name: "prod", instanceId: "cri-abc123", region: "cn-hangzhou", accountId: "1", endpoints: ["x"] };
const KEYS: RoleKeys = { accessKeyId: "id", accessKeySecret: "secret", from: "environment" };
const allow = [scope("repository:web/app:pull")];
const DECISION: IssueRequest["decision"] = {
  outcome: "allow",
  rights: { registry: "prod", roleArn: "acs:ram::1234567890123456:role/acr-web", scopes: allow, creatable: [] },
  grants: [grant("web", { allow })],
  maxTtlSeconds: LIFE,
};

type Outcome = Parameters<IssueRequest["renewed"]>[0];

/** By 0.5 a credential of 900 s is renewed from 337.5 s on, and given out until 450 s. */
function stage({ random = 0.5, instances = 1 } = {}) {
  const time = virtualTime(START);
  const context = { now: time.now, sleep: time.sleep, random: () => random };
  const calls: Parameters<Cloud["assumeRole"]>[0][] = [];
  const answers = { livesSeconds: LIFE, takesMs: 100, error: undefined as BrokerError | undefined };
  const cloud: Cloud = {
    async assumeRole(request) {
      await request.allowance.turn(request.deadline);
      calls.push(request);
      await time.sleep(answers.takesMs);
      if (answers.error !== undefined) throw answers.error;
      const expiresAt = new Date(time.now().getTime() + answers.livesSeconds * 1000);
      return { accessKeyId: "a", accessKeySecret: "b", securityToken: "c", expiresAt, requestId: `${calls.length}` };
    },
    async authorizationToken({ keys: { expiresAt, requestId } }) {
      return { username: "cr_temp_user", password: `password-${requestId}`, expiresAt, requestId };
    },
  };
  const config: BrokerConfig = {
    audience: "x",
    registries: new Map([["prod", registry]]),
    issuers: new Map(),
    apiKeys: new Map(),
    grants: [],
    denials: [],
    alibaba: {},
    digest: "sha256:0",
  };
  const budget = assumeRoleBudget({ instances }, undefined, context);
  const issuing = issuer(config, context, { budget, cloud });
  const told: Outcome[] = [];

  /** At so many seconds from the start; what was given out, and how it was come by. */
  async function ask(atSeconds: number, more: Partial<IssueRequest> = {}): Promise<string> {
    await time.run(START + atSeconds * 1000);
    const request = { decision: DECISION, caller: "job", keys: () => KEYS, waited: () => {} };
    const answer = issuing
      .issue({ ...request, renewed: (outcome) => told.push(outcome), ...more })
      .then(({ credential, outcome }) => `${outcome} ${credential.password}`)
      .catch((error: BrokerError) => error.code);
    await time.run();
    return answer;
  }
  return { ask, calls, told, answers, budget, time };
}

test("one that is used again and again is renewed beside the request that finds it ageing, which does not wait", async () => {
  const it = stage();
  expect(await it.ask(0)).toBe("miss password-1");
  expect(await it.ask(100)).toBe("hit password-1");
  expect(await it.ask(337)).toBe("hit password-1");
  expect(it.calls).toHaveLength(1);
  expect(await it.ask(338)).toBe("hit password-1");
  expect(it.calls).toHaveLength(2);
  // At 460 s the first would not have served any more.
  expect(await it.ask(460)).toBe("hit password-2");
  expect(it.told).toMatchObject([{ outcome: "renewal", credential: { password: "password-2" } }]);
});

test("a renewed one was asked for as the first was: role, session name, session policy, life", async () => {
  const it = stage();
  for (const at of [0, 100, 400]) await it.ask(at);
  const [first, second] = it.calls;
  expect(it.calls).toHaveLength(2);
  const said = (call = first) => [call?.roleArn, call?.roleSessionName, call?.policy.json, call?.durationSeconds];
  expect(said(second)).toEqual(said(first));
  expect(said(first)[2]).toContain("web/app");
});

test("one that was used once is not", async () => {
  const it = stage();
  for (const at of [0, 440]) await it.ask(at);
  expect(it.calls).toHaveLength(1);
});

test("a renewed one has to be used again and again itself", async () => {
  const it = stage();
  for (const at of [0, 100, 400, 780]) await it.ask(at);
  expect(it.calls).toHaveLength(2);
});

test("of many requests that find it ageing one renews it", async () => {
  const it = stage();
  for (const at of [0, 100]) await it.ask(at);
  it.answers.takesMs = 5_000;
  await it.time.run(START + 400_000);
  await Promise.all([1, 2, 3, 4].map(() => it.ask(400)));
  expect(it.calls).toHaveLength(2);
});

test("what is renewed when goes by what callers need: min_ttl of 60 s serves longer", async () => {
  const it = stage();
  await it.ask(0);
  for (const at of [100, 400, 620]) expect(await it.ask(at, { minTtlSeconds: 60 })).toBe("hit password-1");
  expect(it.calls).toHaveLength(1);
  // 840 s that it serves, of which the last quarter.
  await it.ask(640, { minTtlSeconds: 60 });
  expect(it.calls).toHaveLength(2);
});

test("those made together are renewed apart, by chance", async () => {
  const renewedAt = async (random: number) => {
    const it = stage({ random });
    await it.ask(0);
    for (let at = 100; ; at += 5) {
      await it.ask(at);
      if (it.calls.length > 1) return at;
    }
  };
  expect([await renewedAt(0), await renewedAt(0.5), await renewedAt(0.999)]).toEqual([410, 340, 275]);
});

test("it is recorded before anybody is given it, and where it cannot be recorded nobody is", async () => {
  const it = stage();
  for (const at of [0, 100]) await it.ask(at);
  const renewed = () => {
    throw new Error("the log is gone");
  };
  await it.ask(400, { renewed });
  expect(it.calls).toHaveLength(2);
  expect(await it.ask(401)).toBe("hit password-1");
});

test.each<[string, (it: ReturnType<typeof stage>) => void, string]>([
  [
    "that is refused",
    ({ answers }) => {
      answers.error = new BrokerError("upstream_rejected", "NoPermission");
    },
    "upstream_rejected",
  ],
  [
    "that would outlive what was decided",
    ({ answers }) => {
      answers.livesSeconds = LIFE + 500;
    },
    "upstream_rejected",
  ],
  [
    "that is over already",
    ({ answers }) => {
      answers.livesSeconds = -1;
    },
    "upstream_rejected",
  ],
])("one %s is told and hurts nobody: the old one serves as long as it would have", async (_, spoil, code) => {
  const it = stage();
  for (const at of [0, 100]) await it.ask(at);
  spoil(it);
  expect(await it.ask(400)).toBe("hit password-1");
  expect(it.told).toMatchObject([{ error: { code } }]);
  expect(await it.ask(440)).toBe("hit password-1");
  expect(await it.ask(451)).toBe(code);
});

test("without the broker's keys there is none, and no turn is taken for it", async () => {
  const it = stage();
  for (const at of [0, 100]) await it.ask(at);
  const keys = () => {
    throw new BrokerError("not_ready", "no keys");
  };
  expect(await it.ask(400, { keys })).toBe("hit password-1");
  expect(it.told).toMatchObject([{ error: { code: "not_ready" } }]);
  expect([await it.budget.spare(), it.calls.length]).toEqual([expect.anything(), 1]);
});

test("it goes by the keys of the request that begins it", async () => {
  const it = stage();
  for (const at of [0, 100]) await it.ask(at);
  await it.ask(400, { keys: () => ({ ...KEYS, accessKeyId: "of-this-request", from: "request" }) });
  expect(it.calls.map(({ keys }) => keys.accessKeyId)).toEqual(["id", "of-this-request"]);
});

test("where there is no turn to spare it is left for a later request, ten seconds on at the earliest", async () => {
  const it = stage({ instances: 100 });
  for (const at of [0, 100]) await it.ask(at);
  // One turn in 1.25 s, and a stranger has it.
  await it.time.run(START + 400_000);
  void it.budget.of("other", () => {}).turn(new Date(START + 408_000));
  expect(await it.ask(400)).toBe("hit password-1");
  await it.ask(405);
  expect([it.calls.length, it.told]).toEqual([1, []]);
  await it.ask(410);
  expect(it.calls).toHaveLength(2);
});
