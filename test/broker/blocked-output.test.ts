/** A credential leaves when its audit event has been written, and not before. */

import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { expect, test } from "vitest";
import { BrokerError } from "../../shared/error.ts";
import { DIST } from "../sandbox/broker-process.ts";
import { policy, read, startHarness } from "./harness.ts";

const FIELDS = { registry: "prod", scope: ["repository:web/app:pull"] };

test("where it cannot be written the answer is not_ready, and the token has not been used", async () => {
  let isBlocked = true;
  const h = await startHarness({
    written: async () => {
      if (isBlocked) throw new BrokerError("not_ready", "blocked");
    },
    policy: (cloud, issuer) =>
      policy(cloud, issuer).replace(`issuer: "${issuer}" }`, `issuer: "${issuer}", replay: once }`),
  });
  const token = await h.mint();
  expect(await read(await h.ask(FIELDS, token))).toMatchObject({ status: 503, code: "not_ready" });
  const outcomes = h.logged().flatMap(({ event, issued, code }) => (event === "decision" ? [[issued, code]] : []));
  expect(outcomes).toEqual([
    [true, undefined],
    [false, "not_ready"],
  ]);
  isBlocked = false;
  expect((await h.ask(FIELDS, token)).status).toBe(200);
  await h.close();
});

test("the built broker, whose output nobody reads, answers on but gives nothing out until somebody does", async () => {
  const h = await startHarness();
  const folder = await mkdtemp(join(tmpdir(), "acr-broker-"));
  await writeFile(join(folder, "broker.yaml"), policy(h.cloud.url, h.issuer.url));
  const keys = h.cloud.functionRoleKeys("acs:ram::1234567890123456:role/acr-token-broker");
  const child = spawn(process.execPath, [join(DIST, "server.cjs")], {
    stdio: ["ignore", "pipe", "inherit"],
    env: {
      BROKER_CONFIG: join(folder, "broker.yaml"),
      BROKER_HOST: "127.0.0.1",
      FC_SERVER_PORT: "0",
      ALIBABA_CLOUD_ACCESS_KEY_ID: keys.accessKeyId,
      ALIBABA_CLOUD_ACCESS_KEY_SECRET: keys.accessKeySecret,
      ALIBABA_CLOUD_SECURITY_TOKEN: keys.securityToken,
    },
  });
  const written: string[] = [];
  const output = createInterface(child.stdout).on("line", (line) => written.push(line));
  const [started] = (await once(output, "line")) as [string];
  const url = `http://127.0.0.1:${/127\.0\.0\.1:(\d+)/.exec(started)?.[1]}`;
  const healthy = () => fetch(`${url}/healthz`).then((response) => response.status);
  const ask = async () => {
    const response = await fetch(`${url}/v1/token`, {
      method: "POST",
      headers: { authorization: `Bearer ${await h.mint()}`, "content-type": "application/json" },
      body: JSON.stringify(FIELDS),
    });
    return (await read(response)).token_fingerprint;
  };
  const fingerprint = await ask();

  output.pause();
  // More than the way to here holds: a socket's or a pipe's buffer, and Node's own.
  const path = `/${"x".repeat(100)}`;
  for (let round = 0; round < 45; round++) {
    await Promise.all(Array.from({ length: 50 }, () => fetch(url + path).then((response) => response.text())));
  }
  let answered = false;
  const waiting = ask().then((given) => {
    answered = true;
    return given;
  });
  // Had it not waited it would have been answered long before these, each of which begins when another has ended.
  for (let count = 0; count < 30; count++) expect(await healthy()).toBe(200);
  expect(answered).toBe(false);

  output.resume();
  expect(await waiting).toBe(fingerprint);
  const decisions = () => written.filter((line) => line.includes('"event":"decision"'));
  child.kill();
  await once(child, "close");
  expect(decisions()).toHaveLength(2);
  expect(written.filter((line) => line.includes('"event":"request"'))).toHaveLength(2 + 45 * 50 + 30);
  await Promise.all([h.close(), rm(folder, { recursive: true })]);
});
