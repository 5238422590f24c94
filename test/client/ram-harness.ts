/** The broker's harness with a policy for RAM identities, and keys of a role that it gives something. */

import { type Harness, startHarness } from "../broker/harness.ts";
import { assume, type Keys } from "../sandbox/raw-call.ts";
import { addRole, DEFAULT_ACCOUNT, trust } from "../sandbox/world.ts";

export const AUDIENCE = "https://acr-broker.example.com";
const ROLE = `acs:ram::${DEFAULT_ACCOUNT}:role/ci-builder`;

const policy = (cloud: string, issuer: string) => `
version: 1
audience: ${AUDIENCE}
registries:
  prod: { instance_id: cri-abc123, region: cn-hangzhou, account_id: "${DEFAULT_ACCOUNT}", endpoints: [acme-registry.cn-hangzhou.cr.aliyuncs.com] }
issuers:
  ci: { provider: generic, issuer: "${issuer}", replay: once }
  ram: { provider: alibaba, accounts: ["${DEFAULT_ACCOUNT}"] }
grants:
  web-main: { issuer: ci, when: { sub: job }, registry: prod, allow: ["repository:web/*:pull,push"], role_arn: "acs:ram::${DEFAULT_ACCOUNT}:role/acr-web", max_ttl: 1800 }
  builders: { issuer: ram, when: { account_id: "${DEFAULT_ACCOUNT}", role_name: ci-builder }, registry: prod, allow: ["repository:web/*:pull"], role_arn: "acs:ram::${DEFAULT_ACCOUNT}:role/acr-web", max_ttl: 1800 }
alibaba: { sts_endpoint: "${cloud}", cr_endpoint: "${cloud}" }
`;

export interface RamHarness extends Harness {
  readonly builder: Required<Keys>;
}

export async function startRamHarness(): Promise<RamHarness> {
  const h = await startHarness({ policy });
  const userArn = `acs:ram::${DEFAULT_ACCOUNT}:user/tester`;
  addRole(h.cloud.world, { accountId: DEFAULT_ACCOUNT, name: "ci-builder", trust: trust({ RAM: userArn }) });
  const session = { RoleArn: ROLE, RoleSessionName: "job-42" };
  return { ...h, builder: await assume(h.cloud, h.cloud.userKeys(userArn), session) };
}
