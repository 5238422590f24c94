/**
 * A compiled policy: the configuration as it came out of the loader once, as JSON, so that a later start need not parse and
 * check the YAML again. It is never trusted to be right, only to be old. It says of which bytes it was made (the SHA-256 of
 * the policy and of each file that the policy names) and by which loader (version, and SHA-256 of its code), and it is used only
 * where all of that is so now: the loader would have made exactly this configuration of these files. Anything else, damage
 * too, is as if it were not there.
 *
 * These digests guard against what is stale or broken, not against whoever can write the file, who could make them fit. So it is
 * read from two places only, where whoever can write could have changed what is run as well: beside the server's own code, and
 * from a folder that only the user of the command line can write to (cli/policy-cache.ts). No configuration names it.
 */

import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { basename, dirname, resolve } from "node:path";
import { isDeepStrictEqual } from "node:util";
import type { BrokerConfig } from "./config.ts";

/** Of what is written here. */
const FORMAT = 1;

/** A file that a configuration was made of. */
export interface Source {
  /** Relative to the policy's folder; of the policy itself its name there. */
  readonly name: string;
  readonly bytes: Uint8Array;
}

interface Header {
  readonly format: number;
  readonly loader: string;
  readonly sources: readonly (readonly [name: string, sha256: string])[];
  /** The second line's SHA-256. */
  readonly body: string;
}

/**
 * What JSON has no words for stands as a text that begins with NUL: a date, and as the first of a list of entries, that it is a
 * map. A text that itself begins with NUL gets another one.
 */
const NUL = "\u0000";
const MAP = `${NUL}map`;
const DATE = `${NUL}date `;

/** Set by `npm run build`: the loader's version and the SHA-256 of its code. Undefined in code that is run unbuilt, which compiles nothing. */
export const LOADER: string | undefined = typeof ACR_BROKER_LOADER === "undefined" ? undefined : ACR_BROKER_LOADER;
declare const ACR_BROKER_LOADER: string | undefined;

/** The content of a compiled policy: a line on what it was made of, and the configuration. @throws Error for a configuration that would come back as another */
export function compile(config: BrokerConfig, sources: readonly Source[], loader: string): string {
  const body = JSON.stringify(marked(config));
  if (!isDeepStrictEqual(configOf(body), config)) throw new Error("a part of the configuration cannot be compiled");
  const header: Header = {
    format: FORMAT,
    loader,
    sources: sources.map(({ name, bytes }) => [name, sha256(bytes)]),
    body: sha256(body),
  };
  return `${JSON.stringify(header)}\n${body}`;
}

/** The configuration of the policy in the file `policy`, out of the file `compiled`; undefined where it does not fit. Never throws. */
export function readCompiled(compiled: string, policy: string, loader: string): BrokerConfig | undefined {
  try {
    const content = readFileSync(compiled);
    const lineEnd = content.indexOf("\n");
    const header = JSON.parse(content.toString("utf8", 0, lineEnd)) as Header;
    if (header.format !== FORMAT || header.loader !== loader) return undefined;
    if (!header.sources.some(([name]) => name === basename(policy))) return undefined;
    const isAsItWas = ([name, digest]: Header["sources"][number]) =>
      sha256(readFileSync(resolve(dirname(policy), name))) === digest;
    if (!header.sources.every(isAsItWas)) return undefined;
    const body = content.subarray(lineEnd + 1);
    return sha256(body) === header.body ? configOf(body.toString("utf8")) : undefined;
  } catch {
    // Not there, or not what was written: the policy itself says what there is to say.
    return undefined;
  }
}

/** As plain JSON, with marks. */
function marked(value: unknown): unknown {
  if (typeof value === "string") return value.startsWith(NUL) ? NUL + value : value;
  if (typeof value !== "object" || value === null) return value;
  if (value instanceof Date) return `${DATE}${value.getTime()}`;
  if (value instanceof Map) return [MAP, ...[...value].map(marked)];
  if (Array.isArray(value)) return value.map(marked);
  return Object.fromEntries(Object.entries(value).map(([key, part]) => [key, marked(part)]));
}

function configOf(body: string): BrokerConfig {
  return unmarked(JSON.parse(body)) as BrokerConfig;
}

/** Frozen, and in place: a large policy has a hundred thousand parts. */
function unmarked(value: unknown): unknown {
  if (typeof value === "string") {
    if (!value.startsWith(NUL)) return value;
    return value.startsWith(DATE) ? Object.freeze(new Date(Number(value.slice(DATE.length)))) : value.slice(NUL.length);
  }
  if (typeof value !== "object" || value === null) return value;
  if (Array.isArray(value) && value[0] === MAP) {
    return Object.freeze(new Map(value.slice(1).map((entry) => unmarked(entry) as [unknown, unknown])));
  }
  const parts = value as Record<string, unknown>;
  for (const key in parts) {
    const whole = unmarked(parts[key]);
    if (whole !== parts[key]) parts[key] = whole;
  }
  return Object.freeze(value);
}

function sha256(bytes: Uint8Array | string): string {
  return createHash("sha256").update(bytes).digest("hex");
}
