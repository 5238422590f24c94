/** docs/runbooks.md does what it says: each of its commands, run as it stands, shuts out whom it is for at a running broker. */

import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { ACR_BROKER } from "../cli/run.ts";
import { evaluate, parsePolicy } from "../sandbox/ram.ts";
import { stub } from "../stub.ts";
import { type Harness, startHarness } from "./harness.ts";

const page = readFileSync(new URL("../../docs/runbooks.md", import.meta.url), "utf8");
const commands = [...page.matchAll(/```sh\n(acr-broker block [^\n]+)\n```/g)].map(([, line = ""]) => line);

const KEY = `abk_nightly_${"5".repeat(64)}`;
const SUBJECT = "repo:acme/app:ref:refs/heads/main";

/** With the names of the page. */
function policy(cloud: string, issuer: string): string {
  const sha256 = createHash("sha256").update(KEY).digest("hex");
  const grant = `registry: prod, allow: ["repository:base/*:pull"], role_arn: "acs:ram::1234567890123456:role/acr-base", max_ttl: 900`;
  return `
version: 1
audience: https://acr-broker.example.com
registries:
  prod: { instance_id: cri-abc123, region: cn-hangzhou, account_id: "1234567890123456", endpoints: [acme-registry.cn-hangzhou.cr.aliyuncs.com] }
issuers:
  github: { provider: generic, issuer: "${issuer}" }
grants:
  web-main: { issuer: github, when: { sub: "${SUBJECT}" }, ${grant} }
  nightly: { api_key: nightly, ${grant} }
api_keys: { nightly: { sha256: ${sha256}, expires: 2099-01-01T00:00:00Z } }
alibaba: { sts_endpoint: "${cloud}", cr_endpoint: "${cloud}" }
blocks: { file: blocks.txt }
`;
}

const folder = mkdtempSync(join(tmpdir(), "runbooks-"));
stub(folder, "acr-broker", `exec ${process.execPath} ${ACR_BROKER} "$@"`);
afterAll(() => rmSync(folder, { recursive: true }));

test("the page has a command for each kind of block", () => {
  expect(commands.map((line) => line.split(" ")[2])).toEqual(["token", "subject", "api-key", "issuer", "grant", "all"]);
});

test.each(commands)("%s", async (line) => {
  const list = join(folder, "blocks.txt");
  writeFileSync(list, "none\n");
  const h: Harness = await startHarness({
    policy: (cloud, issuer) => {
      const text = policy(cloud, issuer);
      writeFileSync(join(folder, "broker.yaml"), text);
      return text;
    },
    files: {
      get "blocks.txt"() {
        return readFileSync(list, "utf8");
      },
    },
    secrets: [KEY.slice(-64)],
  });
  const follow = (end: string) => {
    execFileSync("bash", ["-euo", "pipefail", "-c", `${line.replace("JTI", "the-leaked-one")} ${end} | sh`], {
      cwd: folder,
      env: { PATH: `${folder}:${process.env["PATH"] ?? ""}`, HOME: folder },
    });
    h.clock.aheadMs += 2_000;
  };
  const token = await h.mint({ sub: SUBJECT, jti: "the-leaked-one" });
  const ask = async () => {
    const answers = [token, KEY].map((credential) =>
      h.ask({ registry: "prod", scope: ["repository:base/app:pull"] }, credential),
    );
    return (await Promise.all(answers)).map(({ status }) => status);
  };
  const [kind] = line.split(" ").slice(2);
  const stopped = kind === "all" ? [403, 403] : kind === "api-key" ? [200, 403] : [403, 200];

  const before = await ask();
  follow("");
  const blocked = await ask();
  follow("--lift");
  const lifted = await ask();

  expect([before, blocked, lifted]).toEqual([[200, 200], stopped, [200, 200]]);
  await h.close();
});

test("the policy for a role leaves none of its sessions anything", () => {
  const [, json = ""] = /```json\n(.*?)```/s.exec(page) ?? [];
  const role = parsePolicy(
    '{"Version":"1","Statement":[{"Effect":"Allow","Action":["cr:PullRepository","cr:GetAuthorizationToken"],"Resource":"*"}]}',
  );
  for (const action of ["cr:PullRepository", "cr:GetAuthorizationToken"]) {
    const request = { action, resource: "acs:cr:cn-hangzhou:1234567890123456:repository/cri-abc123/base/app" };
    expect([evaluate([role], request), evaluate([role, parsePolicy(json)], request)]).toEqual(["allow", "deny"]);
  }
});
