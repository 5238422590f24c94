import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import { parse } from "yaml";
import { loadConfig } from "../../shared/config/load.ts";
import { makeCa } from "../certificates.ts";
import { inFolder } from "../cli/ram/folder.ts";
import { acrBroker } from "../cli/run.ts";
import { evaluate, type Policy, parsePolicy, parseTrustPolicy, trusts } from "../sandbox/ram.ts";
import { ROOT } from "./preview.ts";

const doc = readFileSync(path.join(ROOT, "docs/deploy.md"), "utf8");
const json = blocks("json");
const yaml = blocks("yaml");
const shell = blocks("sh");

const ACCOUNT = "1234567890123456";
const FUNCTION_ROLE = `acs:ram::${ACCOUNT}:role/acr-token-broker`;
const TARGET_ROLE = `acs:ram::${ACCOUNT}:role/acr-web`;
const IMAGES = `acs:cr:cn-hangzhou:${ACCOUNT}:repository/cri-abc123`;
const LOG_STORE = `acs:log:cn-hangzhou:${ACCOUNT}:project/acr-token-broker-${ACCOUNT}/logstore/broker`;

interface Document {
  readonly Statement: readonly object[];
}
interface Printed {
  readonly file_stem: string;
  readonly trust: Document;
  readonly policy: Document;
}

const allow = (Action: string, Resource: string | string[]) => ({ Effect: "Allow", Action, Resource });
const trusted = (Principal: object) => ({
  Version: "1",
  Statement: [{ Effect: "Allow", Action: "sts:AssumeRole", Principal }],
});

/** Every policy of the document, word for word: a change here is a change of what people paste into RAM. */
const EXPECTED: Record<string, unknown> = {
  "function-trust.json": trusted({ Service: ["fc.aliyuncs.com"] }),
  "function-policy.json": { Version: "1", Statement: [allow("sts:AssumeRole", [TARGET_ROLE])] },
  "function-logs.json": { Version: "1", Statement: [allow("log:PostLogStoreLogs", [LOG_STORE])] },
  "acr-web-trust.json": trusted({ RAM: [FUNCTION_ROLE] }),
  "acr-web-policy.json": {
    Version: "1",
    Statement: [
      allow("cr:GetAuthorizationToken", "*"),
      allow("cr:PullRepository", [`${IMAGES}/base/*`, `${IMAGES}/web/*`]),
      allow("cr:PushRepository", [`${IMAGES}/web/*`]),
    ],
  },
  "acr-web-create.json": { Version: "1", Statement: [allow("cr:CreateRepository", [`${IMAGES}/web/*`])] },
};

describe("the policies of docs/deploy.md", () => {
  test("every JSON block parses, and every policy has a file name and is known", () => {
    expect(json).toHaveLength(doc.match(/^```json$/gm)?.length ?? 0);
    const policies = json.filter((block) => "Statement" in (JSON.parse(block.text) as object));
    expect(policies.map((block) => block.file).sort()).toEqual(Object.keys(EXPECTED).sort());
  });

  test.each(Object.keys(EXPECTED))("%s says exactly what is intended", (file) => {
    expect(JSON.parse(policyText(file))).toEqual(EXPECTED[file]);
  });

  test("the roles' policies are what acr-broker ram prints for the document's broker.yaml", async () => {
    const policy = yaml.find((block) => block.text.startsWith("version:"))?.text ?? "";
    const ram = (text: string) =>
      inFolder({ "broker.yaml": text }, (cwd) => {
        const { out, told } = acrBroker(["ram", "--json"], { cwd });
        expect(told).toBe("");
        const { function_role, roles } = JSON.parse(out) as { function_role: Printed; roles: Printed[] };
        return [function_role, ...roles];
      });
    const printed = await ram(policy);
    const documents = printed.flatMap(({ file_stem: stem, trust, policy: permissions }) => [
      [`${stem}-trust.json`, trust],
      [`${stem}-policy.json`, permissions],
    ]);
    const { "function-logs.json": _, "acr-web-create.json": create, ...roles } = EXPECTED;
    expect(Object.fromEntries(documents)).toEqual(roles);
    // With create_repository the second policy, beside the first, gives what is printed in one.
    const [, creating] = await ram(policy.replaceAll("max_ttl: 1800", "max_ttl: 1800\n    create_repository: true"));
    const push = creating?.policy.Statement.at(-1);
    expect(push).toEqual({
      ...(create as Document).Statement[0],
      Action: ["cr:PushRepository", "cr:CreateRepository"],
    });
  });

  test("a wildcard stands only for the repositories of one namespace, and for the one action that takes nothing else", () => {
    for (const file of Object.keys(EXPECTED).filter((name) => !name.endsWith("-trust.json"))) {
      for (const { Action, Resource } of statements(file)) {
        expect(Action, file).not.toContain("*");
        for (const resource of [Resource].flat().filter((name) => name.includes("*"))) {
          if (Action === "cr:GetAuthorizationToken") expect(resource).toBe("*");
          else expect(resource, file).toMatch(/^acs:cr:[^*]+:repository\/cri-[a-z0-9]+\/[a-z0-9-]+\/\*$/);
        }
      }
    }
  });

  test("only Function Compute takes the function's role, and only that role takes the target", () => {
    const functionTrust = parseTrustPolicy(policyText("function-trust.json"));
    const targetTrust = parseTrustPolicy(policyText("acr-web-trust.json"));
    expect(trusts(functionTrust, { service: "fc.aliyuncs.com" }, {})).toBe(true);
    expect(trusts(functionTrust, { service: "ecs.aliyuncs.com" }, {})).toBe(false);
    expect(trusts(functionTrust, { principalArn: FUNCTION_ROLE, accountId: ACCOUNT }, {})).toBe(false);
    expect(trusts(targetTrust, { principalArn: FUNCTION_ROLE, accountId: ACCOUNT }, {})).toBe(true);
    const other = `acs:ram::${ACCOUNT}:role/other`;
    expect(trusts(targetTrust, { principalArn: other, accountId: ACCOUNT }, {})).toBe(false);
  });

  test("the function's role assumes the named role and nothing else", () => {
    const policies = [parsePolicy(policyText("function-policy.json"))];
    expect(evaluate(policies, { action: "sts:AssumeRole", resource: TARGET_ROLE })).toBe("allow");
    expect(evaluate(policies, { action: "sts:AssumeRole", resource: `${TARGET_ROLE}-2` })).toBe("none");
    expect(can(policies, "cr:PullRepository", `${IMAGES}/web/app`)).toBe(false);
  });

  test("the target role logs in, pulls both namespaces and pushes to one", () => {
    const policies = [parsePolicy(policyText("acr-web-policy.json"))];
    expect(can(policies, "cr:GetAuthorizationToken", "*")).toBe(true);
    expect(can(policies, "cr:PullRepository", `${IMAGES}/web/app`)).toBe(true);
    expect(can(policies, "cr:PullRepository", `${IMAGES}/base/alpine`)).toBe(true);
    expect(can(policies, "cr:PushRepository", `${IMAGES}/web/app`)).toBe(true);
    expect(can(policies, "cr:PushRepository", `${IMAGES}/base/alpine`)).toBe(false);
    expect(can(policies, "cr:PullRepository", `${IMAGES}/secret/vault`)).toBe(false);
    expect(can(policies, "cr:CreateRepository", `${IMAGES}/web/app`)).toBe(false);
    expect(can(policies, "cr:DeleteRepository", `${IMAGES}/web/app`)).toBe(false);
  });

  test("the mistake that the document warns of does match nothing", () => {
    const wrong = policyText("acr-web-policy.json").replaceAll("repository/cri-abc123/", "repository/");
    expect(can([parsePolicy(wrong)], "cr:PushRepository", `${IMAGES}/web/app`)).toBe(false);
  });
});

describe("the rest of docs/deploy.md", () => {
  test("every YAML block parses", () => {
    for (const block of yaml) expect(parse(block.text), block.text).toBeTypeOf("object");
  });

  test("broker.yaml starts the broker, also with the VPC endpoints and Redis", () => {
    const folder = mkdtempSync(path.join(tmpdir(), "broker-yaml-"));
    const file = path.join(folder, "broker.yaml");
    try {
      const policy = yaml.find((block) => block.text.startsWith("version:"))?.text ?? "";
      const endpoints = yaml.find((block) => block.text.startsWith("alibaba:"))?.text ?? "";
      const redis = yaml.find((block) => block.text.startsWith("redis:"))?.text ?? "";
      writeFileSync(path.join(folder, "redis-ca.pem"), makeCa().cert);
      for (const text of [policy, policy + endpoints, policy + endpoints + redis]) {
        writeFileSync(file, text);
        expect(loadConfig(file).grants.map(({ name }) => name)).toEqual(["web-main", "web-gitlab"]);
      }
    } finally {
      rmSync(folder, { recursive: true });
    }
  });

  test("broker.yaml asks for no role and no namespace that the policies do not give", () => {
    const config = parse(yaml.find((block) => block.text.startsWith("version:"))?.text ?? "") as {
      registries: Record<string, Record<string, unknown>>;
      grants: Record<string, { role_arn: string; allow: string[] }>;
    };
    expect(config.registries["prod"]).toMatchObject({
      instance_id: "cri-abc123",
      region: "cn-hangzhou",
      account_id: ACCOUNT,
    });
    const policies = [parsePolicy(policyText("acr-web-policy.json"))];
    for (const grant of Object.values(config.grants)) {
      expect(grant.role_arn).toBe(TARGET_ROLE);
      for (const scope of grant.allow) {
        const [, repository, actions = ""] = scope.split(":");
        for (const action of actions.split(",")) {
          const right = action === "push" ? "cr:PushRepository" : "cr:PullRepository";
          expect(can(policies, right, `${IMAGES}/${repository}`), scope).toBe(true);
        }
      }
    }
  });

  test("every shell block is valid, and every file that a command reads is in the document", () => {
    for (const block of shell) {
      expect(spawnSync("sh", ["-n"], { input: block.text, encoding: "utf8" }).stderr).toBe("");
      for (const [, file] of block.text.matchAll(/\$\(cat ([\w.-]+)\)/g)) expect(Object.keys(EXPECTED)).toContain(file);
    }
  });

  test("every variable of s.yaml is in the table, and no other", () => {
    const used = [...readFileSync(path.join(ROOT, "s.yaml"), "utf8").matchAll(/env\('(\w+)'/g)].map(([, name]) => name);
    const listed = [...doc.matchAll(/^\| `(ACR_BROKER_\w+)`/gm)].map(([, name]) => name);
    expect(listed).toEqual(used);
  });

  test.each([
    ["400", "invalid_request", "invalid_scope", "unknown_registry", "unknown_grant"],
    ["401", "missing_credentials", "invalid_token", "token_expired", "untrusted_issuer", "invalid_audience"],
    ["401", "token_replayed", "invalid_api_key", "invalid_identity"],
    ["403", "access_denied"],
    ["404", "not_found"],
    ["405", "method_not_allowed"],
    ["413", "payload_too_large"],
    ["415", "unsupported_media_type"],
    ["422", "policy_too_large"],
    ["429", "rate_limited"],
    ["502", "upstream_rejected"],
    ["503", "upstream_unavailable", "issuer_unavailable", "not_ready"],
    ["504", "upstream_timeout"],
  ])("the troubleshooting table has %s %s …", (status, ...codes) => {
    const rows = doc.split("\n").filter((line) => line.startsWith(`| ${status} |`));
    for (const code of codes) expect(rows.some((row) => row.includes(`\`${code}\``))).toBe(true);
  });
});

const tools = ["curl", "jq"].filter((tool) => spawnSync(tool, ["--version"]).error !== undefined);
const missing = process.env["CI"] === "true" ? [] : tools;
if (missing.length > 0) {
  process.stderr.write(
    `\nSKIPPED: acr-login.sh of docs/deploy.md needs ${missing.join(" and ")} (apt-get install).\n\n`,
  );
}

describe.skipIf(missing.length > 0)("acr-login.sh of docs/deploy.md", () => {
  const folder = mkdtempSync(path.join(tmpdir(), "acr-login-"));
  afterAll(() => rmSync(folder, { recursive: true, force: true }));
  // Stands in for docker: writes down its arguments and what came by standard input.
  writeFileSync(
    path.join(folder, "docker"),
    `#!/bin/sh\necho "$@" > "${folder}/arguments"\ncat > "${folder}/stdin"\n`,
    {
      mode: 0o755,
    },
  );

  test("logs in with the answer, the password by standard input only", async () => {
    const answer = json.find((block) => block.text.includes("cr_temp_user"))?.text ?? "";
    const { status, seen } = await run(200, answer);
    expect(status).toBe(0);
    expect(seen).toEqual({
      method: "POST",
      url: "/v1/token",
      authorization: "Bearer eyJ.test.token",
      body: "scope=repository%3Aweb%2Fapp%3Apull%2Cpush",
    });
    expect(readFileSync(path.join(folder, "arguments"), "utf8").trim()).toBe(
      "login --username cr_temp_user --password-stdin acme-registry.cn-hangzhou.cr.aliyuncs.com",
    );
    expect(readFileSync(path.join(folder, "stdin"), "utf8").trim()).toBe("…");
  });

  test("a refusal ends the job and shows the problem document", async () => {
    rmSync(path.join(folder, "arguments"), { force: true });
    const { status, stderr } = await run(403, '{"code":"access_denied","detail":"ref"}');
    expect(status).not.toBe(0);
    expect(stderr).toContain("access_denied");
    expect(() => readFileSync(path.join(folder, "arguments"))).toThrow();
  });

  async function run(answerStatus: number, answer: string) {
    let seen: Record<string, string | undefined> = {};
    const server = createServer((request, response) => {
      let body = "";
      request.on("data", (chunk: Buffer) => {
        body += chunk.toString();
      });
      request.on("end", () => {
        seen = { method: request.method, url: request.url, authorization: request.headers.authorization, body };
        response.writeHead(answerStatus, { "content-type": "application/json" }).end(answer);
      });
    }).listen(0, "127.0.0.1");
    await once(server, "listening");
    const script = (shell.find((block) => block.text.includes("acr-login.sh"))?.text ?? "exit 99").replaceAll(
      "https://acr-broker.example.com",
      `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    );
    const child = spawn("sh", ["-c", script], {
      env: { PATH: `${folder}:${process.env["PATH"]}`, token: "eyJ.test.token", NO_PROXY: "127.0.0.1" },
      stdio: ["ignore", "ignore", "pipe"],
    });
    let stderr = "";
    child.stderr.on("data", (chunk: Buffer) => {
      stderr += chunk.toString();
    });
    const [status] = (await once(child, "close")) as [number | null];
    server.close();
    return { status, stderr, seen };
  }
});

function can(policies: Policy[], action: string, resource: string): boolean {
  return evaluate(policies, { action, resource }) === "allow";
}

function policyText(file: string): string {
  return json.find((block) => block.file === file)?.text ?? "";
}

function statements(file: string): { Action: string; Resource: string | string[] }[] {
  return (JSON.parse(policyText(file)) as { Statement: { Action: string; Resource: string | string[] }[] }).Statement;
}

/** Fenced blocks of one language; `file` is the name that the paragraph before the block gives in backquotes, if any. */
function blocks(language: string): { file: string | undefined; text: string }[] {
  return [...doc.matchAll(new RegExp(`([^\\n]*(?:\\n[^\\n]+)*)\\n\\n\`\`\`${language}\\n([\\s\\S]*?)\`\`\``, "g"))].map(
    ([, before = "", text = ""]) => ({ file: /`([\w-]+\.json)`/.exec(before)?.[1], text }),
  );
}
