/**
 * The caller's side of each setup in docs/callers/, run as it stands: the job's own script with its CI's shell, real curl and jq, a
 * token from a real provider by the way the CI gives it, and a broker with the page's grant. Stand-ins are the CI's own tools and Docker.
 */

import { execFile } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { parseAllDocuments } from "yaml";
import type { OidcProvider } from "../../shared/config/config.ts";
import { examplePolicy, PROVIDER_NAMES, setupOf, TOKENS } from "../callers.ts";
import { stub } from "../stub.ts";
import { AUDIENCE, type Harness, startHarness } from "./harness.ts";

const REGISTRY = "acme-registry.cn-hangzhou.cr.aliyuncs.com";

interface Ci {
  /** The job's script, as the CI hands it to the shell. */
  script(text: string): string;
  readonly shell: readonly string[];
  /** How the token comes to the job: a variable, a file, a command's output; otherwise by HTTP. */
  readonly variable?: string;
  readonly command?: string;
  /** The login that the script writes itself, where Docker does not. */
  readonly writes?: string;
}

/** What stands at a place of the last YAML document; a list of lines is one script. */
function at(...path: (string | number)[]): (text: string) => string {
  return (text) => {
    const found: unknown = parseAllDocuments(text).at(-1)?.toJS();
    const value = path.reduce((inner, key) => (inner as Record<string | number, unknown>)[key], found);
    return Array.isArray(value) ? value.join("\n") : String(value);
  };
}

/** As `buildkite-agent pipeline upload` fills variables in, of which the job's own are not there yet. */
function uploaded(text: string): string {
  return text.replaceAll(/\$\$|\$\{?\w+\}?/g, (found) => (found === "$$" ? "$" : ""));
}

const POD: Omit<Ci, "script"> = { shell: ["sh", "-ec"], writes: "config.json" };
const LOGIN = ["spec", "initContainers", 0, "args", 0];

const CI: Readonly<Record<OidcProvider, Ci>> = {
  github: { script: at("jobs", "image", "steps", 1, "run"), shell: ["bash", "-ec"] },
  gitlab: { script: at("push-image", "script"), shell: ["sh", "-ec"], variable: "ACR_TOKEN" },
  kubernetes: { ...POD, script: at("spec", "template", ...LOGIN) },
  rrsa: { ...POD, script: at(...LOGIN) },
  buildkite: {
    script: (text) => uploaded(at("steps", 0, "command")(text)),
    shell: ["bash", "-ec"],
    command: `buildkite-agent oidc request-token --audience ${AUDIENCE} --claim organization_id`,
  },
  circleci: {
    script: at("jobs", "image", "steps", 2, "run", "command"),
    shell: ["bash", "-eo", "pipefail", "-c"],
    command: `circleci run oidc get --claims {"aud": "${AUDIENCE}"}`,
  },
  bitbucket: {
    script: at("pipelines", "branches", "main", 0, "step", "script"),
    shell: ["sh", "-ec"],
    variable: "BITBUCKET_STEP_OIDC_TOKEN",
  },
  "azure-devops": { script: at("steps", 0, "bash"), shell: ["bash", "-c"] },
  jenkins: {
    script: (text) => [...text.matchAll(/sh '''(.*?)'''/gs)].map(([, lines]) => lines).join("\n"),
    // Its `sh` step prints what it runs.
    shell: ["sh", "-xec"],
    variable: "ACR_TOKEN",
  },
  spiffe: {
    script: (text) => text,
    shell: ["sh", "-ec"],
    command: `spire-agent api fetch jwt -audience ${AUDIENCE} -output json`,
  },
  generic: { script: (text) => text, shell: ["sh", "-ec"], variable: "TOKEN" },
};

let folder: string;
let ci: Server;
let token = "";
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "callers-doc-"));
  mkdirSync(join(folder, "bin"));
  stub(join(folder, "bin"), "docker", 'echo "$*" >> docker.calls\n[ "$1" != login ] || cat > password');
  stub(join(folder, "bin"), "apk", "true");
  // GitHub's token service, and Azure's: each gives a token to who has the job's own key, GitHub for the audience that is asked for.
  ci = createServer(({ method, url = "", headers }, response) => {
    const { searchParams } = new URL(url, "http://ci");
    const isGithub = method === "GET" && searchParams.get("audience") === AUDIENCE;
    const isAzure = method === "POST" && searchParams.get("api-version") === "7.1-preview.1";
    if (headers.authorization !== "Bearer job-key" || !(isGithub || isAzure)) return response.writeHead(403).end("{}");
    return response.end(JSON.stringify(isGithub ? { value: token } : { oidcToken: token }));
  });
  ci.listen(0, "127.0.0.1");
  await once(ci, "listening");
});
afterAll(() => {
  ci.closeAllConnections();
  ci.close();
  rmSync(folder, { recursive: true });
});
beforeEach(() => {
  for (const file of ["docker.calls", "password", "config.json"]) rmSync(join(folder, file), { force: true });
});

interface Ran {
  readonly code: number;
  readonly output: string;
}

/** Runs the page's script in the folder, with `token` where the CI has it. */
async function follow(provider: OidcProvider, broker: string): Promise<Ran> {
  const { script, shell, variable, command } = CI[provider];
  writeFileSync(join(folder, "token"), token);
  const [tool, ...args] = command?.split(" ") ?? [];
  const given = provider === "spiffe" ? '[{"svids":[{"svid":"%s"}]},{"bundles":{}}]' : "%s";
  if (tool !== undefined) {
    stub(join(folder, "bin"), tool, `[ "$*" = '${args.join(" ")}' ] || exit 64\nprintf '${given}' "$(cat token)"`);
  }
  const lines = script(setupOf(provider).job.text)
    .replaceAll(`${AUDIENCE}/v1/`, `${broker}/v1/`)
    .replaceAll("/var/run/secrets/acr-broker/token", join(folder, "token"))
    .replaceAll("/login/config.json", join(folder, "config.json"));
  expect(lines).toContain(`${broker}/v1/token`);
  const url = `http://127.0.0.1:${(ci.address() as AddressInfo).port}/oidc`;
  const environment = {
    PATH: `${join(folder, "bin")}:${process.env["PATH"] ?? ""}`,
    HOME: folder,
    ACTIONS_ID_TOKEN_REQUEST_URL: `${url}?api-version=2.0`,
    ACTIONS_ID_TOKEN_REQUEST_TOKEN: "job-key",
    SYSTEM_OIDCREQUESTURI: url,
    SYSTEM_ACCESSTOKEN: "job-key",
    ...(variable === undefined ? {} : { [variable]: token }),
  };
  const [program = "", ...options] = shell;
  return new Promise((resolve) => {
    execFile(program, [...options, lines], { cwd: folder, env: environment }, (error, stdout, stderr) => {
      resolve({ code: error === null ? 0 : Number(error.code), output: stdout + stderr });
    });
  });
}

const read = (file: string) => (existsSync(join(folder, file)) ? readFileSync(join(folder, file), "utf8") : "");

/** What Docker, or whoever reads the written login, got. */
function loginOf(provider: OidcProvider): { username: string; password: string } {
  if (CI[provider].writes === undefined) return { username: "cr_temp_user", password: read("password") };
  const { auths } = JSON.parse(read("config.json")) as { auths: Record<string, { auth: string }> };
  const [username = "", password = ""] = Buffer.from(auths[REGISTRY]?.auth ?? "", "base64")
    .toString()
    .split(/:(.*)/s);
  return { username, password };
}

describe.each(PROVIDER_NAMES)("%s", (provider) => {
  const { mine, stranger, audience = AUDIENCE, header } = TOKENS[provider];
  const mint = (claims = {}) => h.mint({ ref: null, aud: audience, ...mine, ...claims }, { ...header });
  let h: Harness;
  beforeAll(async () => {
    h = await startHarness({ policy: (cloud, issuer) => examplePolicy(provider, { cloud, issuer }) });
  });
  afterAll(() => h.close());

  test("the job logs in, pushes after it, and shows neither token nor password", async () => {
    token = await mint();
    const { code, output } = await follow(provider, h.url);
    expect(code, output).toBe(0);
    const { username, password } = loginOf(provider);
    expect(h.cloud.login(username, password)?.allows("push", "web/app")).toBe(true);
    expect(output).not.toContain(password);
    expect(output).not.toContain(token);
    if (CI[provider].writes === undefined) {
      const [login, ...rest] = read("docker.calls").trim().split("\n");
      expect(login).toBe(`login -u cr_temp_user --password-stdin ${REGISTRY}`);
      expect(rest.map((call) => call.split(" ")[0])).toEqual(rest.length === 0 ? [] : ["build", "push"]);
      for (const call of rest) expect(call).toContain(`${REGISTRY}/web/app:`);
    }
  });

  test("a refusal is shown, fails the job, and is no password", async () => {
    token = await mint(stranger);
    const { code, output } = await follow(provider, h.url);
    expect(code).not.toBe(0);
    expect(output).toContain('"code":"access_denied"');
    expect([read("docker.calls"), read("password"), read("config.json")]).toEqual(["", "", ""]);
  });

  test("so does a CI that gives no token", async () => {
    token = "";
    const { code, output } = await follow(provider, h.url);
    expect(code).not.toBe(0);
    expect(output).toContain('"status":401');
    expect(read("docker.calls")).toBe("");
  });
});
