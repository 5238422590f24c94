/**
 * Each recipe of docs/clients/ci.md, run as its CI would run it: a token of the provider's form from a real issuer, a broker with the
 * grant of the provider's page, real curl and jq. GitLab's is run by gitlab-ci-local, which also checks it by GitLab's own schema.
 */

import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { parse, parseAllDocuments } from "yaml";
import { COPIES, CORE, readRecipe, recipes } from "../../docs/recipes.ts";
import type { OidcProvider } from "../../shared/config/config.ts";
import { AUDIENCE, type Harness, startHarness } from "../broker/harness.ts";
import { examplePolicy, setupOf, TOKENS } from "../callers.ts";
import { json, serve, tokenAnswer } from "../client/servers.ts";
import { haveTools } from "../e2e/tools.ts";
import { blocksOf } from "../markdown.ts";
import { BEFORE, type Job, loginIn, type Ran, ROOT, startJob } from "./job.ts";

const PAGE = readFileSync(`${ROOT}docs/clients/ci.md`, "utf8");

/** The page's block of that name: what a user writes. */
function shown(name: string): string {
  const block = blocksOf(PAGE).find((one) => one.name === name);
  if (block === undefined) throw new Error(`docs/clients/ci.md has no ${name}`);
  return block.text;
}

interface Given {
  readonly job: Job;
  readonly broker: string;
  readonly token: string;
}

interface Recipe {
  readonly provider: OidcProvider;
  /** What must be there to run it. */
  readonly needs?: string;
  readonly missing?: boolean;
  run(given: Given): Promise<Ran>;
}

/** One after another, the last ones also where one before them failed. */
async function stages(always: number, ...commands: (() => Promise<Ran>)[]): Promise<Ran> {
  let code = 0;
  let output = "";
  for (const [index, command] of commands.entries()) {
    if (code !== 0 && index < commands.length - always) continue;
    const ran = await command();
    code ||= ran.code;
    output += ran.output;
  }
  return { code, output };
}

const NODE_22 = join(ROOT, ".nodes/node_modules/node-22/bin/node");

/** Runs gitlab-ci-local in a project of these files. What it copies with rsync, a shell needs no copy of. */
async function gitlabCi(job: Job, files: Readonly<Record<string, string>>, ...args: string[]): Promise<Ran> {
  const project = join(job.folder, "project");
  mkdirSync(join(project, "templates"), { recursive: true });
  for (const [file, text] of Object.entries(files)) writeFileSync(join(project, file), text);
  job.stub("rsync", "exit 0");
  const git = ["git", "-C", project, "-c", "user.name=a", "-c", "user.email=a@example.com"];
  await job.run([...git, "init", "-q", "-b", "main"]);
  await job.run([...git, "remote", "add", "origin", "git@gitlab.example.com:acme/web.git"]);
  await job.run([...git, "add", "."]);
  await job.run([...git, "commit", "-qm", "x"]);
  const program = join(ROOT, "node_modules/gitlab-ci-local/dist/index.js");
  return job.run([NODE_22, program, "--cwd", "project", ...args]);
}

/** It mints no tokens, so the job is given one. */
function gitlab({ job, broker, token }: Given): Promise<Ran> {
  const pipeline = shown(".gitlab-ci.yml")
    .replace(/component: .*/, "local: templates/acr-login.yml")
    // A service would be a real container.
    .replace(/ *services: .*\n/, "")
    .replace(`url: ${AUDIENCE}`, `url: ${broker}`);
  const files = { "templates/acr-login.yml": readRecipe("templates/acr-login.yml"), ".gitlab-ci.yml": pipeline };
  const set = { ACR_TOKEN: token, CI_BUILDS_DIR: join(job.folder, "tmp"), CI_COMMIT_SHA: "0".repeat(40) };
  const variables = Object.entries(set).flatMap(([name, value]) => ["--variable", `${name}=${value}`]);
  const ours = ["--ignore-predefined-vars", "CI_BUILDS_DIR,CI_COMMIT_SHA"];
  return gitlabCi(job, files, "--force-shell-executor", ...ours, ...variables, "push-image");
}

/** Debian's groovy looks for Java at one place only. */
const JAVA = spawnSync("sh", ["-c", 'readlink -f "$(command -v java)"'], { encoding: "utf8" }).stdout.replace(
  /\/bin\/java\n$/,
  "",
);

async function jenkins({ job, broker, token }: Given): Promise<Ran> {
  const file = join(job.folder, "out/Jenkinsfile");
  // Its steps; what stands around them is Jenkins's own.
  const [, steps = ""] = /steps \{\n(.*?)\n {6}\}\n/s.exec(shown("Jenkinsfile")) ?? [];
  writeFileSync(file, steps.replaceAll(AUDIENCE, broker));
  const groovy = [
    "groovy",
    join(ROOT, "test/examples/jenkins.groovy"),
    join(ROOT, "examples/ci/jenkins"),
    file,
    "acr-broker",
  ];
  return job.run(groovy, {
    ACR_TOKEN: token,
    WORKSPACE_TMP: join(job.folder, "tmp/web@tmp"),
    JAVA_HOME: JAVA,
    JAVA_OPTS: "-XX:TieredStopAtLevel=1",
  });
}

/** As the agent makes variables of a plugin's configuration. */
function pluginVariables(prefix: string, value: unknown): [string, string][] {
  if (Array.isArray(value)) return value.flatMap((one, index) => pluginVariables(`${prefix}_${index}`, one));
  if (typeof value !== "object") return [[prefix, String(value)]];
  return Object.entries(value as object).flatMap(([name, one]) =>
    pluginVariables(`${prefix}_${name.toUpperCase().replaceAll(/[- ]/g, "_")}`, one),
  );
}

async function buildkite({ job, broker, token }: Given): Promise<Ran> {
  const { steps } = parse(shown(".buildkite/pipeline.yml")) as {
    steps: { command: string; plugins: Record<string, Record<string, unknown>>[] }[];
  };
  const [step] = steps;
  const [configuration] = Object.values(step?.plugins[0] ?? {});
  const { properties, required } = (parse(readRecipe(`${PLUGIN}/plugin.yml`)) as Plugin).configuration;
  expect(Object.keys(properties)).toEqual(expect.arrayContaining(Object.keys(configuration ?? {})));
  expect(Object.keys(configuration ?? {})).toEqual(expect.arrayContaining(required));
  const variables = pluginVariables("BUILDKITE_PLUGIN_ACR_LOGIN", {
    audience: AUDIENCE,
    ...configuration,
    url: broker,
  });
  const env = {
    ...Object.fromEntries(variables),
    BUILDKITE_JOB_ID: "0184990a-477b",
    BUILDKITE_COMMIT: "0".repeat(40),
    TOKEN: token,
  };
  job.stub(
    "buildkite-agent",
    `[ "$*" = 'oidc request-token --audience ${AUDIENCE} --claim organization_id' ] || exit 64\nprintenv TOKEN`,
  );
  const hook = (name: string) => join(ROOT, PLUGIN, "hooks", name);
  return stages(
    1,
    // What a hook exports, the agent gives to the command.
    () => job.run(["bash", "-c", `. '${hook("pre-command")}'\nbash -ec '${step?.command.replaceAll("$$", "$")}'`], env),
    () => job.run(["bash", hook("pre-exit")], env),
  );
}

const PLUGIN = "examples/ci/buildkite/acr-login-buildkite-plugin";

interface Plugin {
  readonly configuration: { readonly properties: Record<string, unknown>; readonly required: string[] };
}

type CircleStep = string | Record<string, { command: string; environment?: Record<string, string>; when?: string }>;

interface Orb {
  readonly commands: Record<string, { parameters?: Record<string, { default?: string }>; steps: CircleStep[] }>;
  readonly jobs: Record<
    string,
    { parameters: Record<string, { default?: string }>; steps: (string | Record<string, unknown>)[] }
  >;
}

/** The steps of the orb's job, with its parameters filled in, each in a shell that begins with what those before put into BASH_ENV. */
async function circleci({ job, broker, token }: Given): Promise<Ran> {
  const { commands, jobs } = parse(readRecipe("examples/ci/circleci/orb.yml"), { merge: false }) as Orb;
  const used = parse(shown(".circleci/config.yml")) as {
    workflows: { image: { jobs: Record<string, Record<string, unknown>>[] } };
  };
  const [given = {}] = used.workflows.image.jobs.map((one) => one["acr/with-login"] ?? {});
  const outer = jobs["with-login"];
  const parameters: Record<string, unknown> = { ...given, url: broker, audience: AUDIENCE };
  const filled = (text: string, values: Record<string, unknown>, declared: Record<string, { default?: string }> = {}) =>
    text.replaceAll(/<< parameters\.(\w+) >>/g, (_, name: string) => {
      const value = values[name] ?? declared[name]?.default;
      if (value === undefined) throw new Error(`no parameter ${name}`);
      return String(value);
    });
  const bashEnv = join(job.folder, "out/bash-env");
  writeFileSync(bashEnv, "");
  job.stub("circleci", `[ "$*" = 'run oidc get --claims {"aud":"${AUDIENCE}"}' ] || exit 64\nprintenv TOKEN`);
  const run = (command: string, environment: Record<string, string> = {}) =>
    job.run(["bash", "-eo", "pipefail", "-c", command], {
      ...environment,
      BASH_ENV: bashEnv,
      TOKEN: token,
      CIRCLE_SHA1: "0".repeat(40),
    });
  const ofCommand = (name: string, values: Record<string, unknown>) =>
    (commands[name]?.steps ?? []).map((step) => {
      const { command, environment = {} } = (
        step as Record<string, { command: string; environment?: Record<string, string> }>
      )["run"] as { command: string; environment?: Record<string, string> };
      const env = Object.fromEntries(
        Object.entries(environment).map(([key, text]) => [key, filled(text, values, commands[name]?.parameters)]),
      );
      return () => run(command, env);
    });
  const made = (outer?.steps ?? []).flatMap((step) => {
    if (step === "checkout") return [];
    if (typeof step === "string") return ofCommand(step, {});
    const [[name, values] = ["", {}]] = Object.entries(step);
    if (name === "steps")
      return (given["steps"] as { run: string }[])
        .filter((one) => typeof one !== "string")
        .map((one) => () => run(one.run));
    const passed = Object.entries(values as Record<string, string>).map(([key, text]) => [
      key,
      filled(text, parameters, outer?.parameters),
    ]);
    return ofCommand(name, Object.fromEntries(passed));
  });
  expect(commands["logout"]?.steps).toMatchObject([{ run: { when: "always" } }]);
  return stages(1, ...made);
}

interface Task {
  readonly spec: {
    readonly params: { name: string; default?: string; type?: string }[];
    readonly steps: { env: { name: string; value: string }[]; script?: string; command?: string[] }[];
    readonly volumes: { name: string; emptyDir?: { medium: string } }[];
  };
}

async function tekton({ job, broker, token }: Given): Promise<Ran> {
  const { spec } = parse(readRecipe("examples/ci/tekton/with-acr-login.yaml")) as Task;
  const { spec: taskRun } = parse(shown("taskrun.yaml")) as {
    spec: { params: { name: string; value: string | string[] }[] };
  };
  const values = new Map<string, string | string[]>(
    spec.params.flatMap(({ name, default: value }) => (value === undefined ? [] : [[name, value]])),
  );
  for (const { name, value } of taskRun.params) values.set(name, value);
  expect([...values.keys()].sort()).toEqual(spec.params.map(({ name }) => name).sort());
  values.set("url", broker);
  const filled = (text: string) =>
    text.replaceAll(/\$\(params\.([\w-]+)\)/g, (_, name: string) => String(values.get(name)));
  const [login, command] = spec.steps;
  const place = (text: string) =>
    text
      .replaceAll("/acr-login", join(job.folder, "tmp/acr-login"))
      .replaceAll("/var/run/secrets/acr-broker", join(job.folder, "out"));
  const env = (step = login) =>
    Object.fromEntries((step?.env ?? []).map(({ name, value }) => [name, place(filled(value))]));
  writeFileSync(join(job.folder, "out/token"), token);
  job.stub("crane", 'exec docker "$@"');
  // Tekton fills parameters into scripts, too, as text: none may be there.
  expect(login?.script).not.toContain("$(params");
  expect(command?.command).toEqual(["$(params.command[*])"]);
  const ran = await stages(
    0,
    () =>
      job.run(
        [
          "sh",
          "-c",
          place(login?.script ?? "").replaceAll(join(job.folder, "tmp/acr-login.XXXXXX"), "/acr-login.XXXXXX"),
        ],
        env(),
      ),
    () => job.run(values.get("command") as string[], env(command)),
  );
  // With the pod its memory goes.
  expect(spec.volumes.find(({ name }) => name === "acr-login")?.emptyDir?.medium).toBe("Memory");
  await job.run(["rm", "-rf", join(job.folder, "tmp/acr-login")]);
  return ran;
}

async function plain({ job, broker, token }: Given): Promise<Ran> {
  const lines = shown("curl-jq").replaceAll("examples/", `${ROOT}examples/`).replaceAll(AUDIENCE, broker);
  return job.run(["sh", "-ec", lines], { ACR_TOKEN: token, SHA: "0".repeat(40) });
}

const RECIPES: Readonly<Record<string, Recipe>> = {
  "GitLab CI": { provider: "gitlab", run: gitlab, needs: "npm run nodes", missing: !existsSync(NODE_22) },
  Jenkins: { provider: "jenkins", run: jenkins, missing: !haveTools(["groovy"]) },
  Buildkite: { provider: "buildkite", run: buildkite },
  CircleCI: { provider: "circleci", run: circleci },
  Tekton: { provider: "kubernetes", run: tekton },
  "curl and jq": { provider: "generic", run: plain },
};

describe.each(Object.entries(RECIPES))("%s", (name, { provider, run, needs, missing = false }) => {
  if (missing && needs !== undefined) process.stderr.write(`SKIPPED: the recipe for ${name}; to run it: ${needs}\n`);
  describe.skipIf(missing && (needs === undefined || process.env["CI"] !== "true"))("", () => {
    const { mine, stranger, header } = TOKENS[provider];
    let h: Harness;
    let job: Job;
    beforeAll(async () => {
      h = await startHarness({ policy: (cloud, issuer) => examplePolicy(provider, { cloud, issuer }) });
    });
    afterAll(() => h.close());
    beforeEach(() => {
      job = startJob();
      job.stub("sleep", "exit 0");
    });
    afterEach(() => job.remove());
    const mint = (claims: Readonly<Record<string, unknown>>) =>
      h.mint({ ref: null, aud: AUDIENCE, ...mine, ...claims }, { ...header });
    const unshown = (output: string, token: string) => {
      for (const secret of [...h.cloud.secrets(), ...token.split(".").slice(1)])
        expect(output.includes(secret)).toBe(false);
    };

    test("the job's command has the login, with all that was there before, and after it nothing is left", async () => {
      const token = await mint({});
      const { code, output } = await run({ job, broker: h.url, token });
      expect(code, output).toBe(0);
      const { username, password } = loginIn(job.seen());
      expect(h.cloud.login(username, password)?.allows("push", "web/app")).toBe(true);
      expect(output).toContain("acr-login: logged in to acme-registry");
      expect(output).not.toContain(password);
      expect(output).not.toContain(job.seen()?.auths["acme-registry.cn-hangzhou.cr.aliyuncs.com"]?.auth);
      unshown(output, token);
      expect(job.seen()).toMatchObject(BEFORE);
      expect(JSON.parse(readFileSync(join(job.folder, "home/.docker/config.json"), "utf8"))).toEqual(BEFORE);
      expect(job.left().filter((file) => !/^(?:\.gitlab-ci-local|web@tmp$)/.test(file))).toEqual([]);
    });

    test("a refusal fails the job in the broker's words, before its command", async () => {
      const token = await mint(stranger);
      const { code, output } = await run({ job, broker: h.url, token });
      expect(code).not.toBe(0);
      expect(output).toMatch(/acr-login: access_denied: \S.* \(request_id request-\d+\)/);
      unshown(output, token);
      expect(job.seen()).toBeUndefined();
      expect(job.left().filter((file) => !/^(?:\.gitlab-ci-local|web@tmp$)/.test(file))).toEqual([]);
    });

    test("a command that fails fails the job, and leaves no login", async () => {
      job.stub("docker", `echo "$DOCKER_CONFIG" >'${job.folder}/out/called'\nexit 7`);
      const { code, output } = await run({ job, broker: h.url, token: await mint({}) });
      expect(code, output).not.toBe(0);
      expect(existsSync(join(job.folder, "out/called"))).toBe(true);
      expect(job.left().filter((file) => !/^(?:\.gitlab-ci-local|web@tmp$)/.test(file))).toEqual([]);
    });

    test("two jobs of one home do not disturb one another", async () => {
      const other = startJob();
      try {
        other.env["HOME"] = job.env["HOME"] as string;
        const both = await Promise.all(
          [job, other].map(async (one) => run({ job: one, broker: h.url, token: await mint({}) })),
        );
        expect(both.map(({ code }) => code)).toEqual([0, 0]);
        for (const one of [job, other]) {
          const { username, password } = loginIn(one.seen());
          expect(h.cloud.login(username, password)?.allows("push", "web/app")).toBe(true);
        }
        expect(JSON.parse(readFileSync(join(job.folder, "home/.docker/config.json"), "utf8"))).toEqual(BEFORE);
      } finally {
        other.remove();
      }
    });
  });
});

test.each([...recipes()])("%s has examples/ci/acr-login.sh in it, word for word", (file, text) => {
  expect(readRecipe(file), "npm run docs puts it there").toBe(text);
});

test("the page shows no recipe that is not here, and all that are", () => {
  const named = [...PAGE.matchAll(/^## (.*)$/gm)].map(([, name]) => name);
  expect(named).toEqual(expect.arrayContaining(Object.keys(RECIPES)));
});

test("the shell that GitLab reads out of the component is the one that ShellCheck has seen", () => {
  const [, component] = parseAllDocuments(readRecipe("templates/acr-login.yml"));
  expect(component?.getIn(["$[[ inputs.job ]]", "before_script", 0])).toContain(readRecipe(CORE));
});

test.skipIf(!existsSync(NODE_22) && process.env["CI"] !== "true")(
  "what docs/callers/gitlab.md shows is a pipeline by GitLab's schema, with its one job",
  async () => {
    const job = startJob();
    try {
      const { code, output } = await gitlabCi(job, { ".gitlab-ci.yml": setupOf("gitlab").job.text }, "--list-csv-all");
      expect(code, output).toBe(0);
      expect(output).toMatch(/^push-image;/m);
    } finally {
      job.remove();
    }
  },
);

test.each([
  ["HUP", 129],
  ["INT", 130],
  ["TERM", 143],
])("curl-jq.sh that is sent %s waits for its command, removes the login, and exits with %i", async (signal, code) => {
  const job = startJob();
  const broker = await serve((_, response) => json(response, 200, tokenAnswer("a-password")));
  try {
    job.stub("docker", `kill -s ${signal} "$PPID"\ncp "$DOCKER_CONFIG/config.json" '${job.folder}/out/seen'`);
    const env = { ACR_BROKER_URL: broker.url, ACR_SCOPE: "repository:web/app:pull", ACR_TOKEN: "a-token" };
    const ran = await job.run([join(ROOT, "examples/ci/curl-jq.sh"), "docker"], env);
    expect(ran).toMatchObject({ code });
    expect(loginIn(job.seen()).password).toBe("a-password");
    expect(job.left()).toEqual([]);
  } finally {
    job.remove();
  }
});

test.skipIf(!haveTools(["shellcheck"]))("ShellCheck has nothing to say of any of it", async () => {
  const job = startJob();
  try {
    const hooks = ["pre-command", "pre-exit"].map((name) => `${PLUGIN}/hooks/${name}`);
    const files = ["examples/ci/curl-jq.sh", ...hooks].map((file) => join(ROOT, file));
    expect(await job.run(["shellcheck", "-x", "-P", "SCRIPTDIR", ...files])).toEqual({ code: 0, output: "" });
    expect(
      await job.run(["shellcheck", "-s", "sh", join(ROOT, CORE), ...COPIES.map((file) => join(ROOT, file))]),
    ).toEqual({ code: 0, output: "" });
  } finally {
    job.remove();
  }
});
