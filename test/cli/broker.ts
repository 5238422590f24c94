/** What the tests of commands that speak to a broker share: the harness's broker, an identity for it, and a home. */

import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll } from "vitest";
import { type Harness, type HarnessOptions, policy, startHarness } from "../broker/harness.ts";
import { plantCanaries } from "../canaries.ts";
import { acrBrokerBeside, type Ran } from "./run.ts";

export const HOSTS = ["acme-registry.cn-hangzhou.cr.aliyuncs.com", "acme-registry-vpc.cn-hangzhou.cr.aliyuncs.com"];
export const SCOPE = "repository:web/app:pull,push";

export interface Caller {
  readonly harness: Harness;
  readonly home: string;
  /** Of a job that the policy lets push to web/. */
  environment(more?: Readonly<Record<string, string>>): Promise<Record<string, string>>;
  run(args: readonly string[], more?: Readonly<Record<string, string>>): Promise<Ran>;
  /** What the broker has issued so far and must be nowhere but where it was asked for. */
  passwords(): string[];
  close(): Promise<void>;
}

export async function startCaller(options: HarnessOptions = {}): Promise<Caller> {
  const harness = await startHarness({ policy, ...options });
  const home = mkdtempSync(join(tmpdir(), "acr-caller-"));
  const environment: Caller["environment"] = async (more = {}) => ({
    PATH: process.env["PATH"] as string,
    HOME: home,
    ACR_BROKER_URL: harness.url,
    ACR_BROKER_TOKEN: await harness.mint(),
    ACR_BROKER_REGISTRY: "prod",
    ...more,
  });
  return {
    harness,
    home,
    environment,
    run: async (args, more) => acrBrokerBeside(args, { environment: await environment(more) }),
    passwords: () => [...harness.cloud.secrets()],
    close: async () => {
      plantCanaries(harness.cloud.secrets());
      rmSync(home, { recursive: true, force: true });
      await harness.close();
    },
  };
}

/** One for the whole file. */
export function caller(options?: HarnessOptions): { readonly it: Caller } {
  const held: { it: Caller } = { it: undefined as never };
  beforeAll(async () => {
    held.it = await startCaller(options);
  });
  afterAll(() => held.it.close());
  return held;
}

/** Every file below the folder, as text. */
export function allText(folder: string): string {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => readFileSync(join(entry.parentPath, entry.name), "latin1"))
    .join("\n");
}
