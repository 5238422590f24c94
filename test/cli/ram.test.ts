/** `acr-broker ram` as its users meet it: forms, warnings, exit codes, and what it does not take. */

import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { inFolder } from "./ram/folder.ts";
import { CASES } from "./ram/policies.ts";
import { acrBroker, type Ran, ROOT } from "./run.ts";

const PARTNER = "acs:ram::6543210987654321:role/acr-partner";

function ram(args: readonly string[], text?: string, files: Readonly<Record<string, string>> = {}): Promise<Ran> {
  return text === undefined
    ? Promise.resolve(acrBroker(["ram", ...args]))
    : inFolder({ "broker.yaml": text, ...files }, (cwd) => acrBroker(["ram", ...args], { cwd }));
}

describe("text", () => {
  test("each document stands under the name of its file, and is what the JSON has", async () => {
    const [text, json] = [(await ram([])).out, JSON.parse((await ram(["--json"])).out)];
    const documents = new Map(
      text.split(/^(?=# [\w-]+\.json$)/m).map((block) => {
        const [name = "", comment = "", ...rest] = block.split("\n");
        expect(comment).toMatch(/^# acs:ram::1234567890123456:role\//);
        return [name.slice(2), JSON.parse(rest.join("\n"))];
      }),
    );
    const expected = [json.function_role, ...json.roles].flatMap(({ file_stem: stem, trust, policy }) => [
      [`${stem}-trust.json`, trust],
      [`${stem}-policy.json`, policy],
    ]);
    expect([...documents]).toEqual(expected);
    expect([...documents.keys()]).toContain("acr-web-trust.json");
  });

  test("a role's grants are named with their lines, and how long its sessions are", async () => {
    const { out } = await ram([]);
    expect(out).toMatch(
      /# acs:ram::1234567890123456:role\/acr-web: what web-main \(broker\.yaml:45\), web-branches \(broker\.yaml:\d+\) give\n/,
    );
    expect(out).toContain("a MaxSessionDuration of 3600 is enough for 1800 s");
  });
});

describe("files", () => {
  const text = readFileSync(join(ROOT, "broker.yaml"), "utf8");

  test("each document is written under its name, and --check finds them to be what is needed", async () => {
    await inFolder({ "broker.yaml": text }, (cwd) => {
      const { code, out, told } = acrBroker(["ram", "--out", "policies"], { cwd });
      expect({ code, out }).toEqual({ code: 0, out: "" });
      const files = readdirSync(join(cwd, "policies")).map((name) => `policies/${name}`);
      expect(told.match(/^wrote .*$/gm)?.sort()).toEqual(files.map((file) => `wrote ${file}`).sort());
      expect(files).toContain("policies/acr-web-trust.json");
      const checked = acrBroker(["ram", "--check", ...files], { cwd });
      expect(checked).toEqual({ code: 0, told: "", out: "the files give what broker.yaml needs, and no more\n" });
    });
  });

  test("what has their names is written over, and nothing else is touched", async () => {
    await inFolder({ "broker.yaml": text, "acr-web-trust.json": "old", "mine.json": "mine" }, (cwd) => {
      expect(acrBroker(["ram", "--out", "."], { cwd }).code).toBe(0);
      expect(JSON.parse(readFileSync(join(cwd, "acr-web-trust.json"), "utf8"))).toMatchObject({ Version: "1" });
      expect(readFileSync(join(cwd, "mine.json"), "utf8")).toBe("mine");
    });
  });

  test.each([
    [["--out", "broker.yaml"], "nothing can be written into broker.yaml (ENOTDIR)"],
    [["--out", "missing/policies"], "nothing can be written into missing/policies (ENOENT)"],
    [["--out", "x", "--json"], "leave out --format, --json and --check"],
    [["--out", "x", "--check", "broker.yaml"], "leave out --format, --json and --check"],
  ])("%j is refused with what to change", async (args, says) => {
    const { code, told } = await ram(args, text);
    expect([code, told]).toEqual([2, expect.stringContaining(says)]);
  });
});

describe("JSON", () => {
  test("actions on the same resources stand in one statement, and no resource takes in another", async () => {
    const { out } = await ram(["--json"], CASES["registries, accounts, roles, a ceiling and a denial"]?.text);
    const [web] = (JSON.parse(out) as { roles: { arn: string; policy: unknown }[] }).roles.filter(({ arn }) =>
      arn.endsWith("/acr-web"),
    );
    const image = (region: string, path: string) => `acs:cr:${region}:1234567890123456:repository/${path}`;
    expect(web?.policy).toEqual({
      Version: "1",
      Statement: [
        { Effect: "Allow", Action: "cr:GetAuthorizationToken", Resource: "*" },
        {
          Effect: "Allow",
          Action: "cr:PullRepository",
          Resource: [
            image("cn-hangzhou", "cri-abc123/base/*"),
            image("cn-hangzhou", "cri-abc123/web/*"),
            image("eu-central-1", "cri-eu1/web/*"),
          ],
        },
        {
          Effect: "Allow",
          Action: ["cr:PushRepository", "cr:CreateRepository"],
          Resource: [image("cn-hangzhou", "cri-abc123/web/*")],
        },
      ],
    });
  });

  test("where it crosses accounts, the role's trust policy demands the external id", async () => {
    const { out, told } = await ram(["--json"], CASES["registries, accounts, roles, a ceiling and a denial"]?.text);
    const { roles } = JSON.parse(out);
    const partner = roles.find((role: { arn: string }) => role.arn === PARTNER);
    expect(partner.external_id).toBe("acme-broker-2027");
    expect(partner.trust.Statement[0].Condition).toEqual({ StringEquals: { "sts:ExternalId": "acme-broker-2027" } });
    expect(told).toBe("");
  });

  test("two roles of one name, and one called function, have files of their own", async () => {
    const [head = ""] = (CASES["registries, accounts, roles, a ceiling and a denial"]?.text ?? "").split(/^ceiling:/m);
    const roles = ["1234567890123456:role/web", "6543210987654321:role/web", "1234567890123456:role/function"];
    const grants = roles.map(
      (role, index) =>
        `  g${index}: { issuer: ci, when: { sub: "${index}" }, registry: prod, allow: ["repository:web/app:pull"], role_arn: "acs:ram::${role}", max_ttl: 900 }\n`,
    );
    const { out } = await ram(["--json"], `${head}grants:\n${grants.join("")}`);
    const stems = (JSON.parse(out) as { roles: { file_stem: string }[] }).roles.map(({ file_stem }) => file_stem);
    expect(stems).toEqual(["1234567890123456-function", "1234567890123456-web", "6543210987654321-web"]);
  });
});

describe("a warning, on standard error and in the JSON,", () => {
  const warningsOf = async (text: string, ...args: string[]) => {
    const [plain, json] = [await ram(args, text), await ram([...args, "--json"], text)];
    const { warnings } = JSON.parse(json.out) as { warnings: { grant: string; line: number; message: string }[] };
    expect(plain.code).toBe(0);
    expect(plain.told).toBe(
      warnings
        .map(({ grant, line, message }) => `broker.yaml:${line}: warning: grants.${grant}: ${message}\n`)
        .join(""),
    );
    return warnings.map(({ grant, message }) => `${grant}: ${message}`);
  };

  test("says where RAM's pattern is wider than what any caller gets", async () => {
    const all = await warningsOf(CASES["claims in scopes"]?.text ?? "");
    expect(all).toEqual([
      expect.stringMatching(
        /^apps: repository:team-\$\{team\}\/app-\$\{app\}:pull,push is one value of a claim at a time, and the role must have team-\*\/app-\*: /,
      ),
      expect.stringMatching(/^like: .* the role must have ml\/m-\*: /),
    ]);
  });

  test("says that another account's role has no external id, or that its account has not the registry", async () => {
    const text = (CASES["registries, accounts, roles, a ceiling and a denial"]?.text ?? "").replace(
      "external_id: acme-broker-2027, ",
      "",
    );
    expect(await warningsOf(text)).toEqual([
      expect.stringMatching(/^partner: its role is of another account than the function's .* write external_id$/),
    ]);
    const moved = (CASES["the example"]?.text ?? "").replaceAll(
      "acs:ram::1234567890123456",
      "acs:ram::6543210987654321",
    );
    expect(await warningsOf(moved, "--function-role", "acs:ram::6543210987654321:role/broker")).toEqual(
      ["web-main", "web-branches", "api-release"].map((name) =>
        expect.stringMatching(new RegExp(`^${name}: its role is of another account than registry prod`)),
      ),
    );
  });
});

test("--function-role is whom the roles trust, in lower case as RAM has it", async () => {
  const { out } = await ram(["--json", "--function-role", "acs:ram::1234567890123456:role/My-Broker"]);
  const { function_role, roles } = JSON.parse(out);
  expect(function_role.arn).toBe("acs:ram::1234567890123456:role/my-broker");
  expect(roles[0].trust.Statement[0].Principal).toEqual({ RAM: ["acs:ram::1234567890123456:role/my-broker"] });
});

describe("--check", () => {
  const trust = async (change: (text: string) => string = (text) => text) => {
    const { roles } = JSON.parse((await ram(["--json"])).out) as { roles: { arn: string; trust: unknown }[] };
    return change(JSON.stringify(roles.find(({ arn }) => arn.endsWith("/acr-web"))?.trust));
  };
  const example = CASES["the example"]?.text ?? "";

  test("0 where the files give what is needed, and names what it was not shown", async () => {
    const { code, out } = await ram(["--check", "acr-web-trust.json"], example, {
      "acr-web-trust.json": await trust(),
    });
    expect(code).toBe(0);
    expect(out).toContain(
      "acs:ram::1234567890123456:role/acr-web: its permissions policy is in no file, and was not looked at\n",
    );
    expect(out).not.toContain("acr-web: its trust policy");
    expect(out).toMatch(/the files give what broker\.yaml needs, and no more\n$/);
  });

  test("1 where not, a line for each with its file and statement, or with the grants", async () => {
    const root = await trust((text) => text.replace("role/acr-token-broker", "root"));
    const lacking = JSON.stringify({
      Version: "1",
      Statement: [{ Effect: "Allow", Action: "cr:GetAuthorizationToken", Resource: "*" }],
    });
    const files = { "acr-web-trust.json": root, "acr-api-policy.json": lacking };
    const { code, out, told } = await ram(["--check", ...Object.keys(files)], example, files);
    expect([code, told]).toEqual([1, ""]);
    expect(out).toContain(
      "acr-web-trust.json: statement 1: too wide: acs:ram::1234567890123456:root is every user and role",
    );
    expect(out).toMatch(
      /^broker\.yaml:(\d+): missing: acs:ram::1234567890123456:role\/acr-api lacks cr:PushRepository on .*; for api-release \(broker\.yaml:\1\)$/m,
    );
    expect(out).toMatch(/the files against broker\.yaml: 1 too wide, 4 missing, 0 mistakes\n$/);
    const json = JSON.parse((await ram(["--json", "--check", ...Object.keys(files)], example, files)).out);
    expect(json).toMatchObject({
      file: "broker.yaml",
      matches: false,
      function_role: "acs:ram::1234567890123456:role/acr-token-broker",
    });
    expect(json.findings.map(({ kind }: { kind: string }) => kind).sort()).toEqual([
      ...Array(4).fill("missing"),
      "too_wide",
    ]);
    expect(json.not_given).toContainEqual({ role: "acs:ram::1234567890123456:role/acr-api", what: "trust policy" });
  });

  test.each([
    ["which.json", "{}", "which.json: has no list of statements; write a policy document"],
    ["acr-web-policy.json", "Version: 1", "acr-web-policy.json: it is not JSON; write a policy document"],
    ["acr-web-policy.json", "[]", "acr-web-policy.json: is no JSON object"],
    [
      "dev-policy.json",
      '{"Statement":[{"Effect":"Allow","Action":"*"}]}',
      "dev-policy.json: which role is it about? begin its name with the role's: function-policy.json, acr-api-policy.json",
    ],
    [
      "acr-website.json",
      '{"Statement":[{"Effect":"Allow","Action":"*"}]}',
      "acr-website.json: which role is it about?",
    ],
    [
      "x.json",
      '{"Role":{"Arn":"acs:ram::1:role/dev","AssumeRolePolicyDocument":"{\\"Statement\\":[]}"}}',
      'x.json: is about "acs:ram::1:role/dev", which no grant names',
    ],
  ])("2 where %s is %s", async (name, content, says) => {
    const { code, out, told } = await ram(["--check", name], example, { [name]: content });
    expect([code, out]).toEqual([2, ""]);
    expect(told).toContain(says);
  });

  test("2 where a file is not there", async () => {
    const { code, told } = await ram(["--check", "acr-web-policy.json"], example);
    expect([code, told]).toEqual([2, "acr-broker: acr-web-policy.json: cannot be read (ENOENT)\n"]);
  });
});

test.each([
  [["acr-web-policy.json"], "ram takes files with --check only"],
  [["--check"], "--check needs files: which policies?"],
  [["--check", "--format", "terraform", "x.json"], "--check has no format terraform; take text or json"],
  [["--format", "yaml"], "--format is one of text, json, terraform"],
  [["--function-role", "acr-token-broker"], "--function-role is no role's ARN; write acs:ram::<16 digits>:role/<name>"],
  [["--config", "nowhere.yaml"], "nowhere.yaml:1:1: cannot be read (ENOENT)"],
])("%s is told what to write", async (args, says) => {
  const { code, out, told } = acrBroker(["ram", ...args], { cwd: ROOT });
  expect([code, out]).toEqual([2, ""]);
  expect(told).toContain(says);
});
