import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { describe, expect, test } from "vitest";
import { reference } from "../../functions/broker/reference/reference.ts";
import { FC3_SCHEMA, type Props, preview, ROOT, schemaExists, strictCheck } from "./preview.ts";

const FILE = path.join(ROOT, "s.yaml");
const source = readFileSync(FILE, "utf8");
const rendered = preview(FILE);
const { component, props } = rendered.resources.broker;

/** Paths (as ajv writes them) where s.yaml may differ from the strict schema, each with its reason. None is needed. */
const DEVIATIONS: Record<string, string> = {};

// Upper bounds of one request's waiting, in seconds: discovery and key set of an issuer at 3 each, then STS and ACR together.
const ISSUER_SECONDS = 6;
const UPSTREAM_SECONDS = 8;
// How long /pre-stop waits for requests under way.
const DRAIN_SECONDS = 10;

if (!schemaExists) {
  process.stderr.write(
    `\nSKIPPED: ${FC3_SCHEMA} is absent, so s.yaml is not checked against fc3's schema; set FC3_SCHEMA to the file.\n\n`,
  );
}

describe.skipIf(!schemaExists)("s.yaml against the component's schema made strict", () => {
  const check = schemaExists ? strictCheck() : () => [];
  const broken = (change: (props: Props) => void) => {
    const copy = structuredClone(props);
    change(copy);
    return check(copy);
  };

  test("the rendered properties fit", () => {
    expect(check(props).filter((error) => !(error.instancePath in DEVIATIONS))).toEqual([]);
  });

  test("the VPC block, once uncommented, fits too", () => {
    const withVpc = preview(write(uncomment("vpc", source))).resources.broker.props;
    expect(withVpc["vpcConfig"]).toEqual({
      vpcId: "vpc-REPLACE",
      securityGroupId: "sg-REPLACE",
      vSwitchIds: ["vsw-REPLACE"],
    });
    expect(check(withVpc)).toEqual([]);
  });

  test.each([
    ["redis", "ACR_BROKER_REDIS_PASSWORD"],
    ["credentials", "ACR_BROKER_CACHE_KEY"],
    ["audit", "ACR_BROKER_AUDIT_AUTHORIZATION"],
  ])("the secret of %s, once uncommented, fits too", (block, variable) => {
    const file = write(uncomment(block, source));
    const withSecret = preview(file, { [variable]: "canary" }).resources.broker.props;
    expect(withSecret.environmentVariables[variable]).toBe("canary");
    expect(check(withSecret)).toEqual([]);
    expect(() => preview(file), "not deployed where the secret was not exported").toThrow();
  });

  test.each<[string, (props: Props) => void]>([
    ["an unknown key at the top", (p) => Object.assign(p, { instanceConcurency: 100 })],
    ["an unknown key inside", (p) => Object.assign(p.customRuntimeConfig.healthCheckConfig, { path: "/healthz" })],
    ["an unknown key in a hook", (p) => Object.assign(p.instanceLifecycleConfig.preStop, { timeoutSeconds: 5 })],
    ["an unknown authType", (p) => Object.assign(p.triggers[0]?.triggerConfig ?? {}, { authType: "none" })],
    ["an unknown key in the trigger", (p) => Object.assign(p.triggers[0]?.triggerConfig ?? {}, { auth: "x" })],
    ["an unknown method", (p) => Object.assign(p.triggers[0]?.triggerConfig ?? {}, { methods: ["FETCH"] })],
    ["an unknown runtime", (p) => Object.assign(p, { runtime: "custom.debian13" })],
    ["an unknown logBeginRule", (p) => Object.assign(p.logConfig, { logBeginRule: "none" })],
    ["a concurrency over 200", (p) => Object.assign(p, { instanceConcurrency: 201 })],
    ["a time-out that is text", (p) => Object.assign(p, { timeout: "20" })],
    ["no code", (p) => Reflect.deleteProperty(p, "code")],
  ])("%s is refused", (_name, change) => {
    expect(broken(change)).not.toEqual([]);
  });
});

describe("what s.yaml says", () => {
  test("the component is pinned and the key alias is a plain name", () => {
    expect(component).toBe("fc3@0.1.22");
    expect(rendered.access).toBe("default");
  });

  test("region, account, role and logs follow the environment", () => {
    const other = preview(FILE, {
      ACR_BROKER_REGION: "ap-southeast-1",
      ACR_BROKER_ACCOUNT_ID: "6543210987654321",
      ACR_BROKER_ROLE: "broker-test",
      ACR_BROKER_FUNCTION: "broker-test",
      ACR_BROKER_LOG_PROJECT: "logs-test",
      ACR_BROKER_LOG_STORE: "test",
    }).resources.broker.props;
    expect(other.region).toBe("ap-southeast-1");
    expect(other.layers).toEqual(["acs:fc:ap-southeast-1:official:layers/Nodejs22/versions/3"]);
    expect(other.role).toBe("acs:ram::6543210987654321:role/broker-test");
    expect(other["functionName"]).toBe("broker-test");
    expect(other.logConfig).toMatchObject({ project: "logs-test", logstore: "test" });
  });

  test("the log project is named for the account unless said otherwise", () => {
    const other = preview(FILE, { ACR_BROKER_ACCOUNT_ID: "6543210987654321" }).resources.broker.props;
    expect(other.logConfig["project"]).toBe("acr-token-broker-6543210987654321");
  });

  test("nothing is left unresolved", () => {
    expect(JSON.stringify(rendered)).not.toContain("${");
  });

  test("no key, token or password stands in it", () => {
    expect(source).not.toMatch(/LTAI|STS\.N|abk_|AccessKey(Id|Secret)|PRIVATE KEY/);
    expect(Object.keys(props.environmentVariables).sort()).toEqual(["BROKER_CONFIG", "NODE_ENV"]);
  });

  test("Node comes from the layer, by its absolute path", () => {
    expect(props.runtime).toBe("custom.debian11");
    expect(props.layers).toEqual([`acs:fc:${props.region}:official:layers/Nodejs22/versions/3`]);
    expect(props.customRuntimeConfig.command).toEqual(["/opt/nodejs22/bin/node"]);
    expect(props.customRuntimeConfig.port).toBe(9000);
  });

  test("an instance takes many requests, up to the platform's limit", () => {
    expect(props.instanceConcurrency).toBeGreaterThan(1);
    expect(props.instanceConcurrency).toBeLessThanOrEqual(200);
  });

  test("the broker gives up before the platform does", () => {
    expect(props.timeout).toBeGreaterThan(ISSUER_SECONDS + UPSTREAM_SECONDS);
    expect(props.timeout).toBeLessThanOrEqual(60);
    expect(props.instanceLifecycleConfig.initializer.timeout).toBeGreaterThan(ISSUER_SECONDS);
    expect(props.instanceLifecycleConfig.preStop.timeout).toBeGreaterThan(DRAIN_SECONDS);
  });

  test("the health check asks for liveness within the platform's bounds", () => {
    expect(props.customRuntimeConfig.healthCheckConfig["httpGetUrl"]).toBe("/healthz");
    // CustomHealthCheckConfig: timeoutSeconds 1 to 3, periodSeconds 1 to 120.
    expect(props.customRuntimeConfig.healthCheckConfig["timeoutSeconds"]).toBeLessThanOrEqual(3);
    expect(props.customRuntimeConfig.healthCheckConfig["periodSeconds"]).toBeLessThanOrEqual(120);
  });

  test("vCPU and memory are in the proportion that the platform takes", () => {
    const gigabytesPerCpu = props.memorySize / 1024 / props.cpu;
    expect(gigabytesPerCpu).toBeGreaterThanOrEqual(1);
    expect(gigabytesPerCpu).toBeLessThanOrEqual(4);
    expect(Math.round(props.cpu * 100) % 5).toBe(0);
  });

  test("every caller reaches the broker's own authentication, by each method that a route has, and HEAD where it has GET", () => {
    const { paths } = JSON.parse(reference().json) as { paths: Record<string, Record<string, unknown>> };
    const methods = new Set(
      Object.values(paths).flatMap((path) => Object.keys(path).map((name) => name.toUpperCase())),
    );
    if (methods.has("GET")) methods.add("HEAD");
    expect(props.triggers).toHaveLength(1);
    expect(props.triggers[0]).toMatchObject({
      triggerType: "http",
      triggerConfig: { authType: "anonymous", methods: [...methods].sort() },
    });
  });

  test("one JSON object a line stays one log entry", () => {
    expect(props.logConfig["logBeginRule"]).toBe("None");
  });

  test("the role is lower case, as the component would make it", () => {
    expect(props.role).toBe(props.role.toLowerCase());
  });
});

describe("what s.yaml names exists in the build", () => {
  const dist = path.resolve(ROOT, props.code);
  const inCode = (file: string) => path.join(dist, path.posix.relative("/code", file));

  test("the code folder", () => {
    expect(existsSync(dist), `${dist} is missing: run "npm run build"`).toBe(true);
  });

  test.each([...props.customRuntimeConfig.args, props.environmentVariables["BROKER_CONFIG"] ?? ""])("%s", (file) => {
    expect(file).toMatch(/^\/code\//);
    expect(existsSync(inCode(file)), `${inCode(file)} is missing: run "npm run build"`).toBe(true);
  });

  test("no node_modules: everything is in the bundle", () => {
    expect(existsSync(path.join(dist, "node_modules"))).toBe(false);
  });
});

function uncomment(mark: string, text: string): string {
  return text.replace(new RegExp(` *# ${mark} begin\\n([\\s\\S]*?) *# ${mark} end\\n`), (_all, block: string) =>
    block.replace(/^( *)# /gm, "$1"),
  );
}

/** A changed s.yaml in a folder of its own; removed when the process ends. */
function write(text: string): string {
  const folder = mkdtempSync(path.join(tmpdir(), "s-yaml-"));
  process.once("exit", () => rmSync(folder, { recursive: true, force: true }));
  const file = path.join(folder, "s.yaml");
  writeFileSync(file, text);
  return file;
}
