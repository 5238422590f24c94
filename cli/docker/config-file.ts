/**
 * Docker's configuration file, and auth.json of podman, skopeo and buildah, which has the same form: read, and changed without
 * losing what others wrote. https://docs.docker.com/reference/cli/docker/#configuration-files, containers-auth.json(5)
 */

import {
  closeSync,
  fchmodSync,
  fchownSync,
  fsyncSync,
  lstatSync,
  openSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  realpathSync,
  renameSync,
  rmSync,
  type Stats,
  statSync,
  writeSync,
} from "node:fs";
import { basename, dirname, isAbsolute, join, resolve } from "node:path";
import { parseStrictJson } from "../../shared/json.ts";
import { type Terminal, UsageError } from "../command.ts";
import { makeFolders } from "../own-files.ts";
import { withLock } from "./lock.ts";

export interface DockerConfig {
  /** By host. Empty where a helper keeps the secret. */
  readonly auths?: Readonly<Record<string, Auth>>;
  /** Helper by host: `docker-credential-<helper>`. */
  readonly credHelpers?: Readonly<Record<string, string>>;
  /** The helper for all other hosts. */
  readonly credsStore?: string;
  readonly [other: string]: unknown;
}

export interface Auth {
  /** Base64 of `user:password`. */
  readonly auth?: string;
  readonly [other: string]: unknown;
}

type Surroundings = Pick<Terminal, "environment" | "userId">;

/** `$DOCKER_CONFIG/config.json`, else `~/.docker/config.json`. @throws UsageError */
export function dockerConfigFile({ environment }: Surroundings): string {
  const folder = environment["DOCKER_CONFIG"];
  return folder ? resolve(folder, "config.json") : join(home(environment), ".docker", "config.json");
}

/** As podman, skopeo and buildah look for it: containers-auth.json(5). @throws UsageError */
export function containersAuthFile({ environment, userId }: Surroundings, platform: string = process.platform): string {
  const { REGISTRY_AUTH_FILE: named, XDG_RUNTIME_DIR: runtime } = environment;
  if (named) return resolve(named);
  if (platform !== "linux") return join(home(environment), ".config", "containers", "auth.json");
  return runtime ? join(runtime, "containers", "auth.json") : `/run/containers/${userId}/auth.json`;
}

function home(environment: Terminal["environment"]): string {
  const folder = environment["HOME"] || environment["USERPROFILE"];
  if (folder && isAbsolute(folder)) return folder;
  throw new UsageError("HOME is not set, so there is no ~/.docker; set HOME or DOCKER_CONFIG");
}

/**
 * Which helper docker asks for a host's credential; then it does not look at `auths`. Undefined: none, `auths` counts. An empty
 * name in credHelpers switches credsStore off for the host: getConfiguredCredentialStore and nativeStore.Get in
 * https://github.com/docker/cli/tree/master/cli/config, and test/e2e/command-line.test.ts. (Where the helper cannot be run at all,
 * docker does take what is in `auths`; nobody should build on that.) Podman knows no credsStore.
 */
export function helperOf({ credHelpers, credsStore }: DockerConfig, host: string): string | undefined {
  const own = credHelpers !== undefined && Object.hasOwn(credHelpers, host) ? credHelpers[host] : credsStore;
  return own || undefined;
}

/** Nothing where there is no file. @throws UsageError where it is not what docker could have written */
export function readDockerConfig(file: string): DockerConfig {
  return parseDockerConfig(file, textOf(file));
}

/**
 * Changes the file as `edit` says, which gets what is there and answers what shall be; undefined leaves it. Other acr-broker
 * processes wait; whoever reads meanwhile sees the old or the new one, whole. Unknown fields, order and indentation stay. The
 * file is its owner's alone afterwards.
 * @throws UsageError where the file is not what docker could have written, or cannot be written; it is as it was then
 */
export async function editDockerConfig(
  file: string,
  { outside, random }: Pick<Terminal, "outside" | "random">,
  edit: (config: DockerConfig, files: ConfigFiles) => DockerConfig | undefined,
): Promise<void> {
  try {
    const target = targetOf(file);
    const folder = dirname(target);
    makeFolders(folder);
    const ours = prefixOf(target);
    const making = `${ours}${Buffer.from(random(8)).toString("hex")}.tmp`;
    await withLock(`${ours}lock`, outside, () => {
      const text = textOf(target);
      const changed = edit(parseDockerConfig(file, text), {
        beside: `${ours}${BESIDE}`,
        replace: (path, content) => replace(path, making, content),
      });
      clearAway(folder, ours);
      if (changed !== undefined) replace(target, making, written(changed, text));
    });
  } catch (error) {
    const { code, syscall } = error as NodeJS.ErrnoException;
    if (syscall === undefined) throw error;
    throw new UsageError(`${file} cannot be written (${code}); is it yours, and its folder?`);
  }
}

/** For what is kept beside the file, under the same lock. */
export interface ConfigFiles {
  /** The file for it, where the configuration really is, which may be behind a link. */
  readonly beside: string;
  /** Writes another file as safely as this one. */
  readonly replace: (path: string, content: string) => void;
}

const BESIDE = "logins";

/** Of what is ours beside the file. */
const prefixOf = (target: string) => join(dirname(target), `.${basename(target)}.acr-broker-`);

/** `ConfigFiles.beside`, to read it only. */
export function besideOf(file: string): string {
  return `${prefixOf(targetOf(file))}${BESIDE}`;
}

/** A link is followed also where nothing is at its end yet, as docker does. */
function targetOf(file: string): string {
  try {
    return realpathSync(file);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
    return isLink(file) ? targetOf(resolve(dirname(file), readlinkSync(file))) : resolve(file);
  }
}

function isLink(file: string): boolean {
  return lstatSync(file, { throwIfNoEntry: false })?.isSymbolicLink() === true;
}

function textOf(file: string): string {
  try {
    return readFileSync(file, "utf8");
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === "ENOENT") return "";
    throw new UsageError(`${file} cannot be read (${code}); is it yours, and its folder?`);
  }
}

/** An empty file is one without anything in it, as docker has it. `file` names it in messages. @throws UsageError */
export function parseDockerConfig(file: string, text: string): DockerConfig {
  if (text.trim() === "") return {};
  let value: unknown;
  try {
    value = parseStrictJson(text);
  } catch (error) {
    throw new UsageError(`${file} is left as it is: ${(error as SyntaxError).message}; mend it by hand`);
  }
  const wrong = wrongIn(value);
  if (wrong !== undefined) throw new UsageError(`${file} is left as it is: ${wrong}; mend it by hand`);
  return value as DockerConfig;
}

function wrongIn(config: unknown): string | undefined {
  if (!isObject(config)) return "it is no JSON object";
  const { auths = {}, credHelpers = {}, credsStore = "" } = config;
  if (!isObject(auths) || !Object.values(auths).every(isObject)) return "its auths is no object of objects";
  const isAuth = ({ auth = "" }: Record<string, unknown>) => typeof auth === "string";
  if (!Object.values(auths as Record<string, Record<string, unknown>>).every(isAuth))
    return "an auth in its auths is no text";
  const names = isObject(credHelpers) ? Object.values(credHelpers) : [undefined];
  if (!names.every((name) => typeof name === "string")) return "its credHelpers is no object of texts";
  return typeof credsStore === "string" ? undefined : "its credsStore is no text";
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** Indented and ended as it was; a new one as docker does, with tabs. */
function written(config: DockerConfig, before: string): string {
  const indent = /^\s*\{\r?\n([ \t]+)/.exec(before)?.[1];
  const isOneLine = /\S/.test(before) && !/\n/.test(before.trim());
  const text = JSON.stringify(config, null, isOneLine ? undefined : (indent ?? "\t"));
  const end = /\s*$/.exec(before)?.[0] ?? "";
  return before.includes("\r\n") ? text.replaceAll("\n", "\r\n") + end : text + end;
}

/** Whole or not at all: a reader never sees half of it, nor does the machine after a crash. */
function replace(target: string, making: string, content: string): void {
  const before = statSync(target, { throwIfNoEntry: false });
  try {
    const handle = openSync(making, "wx", 0o600);
    try {
      if (before !== undefined) keepOwner(handle, before);
      writeSync(handle, content);
      fsyncSync(handle);
    } finally {
      closeSync(handle);
    }
    renameSync(making, target);
  } catch (error) {
    rmSync(making, { force: true });
    throw error;
  }
}

/** Of root, who changes somebody's file, it must not become root's. */
function keepOwner(handle: number, { uid, gid, mode }: Stats): void {
  try {
    fchownSync(handle, uid, gid);
  } catch {
    // Others may give nothing away.
  }
  fchmodSync(handle, mode & 0o700);
}

/** What a process left that was killed while it wrote; under the lock nobody else is writing. */
function clearAway(folder: string, ours: string): void {
  for (const name of readdirSync(folder)) {
    const path = join(folder, name);
    if (path.startsWith(ours) && path.endsWith(".tmp")) rmSync(path, { force: true });
  }
}
