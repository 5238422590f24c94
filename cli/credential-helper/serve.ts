/**
 * Docker's credential helper protocol: one action a process, its input on standard input, its answer on standard output.
 * https://github.com/docker/docker-credential-helpers: credentials/credentials.go has the actions and their errors.
 */

import type { Terminal } from "../command.ts";
import { digestOfAll, helperFile, hostOf, textOf } from "./asked-with.ts";
import { forget, keptFolder, readKept, usernames } from "./kept.ts";

export type HelperOutside = Omit<Terminal, "out" | "tell" | "colour" | "isWatched" | "loader" | "standardInput">;

export interface Served {
  readonly code: 0 | 1;
  /** Standard output. */
  readonly out: string;
  /**
   * Standard error. A reason goes to both: of a helper that fails, skopeo, podman and others show the standard output, while
   * docker drops it and goes on without a login; but the helper's standard error is docker's own (client/command.go).
   */
  readonly told?: string;
}

const NAME = "docker-credential-acr-broker";
const USAGE = `Usage: ${NAME} <store|get|erase|list|version>`;
const MORE =
  "Docker, podman and skopeo run it; acr-broker configure-docker has them do so. echo HOST | … get shows what they would get.";
const MISSING_SERVER = "no credentials server URL";
/** To the letter: docker then goes on without a login. Only of hosts that are not ours. */
const NOT_FOUND = "credentials not found in native keychain";

/** Never throws but for a defect. */
export async function serve(args: readonly string[], version: string, outside: HelperOutside): Promise<Served> {
  if (args.length !== 1) return no(USAGE);
  const [action = ""] = args;
  switch (action) {
    case "get":
      return get(outside.readStandardInput().trim(), outside);
    case "erase":
      return erase(outside.readStandardInput().trim(), outside);
    case "store":
      return store(outside.readStandardInput());
    case "list": {
      const folder = keptFolder(outside);
      return yes(`${JSON.stringify(folder === undefined ? {} : usernames(folder, outside))}\n`);
    }
    case "--help":
    case "-h":
      return yes(`${USAGE}\n${MORE}\n`);
    case "version":
    case "--version":
    case "-v":
      return yes(`${NAME} (acr-token-broker) ${version}\n`);
    default:
      return no(`Unknown credential action \`${action}\``);
  }
}

async function get(serverUrl: string, outside: HelperOutside): Promise<Served> {
  if (serverUrl === "") return no(MISSING_SERVER);
  const place = placeOf(serverUrl, outside);
  const { folder, digest, host } = place;
  const kept = folder && digest && readKept(folder, digest, host, outside);
  if (kept) return found(serverUrl, kept);
  // Only now: what speaks to the broker is most of this program.
  const { ask } = await import("./ask.ts");
  const answer = await ask(place, outside);
  if (answer === undefined) return no(NOT_FOUND);
  if ("secret" in answer) return found(serverUrl, answer);
  const told = `${NAME}: ${answer.problem}\n`;
  return { code: 1, out: told, told };
}

function found(
  ServerURL: string,
  { username, secret }: { readonly username: string; readonly secret: string },
): Served {
  return yes(`${JSON.stringify({ ServerURL, Username: username, Secret: secret })}\n`);
}

/** Docker, podman and others store after a login: nothing of theirs is ours to keep, and to fail would fail the login. */
function store(input: string): Served {
  let given: unknown;
  try {
    given = JSON.parse(input);
  } catch {
    return no("what is to be stored is not JSON");
  }
  const { ServerURL, Username } = (given ?? {}) as Record<string, unknown>;
  if (typeof ServerURL !== "string" || ServerURL === "") return no(MISSING_SERVER);
  return typeof Username === "string" && Username !== "" ? yes("") : no("no credentials username");
}

/** The next `get` asks the broker again. */
function erase(serverUrl: string, outside: HelperOutside): Served {
  if (serverUrl === "") return no(MISSING_SERVER);
  const { folder, digest } = placeOf(serverUrl, outside);
  if (folder !== undefined && digest !== undefined) forget(folder, digest);
  return yes("");
}

/** What is asked for, and where its answer would be kept. */
export interface Place {
  readonly host: string;
  /** What the user has set, as it is written. */
  readonly settings: string | undefined;
  readonly folder: string | undefined;
  readonly digest: string | undefined;
}

function placeOf(serverUrl: string, outside: HelperOutside): Place {
  const host = hostOf(serverUrl);
  const settings = textOf(helperFile(outside));
  return { host, settings, folder: keptFolder(outside), digest: digestOfAll(host, settings, outside) };
}

function yes(out: string): Served {
  return { code: 0, out };
}

function no(reason: string): Served {
  return { code: 1, out: `${reason}\n` };
}
