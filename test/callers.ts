/** The pages of docs/callers/ about OpenID Connect providers, and tokens as each provider makes them. */

import { readFileSync } from "node:fs";
import { parse, stringify } from "yaml";
import type { OidcProvider } from "../shared/config/config.ts";
import { PROVIDERS } from "../shared/identity/providers.ts";
import { type Block, blocksOf } from "./markdown.ts";

export const PROVIDER_NAMES = Object.keys(PROVIDERS) as OidcProvider[];

export function pageOf(provider: OidcProvider): string {
  return readFileSync(new URL(`../docs/callers/${provider}.md`, import.meta.url), "utf8");
}

/** The block for broker.yaml, and the one that ends the page: the caller's side. */
export function setupOf(provider: OidcProvider): { broker: string; job: Block } {
  const blocks = blocksOf(pageOf(provider));
  const broker = blocks.find(({ language, name }) => language === "yaml" && name === "broker");
  const job = blocks.at(-1);
  if (broker === undefined || job === undefined || job === broker) throw new Error(`no setup for ${provider}`);
  return { broker: broker.text, job };
}

export interface Surroundings {
  /** In the place of the page's issuer, whose keys are then asked for. */
  readonly issuer?: string;
  readonly cloud?: string;
  /** In the place of the page's condition. */
  readonly when?: Readonly<Record<string, unknown>>;
}

/** The page's issuer and grant as a whole policy. */
export function examplePolicy(provider: OidcProvider, { issuer, cloud, when }: Surroundings = {}): string {
  const example = parse(setupOf(provider).broker) as {
    issuers: Record<string, { issuer: string; jwks_file?: string }>;
    grants: Record<string, { when: Readonly<Record<string, unknown>> }>;
  };
  const [shown] = Object.values(example.issuers);
  const [grant] = Object.values(example.grants);
  if (shown === undefined || grant === undefined) throw new Error(`no example for ${provider}`);
  if (issuer !== undefined) {
    shown.issuer = issuer;
    delete shown.jwks_file;
  }
  if (when !== undefined) grant.when = when;
  return stringify({
    version: 1,
    audience: "https://acr-broker.example.com",
    registries: {
      prod: {
        instance_id: "cri-abc123",
        region: "cn-hangzhou",
        account_id: "1234567890123456",
        endpoints: ["acme-registry.cn-hangzhou.cr.aliyuncs.com", "acme-registry-vpc.cn-hangzhou.cr.aliyuncs.com"],
      },
    },
    ...example,
    ...(cloud === undefined ? {} : { alibaba: { sts_endpoint: cloud, cr_endpoint: cloud } }),
  });
}

type Claims = Readonly<Record<string, unknown>>;

interface Tokens {
  /** What the page's grant is for, as the provider's documentation shows it. `null`: not in such a token. */
  readonly mine: Claims;
  /** What the issuer says of another tenant of it, who has chosen all that can be chosen as in `mine`. */
  readonly stranger: Claims;
  readonly audience?: string;
  /** Fields of the header; `undefined`: not in it. */
  readonly header?: Claims;
}

const UUID = { organization: "11111111-2222-3333-4444-555555555555", project: "66666666-7777-8888-9999-000000000000" };
const OTHER = { organization: "99999999-2222-3333-4444-555555555555", project: "99999999-7777-8888-9999-000000000000" };

/** Chosen by whoever starts the pod. */
const STARTED = {
  node: { name: "node-1", uid: "646e7c5e-32d6-4d42-9dbd-e504e6cbe6b1" },
  pod: { name: "copy-x7k2p", uid: "5e0bd49b-f040-43b0-99b7-22765a53f7f3" },
};

const SERVICE_ACCOUNT: Tokens = {
  mine: {
    aud: ["https://acr-broker.example.com"],
    sub: "system:serviceaccount:ci:builder",
    "kubernetes.io": {
      namespace: "ci",
      ...STARTED,
      serviceaccount: { name: "builder", uid: "14ee3fa4-a7e2-420f-9f9a-dbc4507c3798" },
    },
  },
  stranger: {
    sub: "system:serviceaccount:evil:builder",
    "kubernetes.io": {
      namespace: "evil",
      ...STARTED,
      serviceaccount: { name: "builder", uid: "99999999-a7e2-420f-9f9a-dbc4507c3798" },
    },
  },
};

export const TOKENS: Readonly<Record<OidcProvider, Tokens>> = {
  github: {
    mine: {
      sub: "repo:acme/web:ref:refs/heads/main",
      repository: "acme/web",
      repository_id: "123456",
      repository_owner: "acme",
      repository_owner_id: "789",
      repository_visibility: "private",
      ref: "refs/heads/main",
      ref_type: "branch",
      ref_protected: "true",
      head_ref: "",
      base_ref: "",
      sha: "6dcb09b5b57875f334f61aebed695e2e4193db5e",
      workflow: "image",
      workflow_ref: "acme/web/.github/workflows/image.yml@refs/heads/main",
      job_workflow_ref: "acme/web/.github/workflows/image.yml@refs/heads/main",
      event_name: "push",
      actor: "octocat",
      actor_id: "12",
      run_id: "1030",
      run_number: "10",
      run_attempt: "1",
      runner_environment: "github-hosted",
    },
    stranger: {
      sub: "repo:evil/web:ref:refs/heads/main",
      repository: "evil/web",
      repository_id: "654321",
      repository_owner: "evil",
      repository_owner_id: "987",
    },
  },
  gitlab: {
    mine: {
      sub: "project_path:acme/web:ref_type:branch:ref:main",
      namespace_id: "72",
      namespace_path: "acme",
      project_id: "42",
      project_path: "acme/web",
      ref: "main",
      ref_type: "branch",
      ref_path: "refs/heads/main",
      ref_protected: "true",
      pipeline_id: "574",
      pipeline_source: "push",
      job_id: "302",
      user_id: "1",
      user_login: "alice",
      user_email: "alice@example.com",
      runner_id: 1,
      runner_environment: "gitlab-hosted",
      sha: "714a629c0b401fdce83e847fc9589983fc6f46bc",
      project_visibility: "private",
      ci_config_ref_uri: "gitlab.com/acme/web//.gitlab-ci.yml@refs/heads/main",
      ci_config_sha: "714a629c0b401fdce83e847fc9589983fc6f46bc",
    },
    stranger: {
      sub: "project_path:evil/web:ref_type:branch:ref:main",
      namespace_id: "666",
      namespace_path: "evil",
      project_id: "4242",
      project_path: "evil/web",
      ci_config_ref_uri: "gitlab.com/evil/web//.gitlab-ci.yml@refs/heads/main",
    },
  },
  kubernetes: SERVICE_ACCOUNT,
  rrsa: SERVICE_ACCOUNT,
  buildkite: {
    mine: {
      jti: null,
      sub: "organization:acme:pipeline:web:ref:refs/heads/main:commit:9f3182061f1e2cca4702c368cbc039b7dc9d4485:step:image",
      organization_slug: "acme",
      organization_id: "0184990a-477b-4fa8-9968-496074483cee",
      pipeline_slug: "web",
      build_number: 1,
      build_branch: "main",
      build_commit: "9f3182061f1e2cca4702c368cbc039b7dc9d4485",
      step_key: null,
      job_id: "0184990a-477b-4fa8-9968-496074483cea",
      agent_id: "0184990a-4782-42b5-afc1-16715b10b8ff",
      build_source: "webhook",
      runner_environment: "self-hosted",
    },
    stranger: {
      sub: "organization:evil:pipeline:web:ref:refs/heads/main:commit:9f3182061f1e2cca4702c368cbc039b7dc9d4485:step:image",
      organization_slug: "evil",
      organization_id: "0184990a-477b-4fa8-9968-496074483c99",
    },
  },
  circleci: {
    mine: {
      jti: null,
      sub: `org/${UUID.organization}/project/${UUID.project}/user/76d9d1a2-1b0f-4f6a-8b0e-7b6a6b4c8a11/vcs-origin/github.com/acme/web/vcs-ref/refs/heads/main`,
      "oidc.circleci.com/org-id": UUID.organization,
      "oidc.circleci.com/project-id": UUID.project,
      "oidc.circleci.com/context-ids": ["a74579f1-2e7d-451e-b009-5c082ad2729e"],
      "oidc.circleci.com/vcs-origin": "github.com/acme/web",
      "oidc.circleci.com/vcs-ref": "refs/heads/main",
      "oidc.circleci.com/ssh-rerun": false,
    },
    stranger: {
      sub: `org/${OTHER.organization}/project/${OTHER.project}/user/76d9d1a2-1b0f-4f6a-8b0e-7b6a6b4c8a11`,
      "oidc.circleci.com/org-id": OTHER.organization,
      "oidc.circleci.com/project-id": OTHER.project,
      "oidc.circleci.com/context-ids": ["99999999-2e7d-451e-b009-5c082ad2729e"],
    },
  },
  bitbucket: {
    audience: "ari:cloud:bitbucket::workspace/7baee083-4f25-4a97-8a9a-0fde1b623b45",
    mine: {
      jti: null,
      sub: "{b5a4d1c6-7c2f-4a3e-9f41-2f0e8f3f6a11}:{d2b7e4a0-5c11-4a57-a2a2-3b6f6c1f7f10}",
      workspaceUuid: "{7baee083-4f25-4a97-8a9a-0fde1b623b45}",
      repositoryUuid: "{b5a4d1c6-7c2f-4a3e-9f41-2f0e8f3f6a11}",
      pipelineUuid: "{0f6c3d75-6d3b-4f0c-9d0b-6f6d5d2a0c01}",
      pipelineRunUuid: "{0f6c3d75-6d3b-4f0c-9d0b-6f6d5d2a0c02}",
      stepUuid: "{d2b7e4a0-5c11-4a57-a2a2-3b6f6c1f7f10}",
      branchName: "main",
    },
    stranger: {
      sub: "{99999999-7c2f-4a3e-9f41-2f0e8f3f6a11}:{d2b7e4a0-5c11-4a57-a2a2-3b6f6c1f7f10}",
      workspaceUuid: "{99999999-4f25-4a97-8a9a-0fde1b623b45}",
      repositoryUuid: "{99999999-7c2f-4a3e-9f41-2f0e8f3f6a11}",
    },
  },
  "azure-devops": {
    audience: "api://AzureADTokenExchange",
    mine: {
      sub: "p://acme/shop/web",
      org_id: UUID.organization,
      prj_id: UUID.project,
      def_id: "7",
      rpo_id: "0d0f3a52-4a80-4b9c-a3c4-2a8e1b7d1f55",
      rpo_uri: "https://dev.azure.com/acme/shop/_git/web",
      rpo_ver: "6dcb09b5b57875f334f61aebed695e2e4193db5e",
      rpo_ref: "refs/heads/main",
      run_id: "1234",
    },
    stranger: {
      sub: "p://evil/shop/web",
      org_id: OTHER.organization,
      prj_id: OTHER.project,
      def_id: "8",
      rpo_id: "99999999-4a80-4b9c-a3c4-2a8e1b7d1f55",
    },
  },
  jenkins: {
    header: { typ: undefined },
    mine: {
      jti: null,
      nbf: null,
      sub: "https://jenkins.example.com/job/web/job/main/",
      build_number: 7,
      branch_name: "main",
    },
    stranger: { sub: "https://jenkins.example.com/job/evil/job/main/" },
  },
  spiffe: {
    header: { typ: "JOSE" },
    mine: { jti: null, nbf: null, aud: ["https://acr-broker.example.com"], sub: "spiffe://example.org/ci/builder" },
    stranger: { sub: "spiffe://evil.example/ci/builder" },
  },
  generic: { mine: { sub: "service:builder", ref: "refs/heads/main" }, stranger: { sub: "service:evil" } },
};
