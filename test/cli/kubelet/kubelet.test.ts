/** `acr-broker kubelet` on requests as the kubelet makes them. Needs `npm run build`. */

import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { parseImage } from "../../../cli/kubelet/image.ts";
import { matchesImage } from "../../../cli/kubelet/provider-config.ts";
import { AUDIENCE } from "../../broker/harness.ts";
import { caller, HOSTS } from "../broker.ts";
import { acrBrokerBeside, type Ran, ROOT } from "../run.ts";

const c = caller();
const [HOST = "", VPC_HOST = ""] = HOSTS;
const IMAGE = `${HOST}/web/app:1.2`;
const V1 = { apiVersion: "credentialprovider.kubelet.k8s.io/v1", kind: "CredentialProviderRequest" };

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "kubelet-"));
});
afterAll(() => rmSync(folder, { recursive: true }));

/** The plugin as the kubelet runs it: of the environment only what its configuration sets. */
async function ask(request: unknown, more: Record<string, string> = {}): Promise<Ran> {
  const { PATH = "", ACR_BROKER_URL = "" } = await c.it.environment();
  const environment = { PATH, ACR_BROKER_URL, ALIBABA_CLOUD_ECS_METADATA_DISABLED: "true", ...more };
  return acrBrokerBeside(["kubelet"], {
    environment,
    input: typeof request === "string" ? request : JSON.stringify(request),
  });
}

const pod = async (image: string, annotations?: Record<string, string>) => ({
  ...V1,
  image,
  serviceAccountToken: await c.it.harness.mint(),
  ...(annotations === undefined ? {} : { serviceAccountAnnotations: annotations }),
});
const lastDecision = () =>
  c.it.harness.logged().findLast(({ event }) => event === "decision") as Record<string, unknown>;

function answered({ code, out, told }: Ran) {
  expect({ code, told }).toEqual({ code: 0, told: "" });
  return JSON.parse(out);
}

describe("a request", () => {
  test("with a service account's token is answered for that pod, that image, and its host", async () => {
    const response = answered(await ask(await pod(IMAGE)));
    expect(response).toEqual({
      apiVersion: V1.apiVersion,
      kind: "CredentialProviderResponse",
      cacheKeyType: "Image",
      cacheDuration: expect.stringMatching(/^\d+s$/),
      auth: { [HOST]: { username: "cr_temp_user", password: expect.any(String) } },
    });
    expect(c.it.passwords()).toContain(response.auth[HOST].password);
    expect(lastDecision()["scopes"] ?? lastDecision()["scope"]).toEqual(["repository:web/app:pull"]);
  });

  test("is kept by the kubelet for two thirds of the credential's life at most", async () => {
    const { cacheDuration } = answered(await ask(await pod(`${HOST}/web/cached`)));
    expect(Number.parseInt(cacheDuration, 10)).toBeGreaterThan(1_180);
    expect(Number.parseInt(cacheDuration, 10)).toBeLessThanOrEqual(1_200);
  });

  test.each([
    `${HOST}/web/app`,
    `${HOST}/web/app@sha256:${"0".repeat(64)}`,
    `${HOST}/web/app:1@sha256:${"0".repeat(64)}`,
    `${VPC_HOST}/web/app`,
  ])("for %s is for the repository alone", async (image) => {
    const { auth } = answered(await ask(await pod(image)));
    expect(Object.keys(auth)).toEqual([image.split("/")[0]]);
    expect(JSON.stringify(lastDecision())).toContain("repository:web/app:pull");
  });

  test("with an annotation asks for the grant that it names", async () => {
    answered(await ask(await pod(IMAGE, { "acr-token-broker/grant": "web-main" })));
    expect(JSON.stringify(lastDecision())).toContain("web-main");
    const refused = await ask(await pod(IMAGE, { "acr-token-broker/grant": "sharing" }));
    expect(refused).toMatchObject({ code: 1, out: "", told: expect.stringContaining("unknown_grant") });
  });

  test("without a token is the node, whose rights no annotation chooses", async () => {
    const more = { ACR_BROKER_TOKEN: await c.it.harness.mint() };
    const request = { ...V1, image: IMAGE, serviceAccountAnnotations: { "acr-token-broker/grant": "web-main" } };
    answered(await ask(request, more));
    expect(JSON.stringify(lastDecision())).toContain('"repository:web/app:pull"');
  });

  test("with a token that is refused is not answered as the node", async () => {
    const more = { ACR_BROKER_TOKEN: await c.it.harness.mint() };
    const token = await c.it.harness.mint({ sub: "stranger" });
    const refused = await ask({ ...V1, image: IMAGE, serviceAccountToken: token }, more);
    expect(refused).toMatchObject({ code: 1, out: "", told: expect.stringContaining("access_denied") });
    expect(refused.told).not.toContain(token);
  });

  test.each([
    "docker.io/library/alpine",
    "alpine:3",
    "other.cr.aliyuncs.com/web/app",
    `${HOST}:8443/web/app`,
    `${HOST}?x.example.com/web/app`,
    `${HOST}#@x.example.com/web/app`,
    `x@${HOST}/web/app`,
  ])("for %s, which is not the broker's, has no credential, and the kubelet does not keep that", async (image) => {
    const { code, out } = await ask(await pod(image));
    expect(code).toBe(0);
    expect(JSON.parse(out)).toEqual({
      apiVersion: V1.apiVersion,
      kind: "CredentialProviderResponse",
      cacheKeyType: "Image",
      cacheDuration: "0s",
      auth: null,
    });
  });

  test("is answered by fields that are new as well", async () => {
    answered(await ask({ ...(await pod(IMAGE)), podName: "web-0" }));
  });
});

describe("refused", () => {
  const token = `eyJhbGciOiJSUzI1NiJ9.${"c".repeat(40)}.c2lnbmF0dXJl`;
  test.each([
    ["nothing", "", "it is empty"],
    ["half of one", '{"apiVersion":', "it is not JSON"],
    ["a list", "[]", "it is no JSON object"],
    ["a key twice", `{"image":"a","image":"b","serviceAccountToken":"${token}"}`, 'the key "image" stands twice'],
    [
      "v1beta1",
      { ...V1, apiVersion: "credentialprovider.kubelet.k8s.io/v1beta1", image: IMAGE },
      "its apiVersion is not",
    ],
    ["another group", { ...V1, apiVersion: "v1", image: IMAGE }, "its apiVersion is not"],
    ["another kind", { ...V1, kind: "CredentialProviderResponse", image: IMAGE }, "its kind is another"],
    ["no image", { ...V1 }, "it names no image"],
    ["an image that is none", { ...V1, image: 7 }, "it names no image"],
    ["a token that is none", { ...V1, image: IMAGE, serviceAccountToken: {} }, "its serviceAccountToken is no text"],
    ["annotations that are none", { ...V1, image: IMAGE, serviceAccountAnnotations: { a: 1 } }, "no object of texts"],
    [
      "three levels",
      { ...V1, image: `${HOST}/a/b/c`, serviceAccountToken: token },
      "is not HOST/<namespace>/<repository>",
    ],
    ["a star", { ...V1, image: `${HOST}/web/*`, serviceAccountToken: token }, "is not HOST/<namespace>/<repository>"],
    ["one that is too large", { ...V1, image: "a".repeat(300_000) }, "characters"],
  ])("%s", async (_, request, says) => {
    const ran = await ask(request);
    expect(ran).toMatchObject({ code: 1, out: "" });
    expect(ran.told).toContain(says);
    expect(ran.told).not.toContain(token);
  });

  test("where the broker cannot be asked, or is not named", async () => {
    expect(await ask(await pod(IMAGE), { ACR_BROKER_URL: "" })).toMatchObject({ code: 1, out: "" });
    const down = await ask(await pod(IMAGE), { ACR_BROKER_URL: "http://127.0.0.1:2" });
    expect(down).toMatchObject({ code: 1, out: "", told: expect.stringContaining("network_error") });
  });
});

test.each([
  ["localhost:5000/web/app:1", { host: "localhost:5000", scope: "repository:web/app:pull" }],
  ["localhost/web/app", { host: "localhost", scope: "repository:web/app:pull" }],
  ["web/app", { problem: '"web/app" has no host' }],
])("the image %s is taken apart", (image, parsed) => {
  expect(parseImage(image)).toEqual(parsed);
});

// The table of k8s.io/kubernetes/pkg/credentialprovider/keyring_test.go, Test_URLsMatch, in part.
test.each([
  ["*.kubernetes.io", "prefix.kubernetes.io", true],
  ["prefix.*.io", "prefix.kubernetes.io", true],
  ["prefix.kubernetes.*", "prefix.kubernetes.io", true],
  ["*-good.kubernetes.io", "prefix-good.kubernetes.io", true],
  ["*.*.kubernetes.io", "a.b.kubernetes.io", true],
  ["*.kubernetes.io", "a.b.kubernetes.io", false],
  ["*kubernetes.io", "a.kubernetes.io", false],
  ["kubernetes.io", "kubernetes.com", false],
  ["k*.kubernetes.io", "quay.kubernetes.io", false],
  ["*.kubernetes.io:443", "a.kubernetes.io", false],
  ["*.kubernetes.io/path", "a.kubernetes.io/path/web", true],
  ["*.kubernetes.io/path", "a.kubernetes.io/other", false],
  ["*.cr.aliyuncs.com", IMAGE, false],
  ["*.*.cr.aliyuncs.com", IMAGE, true],
])("matchImages %s and %s: %s", (pattern, image, matches) => {
  expect(matchesImage(pattern, image)).toBe(matches);
});

describe("--self-test", () => {
  const CONFIG = readFileSync(join(ROOT, "examples/kubernetes/credential-provider-config.yaml"), "utf8");
  async function selfTest(config: string | undefined, image = IMAGE) {
    const file = join(folder, "config.yaml");
    if (config !== undefined) writeFileSync(file, config);
    const args = [
      "kubelet",
      "--self-test",
      "--image",
      image,
      ...(config === undefined ? [] : ["--provider-config", file]),
    ];
    return c.it.run(args);
  }

  test("shows what the kubelet would get, and no secret", async () => {
    const { code, out, told } = await selfTest(CONFIG);
    expect({ code, told }, out).toEqual({ code: 0, told: "" });
    expect(out.match(/^ok/gm)).toHaveLength(4);
    expect(out).toContain('"password":"(not shown)"');
    for (const secret of c.it.passwords()) expect(out).not.toContain(secret);
  });

  test.each([
    [
      "another audience",
      CONFIG.replace(`Audience: ${AUDIENCE}`, "Audience: https://elsewhere.example"),
      `must be the broker's audience, ${AUDIENCE}`,
    ],
    ["no cacheType", CONFIG.replace(/^.*cacheType:.*\n/m, ""), "cacheType must be"],
    ["no pattern for the host", CONFIG.replace(/"\*\.\*\.cr/, '"*.cr'), "no pattern in matchImages matches"],
    [
      "another version",
      CONFIG.replace("kubelet.k8s.io/v1", "kubelet.k8s.io/v1beta1"),
      "apiVersion must be credentialprovider",
    ],
    ["another plugin", CONFIG.replace("[kubelet]", "[get]"), "no provider in it has args: [kubelet]"],
    ["no YAML", "a: [", "it is neither YAML nor JSON"],
  ])("says what is wrong in a configuration with %s", async (_, config, says) => {
    const { code, out } = await selfTest(config);
    expect(code).toBe(1);
    expect(out).toContain(says);
  });

  test("says that a host is not the broker's, and which are", async () => {
    const { code, out } = await selfTest(undefined, "other.cr.aliyuncs.com/web/app");
    expect([code, out]).toEqual([1, expect.stringContaining(HOST)]);
  });

  test("without an image says so", async () => {
    expect(await c.it.run(["kubelet", "--self-test"])).toMatchObject({
      code: 1,
      told: expect.stringContaining("--image"),
    });
  });
});
