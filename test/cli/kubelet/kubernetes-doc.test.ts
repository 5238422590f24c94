/**
 * docs/clients/kubernetes.md and examples/kubernetes/: the page's lines run, each manifest is one of its kind, and what runs in a
 * cluster runs here against a broker, with a kubectl that writes down what it is told. Needs `npm run build`.
 */

import { execFile } from "node:child_process";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { parse, parseAllDocuments, stringify } from "yaml";
import { newApiKey } from "../../../shared/identity/api-key.ts";
import { AUDIENCE, policy } from "../../broker/harness.ts";
import { blocksOf } from "../../markdown.ts";
import { stub } from "../../stub.ts";
import { caller, HOSTS } from "../broker.ts";
import { ROOT } from "../run.ts";

interface Manifest {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: { readonly name: string; readonly namespace?: string };
  readonly [field: string]: unknown;
}

const page = readFileSync(join(ROOT, "docs/clients/kubernetes.md"), "utf8");
const EXAMPLES = join(ROOT, "examples/kubernetes");
const manifests = (file: string) =>
  parseAllDocuments(readFileSync(join(EXAMPLES, file), "utf8")).map((document) => {
    expect(document.errors).toEqual([]);
    return document.toJS() as Manifest;
  });
const of = <T>(file: string, kind: string) => manifests(file).find((one) => one.kind === kind) as unknown as T;

const key = newApiKey("nightly", (bytes) => Buffer.alloc(bytes, 7));
const pod = (sub: string, allow: string) => ({
  issuer: "ci",
  when: { sub },
  registry: "prod",
  allow: [allow],
  role_arn: "acs:ram::1234567890123456:role/acr-web",
  max_ttl: 1800,
});
const c = caller({
  policy: (cloudUrl, issuerUrl) => {
    const [shown] = blocksOf(page).filter(({ name }) => name === "broker");
    const grants = Object.entries(parse(shown?.text ?? "").grants as object).map(([name, grant]) => [
      name,
      { ...grant, issuer: "ci" },
    ]);
    const base = parse(policy(cloudUrl, issuerUrl));
    return stringify({
      ...base,
      grants: {
        ...base.grants,
        ...Object.fromEntries(grants),
        renewer: pod("system:serviceaccount:web:acr-pull-secret", "repository:web/app:pull"),
        eso: { ...pod("", "repository:base/*:pull"), issuer: undefined, when: undefined, api_key: "nightly" },
      },
      api_keys: { nightly: { sha256: key.sha256, expires: new Date(Date.now() + 86_400_000).toISOString() } },
    });
  },
});

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "kubernetes-doc-"));
  for (const name of ["bin", "etc"]) mkdirSync(join(folder, name));
  for (const name of ["build", "examples"]) symlinkSync(join(ROOT, name), join(folder, name));
});
afterAll(() => rmSync(folder, { recursive: true }));

const run = promisify(execFile);

type Models = Readonly<Record<string, new (data: object) => { validate(): void }>>;
const modelsOf = createRequire(import.meta.url);

test.each(readdirSync(EXAMPLES))("each document of %s is one of its kind", (file) => {
  for (const manifest of manifests(file)) {
    if (/external-secrets|kubelet\.config/.test(manifest.apiVersion)) continue; // no schema of these is to be had: their tests are below
    const models = modelsOf(`kubernetes-models/${manifest.apiVersion}`) as Models;
    const Model = models[manifest.kind];
    expect(Model, manifest.kind).toBeDefined();
    if (Model !== undefined) expect(() => new Model(manifest).validate()).not.toThrow();
  }
});

test("the page's lines run", async () => {
  const token = await c.it.harness.mint({ sub: "system:serviceaccount:web:default" });
  stub(
    join(folder, "bin"),
    "kubectl",
    `case "$*" in
  "--namespace web create token default --audience ${AUDIENCE}") printf %s "$TOKEN" ;;
  "apply -f "*) test -s "$3" ;;
  "--namespace web create job --from=cronjob/acr-pull-secret acr-pull-secret-now") ;;
  *) exit 64 ;;
esac`,
  );
  const PATH = `${join(folder, "bin")}:${process.env["PATH"]}`;
  const lines = blocksOf(page)
    .filter(({ language }) => language === "sh")
    .flatMap(({ text }) => text.trimEnd().split("\n"));
  let said = "";
  for (const line of lines) {
    const here = line
      .replaceAll("/opt/acr-broker", join(folder, "opt"))
      .replaceAll("/etc/kubernetes", join(folder, "etc"))
      .replaceAll(`ACR_BROKER_URL=${AUDIENCE}`, `ACR_BROKER_URL=${c.it.harness.url}`);
    said += (await run("bash", ["-euo", "pipefail", "-c", here], { cwd: folder, env: { PATH, TOKEN: token } })).stdout;
  }
  expect(said.match(/^ok/gm)).toHaveLength(4);
  expect(said).toContain('"password":"(not shown)"');
});

describe("the CronJob", () => {
  const FILE = "renew-pull-secret.yaml";
  interface Container {
    readonly command: string[];
    readonly args: string[];
    readonly env: { name: string; value: string }[];
  }
  const container = () =>
    of<{ spec: { jobTemplate: { spec: { template: { spec: { containers: Container[] } } } } } }>(FILE, "CronJob").spec
      .jobTemplate.spec.template.spec.containers[0] as Container;

  async function renew(token: string) {
    const home = mkdtempSync(join(folder, "pod-"));
    writeFileSync(join(home, "token"), token);
    stub(join(folder, "bin"), "kubectl", `printf '%s\\n' "$@" > "$HOME/told"`);
    const { command, args, env } = container();
    const script = (args[0] as string)
      .replaceAll("/tmp/", `${home}/`)
      .replaceAll("/var/run/secrets/acr-broker/token", join(home, "token"))
      .replaceAll("--retry 3", "--retry 0");
    const variables = Object.fromEntries(
      env.map(({ name, value }) => [name, value.replace(AUDIENCE, c.it.harness.url)]),
    );
    const [shell = "", ...flags] = command;
    const environment = { ...variables, PATH: `${join(folder, "bin")}:${process.env["PATH"]}`, HOME: home };
    const ran = await run(shell, [...flags, script], { env: environment }).then(
      ({ stderr }) => ({ code: 0, stderr }),
      (error: { code: number; stderr: string }) => ({ code: error.code, stderr: error.stderr }),
    );
    return { ...ran, home, told: () => readFileSync(join(home, "told"), "utf8").trim().split("\n") };
  }

  test("writes a login that the broker issued into its Secret, and says it on no command line", async () => {
    const { code, stderr, home, told } = await renew(
      await c.it.harness.mint({ sub: "system:serviceaccount:web:acr-pull-secret" }),
    );
    expect({ code }, stderr).toEqual({ code: 0 });
    const patch = JSON.parse(readFileSync(join(home, "patch.json"), "utf8"));
    const { auths } = JSON.parse(Buffer.from(patch.data[".dockerconfigjson"], "base64").toString());
    expect(Object.keys(auths)).toEqual(HOSTS);
    const login = Buffer.from(auths[HOSTS[0] as string].auth, "base64").toString();
    const [, user, password = ""] = /^([^:]+):(.+)$/.exec(login) ?? [];
    expect([user, c.it.passwords().includes(password)]).toEqual(["cr_temp_user", true]);
    expect(told().join(" ")).not.toContain(password);
  });

  test("may do what it tells kubectl to, and nothing else: get and patch of that one Secret", async () => {
    const { told } = await renew(await c.it.harness.mint({ sub: "system:serviceaccount:web:acr-pull-secret" }));
    const secret = of<Manifest>(FILE, "Secret");
    const [namespaceFlag, namespace, verb, resource, name] = told();
    expect([namespaceFlag, namespace, verb, resource, name]).toEqual([
      "--namespace",
      secret.metadata.namespace,
      "patch",
      "secret",
      secret.metadata.name,
    ]);
    const { rules } = of<{ rules: object[] }>(FILE, "Role");
    expect(rules).toEqual([
      { apiGroups: [""], resources: ["secrets"], resourceNames: [secret.metadata.name], verbs: ["get", "patch"] },
    ]);
    const [account, role, binding] = ["ServiceAccount", "Role", "RoleBinding"].map((kind) => of<Manifest>(FILE, kind));
    expect(binding?.["roleRef"]).toMatchObject({ kind: "Role", name: role?.metadata.name });
    expect(binding?.["subjects"]).toEqual([{ kind: "ServiceAccount", ...account?.metadata }]);
    for (const one of manifests(FILE)) expect(one.metadata.namespace).toBe("web");
  });

  test("says the broker's words where it is refused, and leaves the Secret", async () => {
    const { code, stderr, told } = await renew(await c.it.harness.mint({ sub: "stranger" }));
    expect([code === 0, stderr]).toEqual([false, expect.stringContaining('"code":"access_denied"')]);
    expect(told).toThrow();
  });
});

describe("External Secrets", () => {
  const FILE = "external-secrets.yaml";
  /** Go's templates, as much of them as the manifest has. */
  const fill = (template: string, values: Record<string, unknown>) =>
    template.replaceAll(/\{\{ \.([\w.]+) \}\}/g, (_, path: string) =>
      String(path.split(".").reduce<unknown>((inner, name) => (inner as Record<string, unknown>)[name], values)),
    );

  test("the generator's request gets an answer of which the ExternalSecret makes a docker config", async () => {
    const { spec } = of<{
      spec: {
        url: string;
        method: string;
        headers: Record<string, string>;
        body: string;
        result: { jsonPath: string };
        secrets: object[];
      };
    }>(FILE, "Webhook");
    const secret = of<Manifest & { metadata: { labels: Record<string, string> } }>(FILE, "Secret");
    // The operator reads no other Secrets: https://external-secrets.io/latest/api/generator/webhook/
    expect(Object.values(secret.metadata.labels)).toEqual(["webhook", "webhook"]);
    expect(spec.secrets).toEqual([{ name: "auth", secretRef: { name: secret.metadata.name } }]);
    expect(spec.result.jsonPath).toBe("$");
    const headers = Object.entries(spec.headers).map(([name, value]) => [
      name,
      fill(value, { auth: { key: key.key } }),
    ]);
    const response = await c.it.harness.request(new URL(spec.url).pathname, {
      method: spec.method,
      headers: Object.fromEntries(headers),
      body: spec.body,
    });
    expect(response.status).toBe(200);
    const answer = (await response.json()) as Record<string, unknown>;

    const { target, dataFrom } = of<{
      spec: {
        target: { template: { type: string; data: Record<string, string> } };
        dataFrom: { sourceRef: { generatorRef: { name: string } } }[];
      };
    }>(FILE, "ExternalSecret").spec;
    expect(dataFrom[0]?.sourceRef.generatorRef.name).toBe(of<Manifest>(FILE, "Webhook").metadata.name);
    expect(target.template.type).toBe("kubernetes.io/dockerconfigjson");
    const config = JSON.parse(fill(target.template.data[".dockerconfigjson"] as string, answer));
    expect(config.auths[HOSTS[0] as string]).toEqual({ username: "cr_temp_user", password: answer["password"] });
  });
});

test("the kubelet's audience is the broker's, in the role, the configuration and nowhere another", () => {
  const [config] = manifests("credential-provider-config.yaml") as unknown as {
    providers: { tokenAttributes: { serviceAccountTokenAudience: string } }[];
  }[];
  const { rules } = of<{ rules: { resources: string[]; verbs: string[] }[] }>("kubelet-audience.yaml", "ClusterRole");
  expect(rules[0]).toMatchObject({ resources: [AUDIENCE], verbs: ["request-serviceaccounts-token-audience"] });
  expect(config?.providers[0]?.tokenAttributes.serviceAccountTokenAudience).toBe(AUDIENCE);
});
