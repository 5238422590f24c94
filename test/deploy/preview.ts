/**
 * Renders an s.yaml with the real Serverless Devs tool and checks the result against the fc3 component's own schema.
 * Offline: `s preview` resolves variables and contacts nobody.
 */
import { spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { Ajv, type ErrorObject } from "ajv";

export const ROOT = fileURLToPath(new URL("../../", import.meta.url));
/** The component's schema is third-party data, kept beside the repository and never copied into it. */
export const FC3_SCHEMA = process.env["FC3_SCHEMA"] ?? path.join(ROOT, "..", "shared", "fc3-schema.json");
export const schemaExists = existsSync(FC3_SCHEMA);

type Json = Record<string, unknown>;

/** The props of s.yaml that the tests look at; the schema check covers the rest. */
export interface Props extends Json {
  region: string;
  role: string;
  runtime: string;
  layers: string[];
  code: string;
  timeout: number;
  cpu: number;
  memorySize: number;
  instanceConcurrency: number;
  environmentVariables: Record<string, string>;
  customRuntimeConfig: { command: string[]; args: string[]; port: number; healthCheckConfig: Json };
  instanceLifecycleConfig: Record<"initializer" | "preStop", { handler: string; timeout: number }>;
  logConfig: Json;
  triggers: { triggerType: string; triggerConfig: Json }[];
}
export interface Rendered {
  access: string;
  resources: { broker: { component: string; props: Props } };
}

/** Renders `file`; `environment` is all that ${env()} can see besides PATH. Throws with the tool's words when it refuses. */
export function preview(file: string, environment: Record<string, string> = {}): Rendered {
  // The tool keeps logs and an update note in HOME, waits on stdin, and asks the network for news outside CI.
  const home = mkdtempSync(path.join(tmpdir(), "s-home-"));
  try {
    const tool = path.join(ROOT, "node_modules", "@serverless-devs", "s", "bin", "s");
    const run = spawnSync(process.execPath, [tool, "preview", "-t", file, "-o", "json", "--silent"], {
      cwd: ROOT,
      env: { PATH: process.env["PATH"] ?? "", HOME: home, CI: "true", ...environment },
      stdio: ["ignore", "pipe", "pipe"],
      encoding: "utf8",
      timeout: 15_000,
    });
    if (run.status !== 0) throw new Error(`s preview failed (${run.status}): ${run.stdout}${run.stderr}`);
    return JSON.parse(run.stdout.slice(run.stdout.indexOf("{"))) as Rendered;
  } finally {
    rmSync(home, { recursive: true, force: true });
  }
}

/** A check of props against the strict schema; the answer is empty when they fit. */
export function strictCheck(): (props: unknown) => ErrorObject[] {
  const ajv = new Ajv({ strict: false, allErrors: true });
  const validate = ajv.compile(strict(JSON.parse(readFileSync(FC3_SCHEMA, "utf8")) as Json) as object);
  return (props) => (validate(props) ? [] : (validate.errors ?? []));
}

/** The same schema with additionalProperties: false on every object that lists its properties and says nothing of others. */
export function strict(schema: unknown): unknown {
  if (Array.isArray(schema)) return schema.map(strict);
  if (typeof schema !== "object" || schema === null) return schema;
  const out: Json = {};
  for (const [key, value] of Object.entries(schema)) {
    // The conditions of if/then/else select by one property; closing them would make every condition false.
    if (key === "if" || key === "then" || key === "else") out[key] = value;
    else if (key === "properties" || key === "definitions") {
      out[key] = Object.fromEntries(Object.entries(value as Json).map(([name, inner]) => [name, strict(inner)]));
    } else out[key] = strict(value);
  }
  // An object without any listed property (IOtsConfig) is closed too: it would accept every trigger configuration.
  if (out["type"] === "object" && out["additionalProperties"] === undefined) out["additionalProperties"] = false;
  return out;
}
