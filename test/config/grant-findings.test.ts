/** What `acr-broker check` says of grants in a policy that loads: each rule finds its case, and not the one beside it. */

import { readFileSync } from "node:fs";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { stringify } from "yaml";
import { apiKeyRules } from "../../shared/config/api-key-findings.ts";
import { ConfigError } from "../../shared/config/config.ts";
import { readYaml } from "../../shared/config/document.ts";
import { grantRules } from "../../shared/config/grant-findings.ts";
import { type Finding, lintFindings } from "../../shared/config/lint-findings.ts";
import { parseConfig } from "../../shared/config/load.ts";
import { PROVIDERS } from "../../shared/identity/providers.ts";

const HEAD = `\
version: 1
audience: https://acr-broker.example.com
registries:
  prod: { instance_id: cri-abc123, region: cn-hangzhou, account_id: "1234567890123456", endpoints: [acme-registry.cn-hangzhou.cr.aliyuncs.com] }
issuers:
`;
const ISSUERS: Readonly<Record<string, string>> = {
  github: "{ provider: github, issuer: https://token.actions.githubusercontent.com }",
  gitlab: "{ provider: gitlab, issuer: https://gitlab.com }",
  own: "{ provider: gitlab, issuer: https://gitlab.example.com }",
  cluster: "{ provider: kubernetes, issuer: https://k8s.internal }",
  buildkite: "{ provider: buildkite, issuer: https://agent.buildkite.com }",
  circleci: '{ provider: circleci, issuer: "https://oidc.circleci.com/org/0123" }',
  spiffe: "{ provider: spiffe, issuer: https://spire.example.com }",
  jenkins: "{ provider: jenkins, issuer: https://jenkins.example.com/oidc }",
  generic: "{ provider: generic, issuer: https://issuer.example.com }",
  orgs: '{ provider: generic, issuer_template: "https://issuer.example.com/{org}" }',
  ram: '{ provider: alibaba, accounts: ["1234567890123456"] }',
};

function grant(name: string, issuer: string, when: string, rest = ""): string {
  const allow = rest.includes("allow:") ? "" : ', allow: ["repository:web/app:pull"]';
  const ttl = rest.includes("max_ttl:") ? "" : ", max_ttl: 900";
  return `  ${name}: { issuer: ${issuer}, when: { ${when} }, registry: prod, role_arn: "acs:ram::1234567890123456:role/acr-web"${allow}${ttl}${rest && `, ${rest}`} }\n`;
}

function policy(grants: string, tail = ""): string {
  const names = [...grants.matchAll(/issuer: (\w+)/g)].map(([, name]) => name as string);
  const issuers = [...new Set(names)].map((name) => `  ${name}: ${ISSUERS[name]}\n`).join("");
  return `${HEAD}${issuers}grants:\n${grants}${tail}`;
}

function lint(text: string): Finding[] {
  const config = parseConfig(text, { file: "broker.yaml", readFile: () => '{"keys":[{"kty":"RSA"}]}' });
  const { position } = readYaml(text);
  return lintFindings({ config, file: "broker.yaml", position, now: new Date("2027-01-01T00:00:00Z") });
}

/** `rule message`, of one grant of `issuer` with these conditions. */
function said(issuer: string, when: string, rest = ""): string[] {
  return lint(policy(grant("x", issuer, when, rest))).map(({ rule, message }) => `${rule} ${message}`);
}

/** The least that each kind of issuer's grant may rest on without a word. */
const QUIET: Readonly<Record<string, string>> = {
  github: 'repository_id: "1"',
  gitlab: 'project_id: "42"',
  own: "project_path: acme/web",
  cluster: "sub: system:serviceaccount:ci:builder",
  buildkite: "pipeline_id: 0123",
  circleci: "oidc.circleci.com/project-id: 0123",
  spiffe: "sub: spiffe://example.org/ci",
  jenkins: "sub: https://jenkins.example.com/job/web/",
  generic: "sub: builder",
  ram: 'account_id: "1234567890123456", role_name: ci',
};

test.each(Object.entries(QUIET))("of a good grant of %s (%s) nothing is said", (issuer, when) => {
  expect(said(issuer, when.replaceAll(": 0123", ': "0123"'))).toEqual([]);
});

describe("the example", () => {
  const text = readFileSync(new URL("../../broker.yaml", import.meta.url), "utf8");

  test("has no warning, and a note beside each pattern", () => {
    expect(lint(text).map(({ severity, rule }) => `${severity} ${rule}`)).toEqual(
      Array(3).fill("note pattern-strangers"),
    );
  });
});

test("of the presets' own claims none is unknown", () => {
  for (const [provider, { trusted, callerChosen }] of Object.entries(PROVIDERS)) {
    const issuer = provider === "kubernetes" || provider === "rrsa" ? "cluster" : provider;
    for (const claim of [...trusted, ...callerChosen]) {
      if (!(issuer in QUIET) || /(^|[._])(?:id|ref|sub)$|_id$/.test(claim)) continue;
      const quiet = (QUIET[issuer] as string).replaceAll(": 0123", ': "0123"');
      const rules = said(issuer, quiet.includes(`${claim}:`) ? quiet : `${quiet}, ${claim}: x`);
      expect(rules.filter((one) => one.startsWith("claim-unknown"))).toEqual([]);
    }
  }
});

describe("claim-unknown", () => {
  test.each([
    ["github", "repositoryid: x", "did you mean repository_id?"],
    ["github", "repositoryOwner: acme", "did you mean repository_owner?"],
    ["github", "pipeline_slug: web", "it is one of buildkite"],
    ["gitlab", "repository_owner: acme", "it is one of github"],
    ["cluster", "namespace: ci", "did you mean kubernetes.io.namespace?"],
    ["cluster", "kubernetes.io/namespace: ci", "did you mean kubernetes.io.namespace?"],
    ["circleci", "project-id: x", "did you mean oidc.circleci.com/project-id?"],
    ["ram", "rolename: ci", "did you mean role_name?"],
    ["github", "colour: red", "name repository_id or repository_owner_id"],
  ])("%s has no %s: %s", (issuer, condition, says) => {
    const quiet = (QUIET[issuer] as string).replaceAll(": 0123", ': "0123"');
    expect(said(issuer, `${quiet}, ${condition}`)).toEqual([
      expect.stringMatching(
        new RegExp(`^claim-unknown grants\\.x\\.when\\..*${says.replaceAll(/[.?]/g, "\\$&")}.*without it the grant`),
      ),
    ]);
  });

  test.each([
    ["jenkins", "colour: red"],
    ["generic", "colour: red"],
    ["github", "repo_property_team: web"],
    ["buildkite", '"agent_tag:queue": web'],
    ["cluster", "kubernetes.io.serviceaccount.uid: x"],
  ])("%s may have %s", (issuer, condition) => {
    const quiet = (QUIET[issuer] as string).replaceAll(": 0123", ': "0123"');
    expect(said(issuer, `${quiet}, ${condition}`)).toEqual([]);
  });

  test("in a scope", () => {
    const text = policy(grant("x", "github", 'repository_id: "1"', 'allow: ["repository:${team}/app:pull"]'));
    expect(lint(text).map(({ rule, line, column, message }) => `${rule} ${line}:${column} ${message}`)).toEqual([
      expect.stringMatching(
        /^claim-unknown 8:\d+ grants\.x\.allow: in repository:\$\{team\}\/app:pull "team".*given to nobody$/,
      ),
    ]);
  });

  test.each([
    ["github", 'repositoryid: "1"', "the denial denies nothing"],
    ["github", 'ref: { glob: "refs/*" }', "refs/heads/main"],
    ["github", "sub: repo:acme/bad:ref:refs/heads/main", "administrators can have it made of other claims"],
    ["buildkite", "pipeline_id: x", "a job can leave it out of its token"],
  ])("in a denial that would deny nothing, it stops the start: %s %s", (issuer, condition, why) => {
    const denials = `denials:\n  y: { issuer: ${issuer}, when: { ${condition} }, registry: prod, deny: ["repository:web/app:push"] }\n`;
    expect(() => lint(policy(grant("x", issuer, QUIET[issuer] as string), denials))).toThrow(why);
  });
});

describe("name-not-id", () => {
  test.each([
    ["github", "repository: acme/web", "repository_id beside it (gh api repos/acme/web --jq .id)"],
    ["github", "repository_owner: acme", "repository_owner_id beside it (gh api users/acme --jq .id)"],
    ["github", "sub: repo:acme/web:ref:refs/heads/main", "repository_id beside it (gh api repos/acme/web --jq .id)"],
    ["github", "repository_owner: { any_of: [acme, example] }", "repository_owner_id"],
    ["github", "enterprise: acme", "enterprise_id"],
    ["gitlab", "project_path: acme/web", "project_id"],
    ["gitlab", "namespace_path: acme/sub", "namespace_id beside it (glab api namespaces/acme%2Fsub"],
    ["buildkite", "organization_slug: acme", "organization_id"],
  ])("%s has an id for %s", (issuer, when, says) => {
    expect(said(issuer, when)).toEqual([expect.stringContaining(`name ${says}`)]);
  });

  test.each([
    ["github", 'repository: acme/web, repository_owner_id: "1"'],
    ["github", "sub: repo:acme@1/web@2:ref:refs/heads/main"],
    ["own", "project_path: acme/web"],
    ["buildkite", 'organization_slug: acme, pipeline_id: "0123"'],
    ["cluster", "kubernetes.io.namespace: ci"],
  ])("%s: nothing of %s", (issuer, when) => {
    expect(said(issuer, when)).toEqual([]);
  });
});

describe("pattern-strangers", () => {
  const base = 'repository_id: "1", environment: ';
  test.each([
    ["prod-*", '"prod-", "prod-eu" and "prod-not-yours"'],
    ["prod*", '"prod", "prod2-test" and "prod-not-yours"'],
    ["*-prod", '"-prod", "not-prod" and "not-your-prod"'],
    ["team/*", '"team/test", "team/old" and "team/not-yours"'],
    ["team/*/eu-*", '"team/test/eu-", "team/old/eu-eu" and "team/not-yours/eu-not-yours"'],
  ])("%s also admits %s", (pattern, strangers) => {
    expect(said("github", `${base}{ glob: "${pattern}" }`)).toEqual([
      `pattern-strangers grants.x.when.environment.glob: "${pattern}" also admits ${strangers}; if one of them should not get in, list the values with any_of`,
    ]);
  });

  test("a whole namespace that may be pushed to, and none that is only pulled from", () => {
    const of = (allow: string) => said("github", 'repository_id: "1"', `allow: [${allow}]`);
    expect(of('"repository:web/*:pull"')).toEqual([]);
    expect(of('"repository:web/app:push"')).toEqual([]);
    expect(of('"repository:web/*:push", "repository:api/*:pull,push", "repository:base/*:pull"')).toEqual([
      expect.stringContaining("web/* and api/* may be pushed to, also repositories made tomorrow"),
    ]);
  });
});

describe("grant-never-matches", () => {
  test.each([
    ["github", 'repository_id: "1", ref: main', "as in refs/heads/main"],
    ["github", 'repository_id: "1", ref: { any_of: [refs/heads/main, release] }', "ref.any_of[1]: no token of github"],
    ["github", 'repository_id: "1", ref: { glob: "heads/*" }', "as in refs/heads/main"],
    ["github", 'repository_id: "1", ref_type: branches', "write branch or tag"],
    ["github", 'repository_id: "1", ref_protected: "yes"', 'write "true" or "false"'],
    ["github", 'repository_id: "1", ref_protected: { glob: "t*x" }', 'write "true" or "false"'],
    ["github", 'repository_id: "1", ref: { contains: refs/heads/main }', "write the value itself"],
    ["github", 'repository_owner_id: "1", repository: web', "as in acme/web"],
    [
      "github",
      'repository_owner_id: "1", repository: acme/web, repository_owner: example',
      "contradicts repository_owner",
    ],
    ["github", 'repository_id: "1", ref: refs/heads/main, ref_type: tag', "contradicts ref_type"],
    ["gitlab", 'project_id: "42", ref: refs/heads/main', "write it without refs/heads/ or refs/tags/"],
    ["gitlab", 'project_id: "42", ref: { glob: "refs/tags/*" }', "write it without refs/heads/ or refs/tags/"],
    ["gitlab", 'project_id: "42", groups_direct: acme', "write { contains: … }"],
    ["cluster", "sub: serviceaccount:ci:builder", "write system:serviceaccount:<namespace>:<name>"],
    ["cluster", 'sub: { glob: "system:serviceaccount:ci:*:x" }', "write system:serviceaccount:<namespace>:<name>"],
    [
      "cluster",
      "sub: system:serviceaccount:ci:builder, kubernetes.io.namespace: web",
      "contradicts kubernetes.io.namespace",
    ],
    [
      "cluster",
      'sub: { glob: "system:serviceaccount:ci-*:builder" }, kubernetes.io.namespace: { any_of: [web, ci] }',
      "contradicts",
    ],
    ["buildkite", 'pipeline_id: "0", sub: organization:acme:web', "write organization:<slug>:pipeline:<slug>:ref:…"],
    ["spiffe", "sub: example.org/ci", "write spiffe://"],
    ["ram", 'account_id: "6543210987654321", role_name: ci', "one of the issuer's accounts, 1234567890123456"],
    ["github", 'repository_id: "1", iss: https://github.com', "has such an iss"],
    ["github", 'repository_id: "1", aud: { any_of: [https://acr-broker.example.com, sts] }', "has such an aud"],
  ])("%s: %s", (issuer, when, says) => {
    expect(said(issuer, when).filter((one) => !/^(?:pattern|name)-/.test(one))).toEqual([
      expect.stringMatching(
        new RegExp(`^grant-never-matches grants\\.x\\.when.*${says.replaceAll(/[.{}[\]]/g, "\\$&")}`),
      ),
    ]);
  });

  test.each([
    ["github", 'repository_id: "1", ref: { any_of: [refs/heads/main, refs/tags/v1, refs/pull/1/merge] }'],
    ["github", 'repository_id: "1", ref: { glob: "*/heads/main" }'],
    ["github", 'repository_id: "1", ref: refs/pull/1/merge, ref_type: branch'],
    ["github", 'repository_owner_id: "1", repository: { glob: "acme/*" }, repository_owner: acme'],
    ["github", 'repository_id: "1", ref_protected: { glob: "t*" }'],
    ["github", 'repository_id: "1", job_workflow_ref: acme/ci/.github/workflows/a.yml@refs/heads/main'],
    [
      "gitlab",
      'project_id: "42", ref: feature/refs, ref_type: branch, project_path: acme/sub/web, namespace_path: acme/sub',
    ],
    ["gitlab", 'project_id: "42", groups_direct: { contains: acme }'],
    ["cluster", 'sub: { glob: "system:serviceaccount:ci-*:builder" }, kubernetes.io.namespace: ci-web'],
    ["cluster", 'sub: { glob: "system:serviceaccount:ci:*" }, kubernetes.io.serviceaccount.name: { glob: "build*" }'],
    ["buildkite", 'pipeline_id: "0", sub: { glob: "organization:acme:pipeline:web:ref:*:commit:*:step:*" }'],
    ["spiffe", "sub: spiffe://example.org/ns/ci/sa/builder"],
  ])("%s may match: %s", (issuer, when) => {
    expect(said(issuer, when).filter((one) => one.startsWith("grant-never"))).toEqual([]);
  });
});

describe("grant-shadowed", () => {
  const WIDE = grant("wide", "github", 'repository_id: "1"', 'allow: ["repository:web/*:pull,push"], max_ttl: 1800');
  const shadowed = (...grants: string[]) =>
    lint(policy(grants.join(""))).flatMap(({ rule, message }) => (rule === "grant-shadowed" ? [message] : []));

  test.each([
    ["more conditions", grant("x", "github", 'repository_id: "1", ref: refs/heads/main')],
    ["the same conditions and less to give", grant("x", "github", 'repository_id: "1"')],
    ["a value where the other has it in a list of one", grant("x", "github", 'repository_id: { any_of: ["1"] }')],
    [
      "a claim's value in a repository",
      grant("x", "github", 'repository_id: "1"', 'allow: ["repository:web/${environment}:pull"]'),
    ],
    ["an event written out", grant("x", "github", 'repository_id: "1", event_name: push')],
  ])("%s", (_, narrow) => {
    for (const messages of [shadowed(WIDE, narrow), shadowed(narrow, WIDE)]) {
      expect(messages).toEqual([
        expect.stringMatching(
          /^grants\.x: is never needed: wide \(line \d+\) gives all of it, for as long, under no more conditions; take it out/,
        ),
      ]);
    }
  });

  test.each([
    ["another value", grant("x", "github", 'repository_id: "2"')],
    ["a value more", grant("x", "github", 'repository_id: { any_of: ["1", "2"] }')],
    ["a longer life", grant("x", "github", 'repository_id: "1"', "max_ttl: 3600")],
    [
      "another namespace",
      grant("x", "github", 'repository_id: "1"', 'allow: ["repository:web/app:pull", "repository:base/*:pull"]'),
    ],
    [
      "a claim's value in the namespace",
      grant("x", "github", 'repository_id: "1"', 'allow: ["repository:${repository_owner}/app:pull"]'),
    ],
    [
      "repositories that it may create",
      grant("x", "github", 'repository_id: "1"', 'allow: ["repository:web/app:push"], create_repository: true'),
    ],
    ["an event that the other does not take", grant("x", "github", 'repository_id: "1", event_name: pull_request')],
    ["another role", grant("x", "github", 'repository_id: "1"').replace("role/acr-web", "role/acr-api")],
    ["another issuer", grant("x", "own", 'project_id: "1"')],
  ])("not by %s", (_, other) => {
    expect(shadowed(WIDE, other)).toEqual([]);
  });

  test("of two that are the same the later is named", () => {
    expect(shadowed(WIDE, WIDE.replace("wide", "again"))).toEqual([
      "grants.again: gives exactly what wide (line 8) gives, to the same callers; keep one",
    ]);
  });

  test("by patterns and lists", () => {
    const wide = grant("wide", "github", 'repository_id: "1", environment: { glob: "prod-*" }');
    const of = (environment: string) =>
      shadowed(wide, grant("x", "github", `repository_id: "1", environment: ${environment}`));
    expect(of("prod-eu")).toHaveLength(1);
    expect(of('{ glob: "prod-eu-*" }')).toHaveLength(1);
    expect(of("{ any_of: [prod-eu, prod-us] }")).toHaveLength(1);
    expect(of("{ any_of: [prod-eu, dev] }")).toEqual([]);
    expect(of('{ glob: "prod*" }')).toEqual([expect.stringMatching(/^grants\.wide: is never needed: x /)]);
  });
});

test("docs/cli.md has every rule", () => {
  const page = readFileSync(new URL("../../docs/cli.md", import.meta.url), "utf8");
  for (const rule of [...Object.keys(grantRules), ...Object.keys(apiKeyRules)]) expect(page).toContain(`\`${rule}\``);
});

describe("issuer-unused and registry-unused", () => {
  test("name what no grant names, and nothing else", () => {
    const text = policy(grant("x", "github", 'repository_id: "1"')).replace(
      "issuers:\n",
      `  test: { instance_id: cri-abc124, region: cn-beijing, account_id: "1234567890123456", endpoints: [c.example.com] }\nissuers:\n  ram: ${ISSUERS["ram"]}\n`,
    );
    expect(lint(text).map(({ rule, severity, line, column }) => `${rule} ${severity} ${line}:${column}`)).toEqual([
      "registry-unused note 5:3",
      "issuer-unused note 7:3",
    ]);
  });
});

test("a denial of one of a template's issuers that no grant names is said, be it a slip of the pen", () => {
  const of = (org: string) =>
    lint(
      policy(
        grant("x", "orgs", "iss: https://issuer.example.com/acme, sub: builder"),
        `denials:\n  y: { issuer: orgs, when: { iss: https://issuer.example.com/${org} }, registry: prod, deny: ["repository:web/app:pull"] }\n`,
      ),
    ).map(({ rule, message }) => `${rule} ${message}`);
  expect(of("acme")).toEqual([]);
  expect(of("acmee")).toEqual([
    'denial-of-nobody denials.y.when.iss: no grant of orgs names "https://issuer.example.com/acmee", and so far nobody is denied anything by it',
  ]);
});

describe("limits", () => {
  const ID = 'repository_id: "1"';
  test.each([
    [
      "times: { not_after: 2026-12-31T23:59:59Z }",
      /^times-over grants\.x\.times\.not_after: has passed, and the grant gives nobody anything/,
    ],
    [
      "times: { not_before: 2027-06-07T00:00:00Z, not_after: 2027-06-11T22:00:00Z, days: [sat, sun], zone: UTC }",
      /^times-never grants\.x\.times: between not_before and not_after no such day or hour comes, and the grant gives nobody/,
    ],
    [
      "times: { not_before: 2027-06-07T10:00:00Z, not_after: 2027-06-07T20:59:59Z, hours: 21:00-09:00, zone: UTC }",
      /^times-never grants\.x\.times/,
    ],
    [
      "times: { days: [sun, mon, tue, wed, thu, fri, sat], zone: UTC }",
      /^limit-without-effect grants\.x\.times: the days/,
    ],
    ["cidrs: [10.0.0.0/8]", /^grant-without-address grants\.x\.cidrs: in Function Compute the grant opens nothing/],
  ])("%s is said", (rest, says) => {
    expect(said("github", ID, rest)).toEqual([expect.stringMatching(says)]);
  });

  test.each([
    ["times: { not_after: 2027-01-01T00:00:00Z }"],
    ["times: { days: [mon], zone: UTC }"],
    // Friday evening in UTC is Saturday in China.
    [
      "times: { not_before: 2027-06-07T00:00:00Z, not_after: 2027-06-11T22:00:00Z, days: [sat, sun], zone: Asia/Shanghai }",
    ],
    ["times: { not_before: 2027-06-07T10:00:00Z, not_after: 2027-06-07T21:00:00Z, hours: 21:00-09:00, zone: UTC }"],
    // Two names of one zone, of which each version of Node lists another.
    ["times: { days: [mon], zone: Asia/Kolkata }"],
    ["times: { days: [mon], zone: Asia/Calcutta }"],
  ])("%s is not", (rest) => expect(said("github", ID, rest)).toEqual([]));

  test("networks that are everywhere", () => {
    expect(said("github", ID, 'cidrs: ["10.0.0.0/8", "::/0"]')).toContainEqual(
      expect.stringMatching(/^limit-without-effect grants\.x\.cidrs: its networks are all there are/),
    );
  });

  test("a denial of times that never come does not load", () => {
    const times =
      "times: { not_before: 2027-06-07T00:00:00Z, not_after: 2027-06-11T22:00:00Z, days: [sat], zone: UTC }";
    const tail = `denials:\n  freeze: { registry: prod, deny: ["repository:web/app:push"], ${times} }\n`;
    expect(() => lint(policy(grant("x", "github", ID), tail))).toThrow(
      /10:\d+: denials\.freeze\.times: .* and the denial denies nothing; make them agree/,
    );
  });

  test("of a denial", () => {
    const tail =
      'denials:\n  freeze: { registry: prod, deny: ["repository:web/app:pull"], times: { not_after: 2026-12-31T23:59:59Z } }\n';
    expect(
      lint(policy(grant("x", "github", ID), tail)).map(({ rule, line, message }) => `${rule} ${line} ${message}`),
    ).toEqual([
      "times-over 10 denials.freeze.times.not_after: has passed, and the denial denies nothing; take it out, or write a later time",
    ]);
  });

  test("a limited grant takes no other's place", () => {
    const two = (first: string, second: string) =>
      lint(policy(grant("a", "github", ID, first) + grant("b", "github", ID, second))).filter(
        ({ rule }) => rule === "grant-shadowed",
      );
    expect(two("times: { days: [mon], zone: UTC }", "")).toEqual([]);
    expect(two("times: { days: [mon], zone: UTC }", "times: { days: [mon], zone: UTC }")).toHaveLength(1);
  });
});

test("a denial of what no grant gives is told, with the name that was meant", () => {
  const denials = (text: string) =>
    lint(
      policy(
        grant("x", "github", 'repository_id: "1"', 'allow: ["repository:shop/*:push"]'),
        `denials:\n  d: ${text}\n`,
      ),
    )
      .filter(({ rule }) => rule === "denial-of-nothing")
      .map(({ line, message }) => `${line} ${message}`);
  expect(denials('{ registry: prod, deny: ["repository:shp/*:push"] }')).toEqual([
    '10 denials.d.deny[0]: no grant gives any of it, so nobody is denied anything; did you mean "shop"?',
  ]);
  expect(denials('{ registry: prod, deny: ["repository:shop/web:pull"] }')).toHaveLength(1);
  expect(denials('{ registry: prod, deny: ["repository:shop/web:push"] }')).toEqual([]);
});

test("a denial that a claim's value could make meet a grant is left alone", () => {
  const given = (allow: string) =>
    lint(
      policy(
        grant("x", "gitlab", 'project_id: "1"', `allow: ["${allow}"]`),
        'denials:\n  d: { registry: prod, deny: ["repository:shop/web:push"] }\n',
      ),
    ).filter(({ rule }) => rule === "denial-of-nothing");
  expect(given("repository:${namespace_id}/*:push")).toEqual([]);
  expect(given("repository:shop/${project_id}:push")).toEqual([]);
  expect(given("repository:other/${project_id}:push")).toHaveLength(1);
});

test("a variable whose claim always has a slash in it gives nobody anything", () => {
  const dead = (issuer: string, when: string, claim: string) =>
    said(issuer, when, `allow: ["repository:ops/\${${claim}}:push"]`).filter((text) =>
      text.startsWith("grant-never-matches"),
    );
  expect(dead("gitlab", 'project_id: "1"', "project_path")).toEqual([
    expect.stringContaining("the claim project_path always has a / or : in it"),
  ]);
  expect(dead("github", 'repository_id: "1"', "repository")).toHaveLength(1);
  expect(dead("github", 'repository_id: "1"', "repository_id")).toEqual([]);
});

test("a registry's host in another region is told", () => {
  const elsewhere = (endpoint: string) =>
    lint(
      policy(grant("x", "github", 'repository_id: "1"')).replace("acme-registry.cn-hangzhou.cr.aliyuncs.com", endpoint),
    )
      .filter(({ rule }) => rule === "registry-elsewhere")
      .map(({ message }) => message);
  expect(elsewhere("acme-registry-vpc.cn-shanghai.cr.aliyuncs.com")).toEqual([
    'registries.prod.endpoints[0]: is a host in cn-shanghai, and the registry\'s region is "cn-hangzhou"; make them agree, or logins will be for another registry',
  ]);
  expect(elsewhere("acme-registry-vpc.cn-hangzhou.cr.aliyuncs.com")).toEqual([]);
  expect(elsewhere("registry.example.com")).toEqual([]);
});

test("credentials in a Redis over a line in the clear are told, not those that are on this machine", () => {
  const redis = (host: string, rest: string) =>
    lint(`${policy(grant("x", "github", 'repository_id: "1"'))}redis: { host: "${host}"${rest} }\n`)
      .filter(({ rule }) => rule === "redis-in-the-clear")
      .map(({ severity, message }) => `${severity}: ${message}`);
  const kept = ", tls: false, credentials: { key_env: [KEY] }";
  expect(redis("10.0.0.7", kept)).toEqual([
    expect.stringMatching(/^note: redis\.tls: is false, .* take it out, unless/),
  ]);
  expect(redis("127.0.0.1", kept)).toEqual([]);
  expect(redis("localhost", kept)).toEqual([]);
  expect(redis("10.0.0.7", ", tls: false")).toEqual([]);
  expect(redis("10.0.0.7", ", credentials: { key_env: [KEY] }")).toEqual([]);
});

test("no rule throws, whatever loads; each finding has its place and its words", () => {
  const claims = [
    ...new Set(Object.values(PROVIDERS).flatMap(({ trusted, callerChosen }) => [...trusted, ...callerChosen])),
  ];
  const claim = fc.oneof(
    fc.constantFrom(...claims, "account_id", "role_name"),
    fc.string({ minLength: 1, maxLength: 8 }),
  );
  const value = fc.oneof(
    fc.constantFrom(
      "1",
      "123",
      "main",
      "refs/heads/main",
      "system:serviceaccount:a:b",
      "acme/web",
      "repo:acme/web:x",
      "true",
    ),
    fc.string({ minLength: 1, maxLength: 8 }),
  );
  const pattern = fc.array(
    fc.constantFrom("*", "a", "/", ":", "@", "-", "prod", "refs/heads/", "system:serviceaccount:"),
    { minLength: 1, maxLength: 6 },
  );
  const condition = fc.oneof(
    value,
    fc.record({ any_of: fc.uniqueArray(value, { minLength: 1, maxLength: 3 }) }),
    fc.record({ glob: pattern.map((parts) => parts.join("")) }),
    fc.record({ contains: value }),
  );
  const scope = fc.constantFrom(
    "repository:web/*:pull,push",
    "repository:web/app:pull",
    "repository:web/${repository_id}:pull",
    "repository:${namespace_id}/*:push",
  );
  const one = fc.record({
    issuer: fc.constantFrom(...Object.keys(ISSUERS)),
    when: fc.dictionary(claim, condition, { minKeys: 1, maxKeys: 3 }),
    registry: fc.constant("prod"),
    allow: fc.uniqueArray(scope, { minLength: 1 }),
    role_arn: fc.constant("acs:ram::1234567890123456:role/acr-web"),
    max_ttl: fc.constantFrom(900, 1800),
  });
  let loaded = 0;
  fc.assert(
    fc.property(fc.array(one, { minLength: 1, maxLength: 3 }), (grants) => {
      const issuers = Object.entries(ISSUERS)
        .map(([name, text]) => `  ${name}: ${text}\n`)
        .join("");
      const text = `${HEAD}${issuers}${stringify({ grants: Object.fromEntries(grants.map((grant, index) => [`g${index}`, grant])) })}`;
      let findings: Finding[];
      try {
        findings = lint(text);
      } catch (error) {
        if (error instanceof ConfigError) return;
        throw error;
      }
      loaded++;
      for (const { line, message } of findings) {
        expect(line).toBeGreaterThan(3);
        expect(message).not.toMatch(/undefined|\[object/);
      }
    }),
    { numRuns: 4000 },
  );
  expect(loaded).toBeGreaterThan(50);
});

describe("roles of other accounts", () => {
  const OTHER = "acs:ram::6543210987654321:role/acr-web";
  const elsewhere = (rest: string) =>
    lint(
      policy(grant("x", "generic", "sub: builder", rest))
        .replace("role/acr-web", "role/acr-here")
        .replace("acs:ram::1234567890123456:role/acr-here", OTHER),
    ).map(({ rule, severity, line, column }) => `${rule} ${severity} ${line}:${column}`);

  test("without an external id are a confused deputy's, and find no instance", () => {
    expect(elsewhere("")).toEqual([
      expect.stringMatching(/^role-without-external-id note 8:/),
      expect.stringMatching(/^role-of-other-account note 8:/),
    ]);
  });

  test("with one, the instance alone is said", () => {
    expect(elsewhere("external_id: acme-broker")).toEqual([expect.stringMatching(/^role-of-other-account note/)]);
  });
});
