/** A CI's machine for one test: a home that others share, a folder for what is temporary, and commands in the place of real ones. */

import { execFile } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { stub } from "../stub.ts";

export const ROOT = fileURLToPath(new URL("../../", import.meta.url));
export const ENDPOINT = "acme-registry.cn-hangzhou.cr.aliyuncs.com";

/** What the home's Docker is logged in to before. */
export const BEFORE = { auths: { "docker.io": { auth: "b2xkOmxvZ2lu" } }, currentContext: "builders" };

export interface Ran {
  readonly code: number;
  readonly output: string;
}

export interface Job {
  readonly folder: string;
  /** As the CI sets it for each of the job's commands. */
  readonly env: Record<string, string>;
  run(command: readonly string[], env?: Record<string, string>): Promise<Ran>;
  stub(name: string, lines: string): void;
  /** What the stub of Docker found in its configuration, when it was called; undefined where it never was. */
  seen(): DockerConfig | undefined;
  /** Each file that the job has left, by its path, but for what the test itself put there. */
  left(): string[];
  remove(): void;
}

export interface DockerConfig {
  readonly auths: Record<string, { auth: string }>;
  readonly credHelpers?: Record<string, string>;
  readonly currentContext?: string;
}

export function startJob(): Job {
  const folder = mkdtempSync(join(tmpdir(), "ci-job-"));
  for (const name of ["bin", "home/.docker/contexts", "tmp", "out"]) mkdirSync(join(folder, name), { recursive: true });
  writeFileSync(join(folder, "home/.docker/config.json"), JSON.stringify(BEFORE));
  writeFileSync(join(folder, "home/.docker/contexts/builders"), "");
  const bin = join(folder, "bin");
  stub(bin, "docker", `cat "$DOCKER_CONFIG/config.json" "$DOCKER_CONFIG/contexts/builders" >'${folder}/out/seen'`);
  const env = {
    PATH: `${bin}:${process.env["PATH"] ?? ""}`,
    HOME: join(folder, "home"),
    TMPDIR: join(folder, "tmp"),
    // Without it bash takes the pipes of this process for a remote login, and reads the machine's own start files.
    SHLVL: "1",
  };
  return {
    folder,
    env,
    run: ([program = "", ...args], more = {}) =>
      new Promise((resolve) => {
        execFile(program, args, { cwd: folder, env: { ...env, ...more } }, (error, stdout, stderr) => {
          resolve({ code: error === null ? 0 : Number(error.code ?? 255), output: stdout + stderr });
        });
      }),
    stub: (name, lines) => stub(bin, name, lines),
    seen: () => {
      const file = join(folder, "out/seen");
      return existsSync(file) ? (JSON.parse(readFileSync(file, "utf8")) as DockerConfig) : undefined;
    },
    left: () =>
      readdirSync(join(folder, "tmp"), { recursive: true, encoding: "utf8" }).concat(
        readdirSync(join(folder, "home"), { recursive: true, encoding: "utf8" }).filter(
          (file) => !/^\.docker(?:\/(?:config\.json|contexts(?:\/builders)?))?$/.test(file),
        ),
      ),
    remove: () => rmSync(folder, { recursive: true }),
  };
}

/** User name and password that a configuration has for the registry. */
export function loginIn(config: DockerConfig | undefined, host = ENDPOINT): { username: string; password: string } {
  const text = Buffer.from(config?.auths[host]?.auth ?? "", "base64").toString();
  const [username = "", password = ""] = text.split(/:(.*)/s);
  return { username, password };
}
