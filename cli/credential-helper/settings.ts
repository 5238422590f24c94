/** `helper.json`: which broker the helper asks, and what for. Written by `acr-broker configure-docker`, or by hand; has no secrets. */

import { rmSync } from "node:fs";
import { dirname } from "node:path";
import { parseStrictJson } from "../../shared/json.ts";
import { type Terminal, UsageError } from "../command.ts";
import { withLock } from "../docker/lock.ts";
import { makeFolders, writeOwn } from "../own-files.ts";
import { helperFile, textOf } from "./asked-with.ts";

export interface HelperSettings {
  /** The broker's address. */
  readonly url?: string;
  /** What tokens must be for. Left out: what the broker names, if that is its own address. */
  readonly audience?: string;
  /** Sign for a trigger of `authType: function`. */
  readonly function_compute?: boolean;
  /** What to ask for, by the broker's name of the registry. */
  readonly registries?: Readonly<Record<string, HelperRequest>>;
}

/** One of `scope` and `grant`. */
export interface HelperRequest {
  readonly scope?: readonly string[];
  readonly grant?: string;
  /** Seconds. */
  readonly ttl?: number;
}

/** @throws UsageError that names the file and what is wrong in it */
export function parseSettings(text: string | undefined, file: string): HelperSettings {
  if (text === undefined) return {};
  const problem = (what: string) => new UsageError(`${file}: ${what}; mend it, or write it anew with configure-docker`);
  let value: unknown;
  try {
    value = parseStrictJson(text);
  } catch (error) {
    throw problem((error as SyntaxError).message);
  }
  const wrong = wrongIn(value);
  if (wrong !== undefined) throw problem(wrong);
  return value as HelperSettings;
}

function wrongIn(value: unknown): string | undefined {
  const strange = strangeKey(value, ["url", "audience", "function_compute", "registries"]);
  if (strange !== undefined) return strange;
  const { url, audience, function_compute: signs, registries = {} } = value as HelperSettings;
  if (![url, audience].every((text) => text === undefined || isText(text))) return "url and audience are texts";
  if (signs !== undefined && typeof signs !== "boolean") return "function_compute is true or false";
  if (typeof registries !== "object" || registries === null) return "registries is an object of objects";
  for (const [name, request] of Object.entries<unknown>(registries)) {
    const wrong = strangeKey(request, ["scope", "grant", "ttl"]) ?? wrongRequest(request as HelperRequest);
    if (wrong !== undefined) return `registries.${name}: ${wrong}`;
  }
  return undefined;
}

function wrongRequest({ scope, grant, ttl }: HelperRequest): string | undefined {
  if ((scope === undefined) === (grant === undefined)) return "it has scope or grant, one of them";
  if (scope !== undefined && !(Array.isArray(scope) && scope.length > 0 && scope.every(isText)))
    return "scope is a list of scopes";
  if (grant !== undefined && !isText(grant)) return "grant is a name";
  return ttl === undefined || (Number.isSafeInteger(ttl) && ttl > 0) ? undefined : "ttl is a number of seconds";
}

function strangeKey(value: unknown, known: readonly string[]): string | undefined {
  if (typeof value !== "object" || value === null || Array.isArray(value)) return "it is no JSON object";
  const strange = Object.keys(value).find((key) => !known.includes(key));
  return strange && `${JSON.stringify(strange)} is unknown; there is ${known.join(", ")}`;
}

function isText(value: unknown): boolean {
  return typeof value === "string" && value !== "";
}

/** @throws UsageError where there is no home to have it in */
export function settingsFile(terminal: Pick<Terminal, "environment">): string {
  const file = helperFile(terminal);
  if (file === undefined)
    throw new UsageError("HOME is not set, so there is no ~/.config; set HOME or XDG_CONFIG_HOME");
  return file;
}

/** @throws UsageError */
export function readSettings(terminal: Pick<Terminal, "environment">): HelperSettings {
  const file = settingsFile(terminal);
  return parseSettings(textOf(file), file);
}

/** Whoever else changes it waits. What `edit` answers replaces it; undefined takes it away. @throws UsageError */
export async function editSettings(
  terminal: Pick<Terminal, "environment" | "outside" | "random">,
  edit: (settings: HelperSettings) => HelperSettings | undefined,
): Promise<void> {
  const file = settingsFile(terminal);
  try {
    makeFolders(dirname(file));
    await withLock(`${file}.lock`, terminal.outside, () => {
      const changed = edit(readSettings(terminal));
      if (changed === undefined) rmSync(file, { force: true });
      else writeOwn(file, `${JSON.stringify(changed, null, 2)}\n`, terminal);
    });
  } catch (error) {
    const { code, syscall } = error as NodeJS.ErrnoException;
    if (syscall === undefined) throw error;
    throw new UsageError(`${file} cannot be written (${code}); is it yours, and its folder?`);
  }
}
