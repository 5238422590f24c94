/** `acr-broker ram --format terraform`, read by HashiCorp's own parser of HCL. */

import { createRequire } from "node:module";
import { describe, expect, test } from "vitest";
import { acrBroker } from "../run.ts";
import { inFolder } from "./folder.ts";
import { CASES } from "./policies.ts";

// Its types bring those of browsers with them.
const { parse } = createRequire(import.meta.url)("@cdktf/hcl2json") as {
  parse(file: string, text: string): Promise<unknown>;
};

interface Block {
  readonly provider?: string;
  readonly depends_on?: readonly string[];
  readonly [argument: string]: unknown;
}
type Blocks = Readonly<Record<string, readonly Block[]>>;
interface Hcl {
  readonly terraform: readonly { required_providers: readonly { alicloud: Record<string, unknown> }[] }[];
  readonly resource: Readonly<
    Record<"alicloud_ram_role" | "alicloud_ram_policy" | "alicloud_ram_role_policy_attachment", Blocks>
  >;
}
interface Json {
  readonly function_role: Role;
  readonly roles: readonly (Role & { max_session_duration: number })[];
}
interface Role {
  readonly arn: string;
  readonly trust: unknown;
  readonly policy: unknown;
}

async function formsOf(text: string): Promise<{ hcl: Hcl; json: Json; written: string }> {
  return inFolder({ "broker.yaml": text }, async (cwd) => {
    const written = acrBroker(["ram", "--format", "terraform"], { cwd }).out;
    const json = JSON.parse(acrBroker(["ram", "--json"], { cwd }).out) as Json;
    return { hcl: (await parse("ram.tf", written)) as Hcl, json, written };
  });
}

describe.each(Object.entries(CASES))("%s", (_, { text }) => {
  test("has the documents of the JSON, each role with one policy that is attached to it", async () => {
    const { hcl, json } = await formsOf(text);
    const { alicloud_ram_role: roles, alicloud_ram_policy: policies } = hcl.resource;
    const attached = hcl.resource.alicloud_ram_role_policy_attachment;
    const all = [json.function_role, ...json.roles];
    expect(Object.keys(roles)).toHaveLength(all.length);
    expect([Object.keys(policies), Object.keys(attached)]).toEqual([Object.keys(roles), Object.keys(roles)]);
    const found = Object.entries(roles).map(([label, [role]]) => {
      const [policy] = policies[label] as [Block];
      const [attachment] = attached[label] as [Block];
      expect(attachment).toMatchObject({
        role_name: `\${alicloud_ram_role.${label}.role_name}`,
        policy_name: `\${alicloud_ram_policy.${label}.policy_name}`,
        policy_type: "Custom",
      });
      expect(policy["policy_name"]).toMatch(/^[A-Za-z0-9-]{1,128}$/);
      expect([policy.provider, attachment.provider]).toEqual([role?.provider, role?.provider]);
      return {
        name: role?.["role_name"],
        seconds: role?.["max_session_duration"],
        trust: JSON.parse(role?.["assume_role_policy_document"] as string),
        policy: JSON.parse(policy["policy_document"] as string),
      };
    });
    const expected = all.map(({ arn, trust, policy }) => ({ name: arn.split("/")[1], seconds: 3600, trust, policy }));
    expect(found).toEqual(expect.arrayContaining(expected));
  });

  test("is the same each time, whatever the order of the grants", async () => {
    const [head = "", rest = ""] = text.split(/^grants:\n/m);
    const grants = rest.split(/^(?= {2}[a-z-]+:)/m);
    const { written } = await formsOf(text);
    const turned = `${head}grants:\n${grants
      .map((grant) => `${grant}\n`)
      .reverse()
      .join("")}`;
    expect((await formsOf(turned)).written).toBe(written);
  });
});

test("a role of another account has that account's provider, which whoever uses the module brings", async () => {
  const { hcl } = await formsOf(CASES["registries, accounts, roles, a ceiling and a denial"]?.text ?? "");
  const { alicloud } = hcl.terraform[0]?.required_providers[0] ?? {};
  expect(alicloud).toEqual({
    source: "aliyun/alicloud",
    version: ">= 1.252.0",
    configuration_aliases: ["${alicloud.account_6543210987654321}"],
  });
  const [partner] = hcl.resource.alicloud_ram_role["acr_partner"] ?? [];
  expect(partner?.provider).toBe("${alicloud.account_6543210987654321}");
  expect(hcl.resource.alicloud_ram_role["acr_web"]?.[0]?.provider).toBeUndefined();
});

test("the function's role is made before a trust policy names it", async () => {
  const { hcl } = await formsOf(CASES["the example"]?.text ?? "");
  expect(hcl.resource.alicloud_ram_role["function"]?.[0]?.depends_on).toBeUndefined();
  expect(hcl.resource.alicloud_ram_role["acr_web"]?.[0]?.depends_on).toEqual(["${alicloud_ram_role.function}"]);
});

test("names that HCL or RAM do not take are written otherwise, and stay apart", async () => {
  const names = ["1.web", "a.b", "a_b", "function", "acr-token-broker.x"];
  const grants = names.map(
    (name, index) =>
      `  g${index}: { issuer: ci, when: { sub: "${index}" }, registry: prod, allow: ["repository:web/app:pull"], role_arn: "acs:ram::1234567890123456:role/${name}", max_ttl: 900 }\n`,
  );
  const [head = ""] = (CASES["claims in scopes"]?.text ?? "").split(/^grants:\n/m);
  const { hcl } = await formsOf(`${head}grants:\n${grants.join("")}`);
  const labels = Object.keys(hcl.resource.alicloud_ram_role);
  expect(labels.sort()).toEqual(["a_b", "a_b-2", "acr_token_broker_x", "function", "function-2", "role_1_web"].sort());
  const policies = Object.values(hcl.resource.alicloud_ram_policy).map(([policy]) => policy?.["policy_name"]);
  expect(new Set(policies).size).toBe(policies.length);
  for (const label of labels) expect(label).toMatch(/^[A-Za-z_][A-Za-z0-9_-]*$/);
});
