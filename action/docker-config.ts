/** A Docker configuration of the job's own: what was in force so far, and the login beside it. */

import { existsSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";

export interface Login {
  readonly username: string;
  readonly password: string;
  readonly endpoints: readonly string[];
}

type Fields = Record<string, unknown>;

/** As Docker writes it into its file. */
export function basicAuth({ username, password }: Login): string {
  return Buffer.from(`${username}:${password}`).toString("base64");
}

/** Fills `folder`, which is empty: `config.json` for Docker and what follows it, `auth.json` for podman, skopeo and buildah. @throws Error without a word of what is in the file */
export function writeLogin(folder: string, before: string, login: Login): void {
  const config = readConfig(join(before, "config.json"));
  const auths = fields(config["auths"]);
  const helpers = fields(config["credHelpers"]);
  for (const host of login.endpoints) {
    auths[host] = { auth: basicAuth(login) };
    // With a credential store Docker looks for a login in no file, but for hosts that have another store, named or none.
    if (config["credsStore"] || helpers[host] !== undefined) helpers[host] = "";
  }
  const merged = { ...config, auths, ...(Object.keys(helpers).length > 0 ? { credHelpers: helpers } : {}) };
  writeFileSync(join(folder, "config.json"), JSON.stringify(merged), { mode: 0o600 });
  // podman, skopeo and buildah would look for the store that is none.
  writeFileSync(join(folder, "auth.json"), JSON.stringify({ auths }), { mode: 0o600 });
  if (!existsSync(before)) return;
  // Plugins, contexts and builders stay where they are. Folders only: Windows has no link to a file for everybody.
  for (const entry of readdirSync(before, { withFileTypes: true })) {
    if (entry.isDirectory()) symlinkSync(join(before, entry.name), join(folder, entry.name), "junction");
  }
}

function readConfig(file: string): Fields {
  if (!existsSync(file)) return {};
  const text = readFileSync(file, "utf8");
  try {
    const config: unknown = text.trim() === "" ? {} : JSON.parse(text);
    if (isFields(config) && [config["auths"], config["credHelpers"]].every((one) => one === undefined || isFields(one)))
      return config;
  } catch {}
  throw new Error(`${file} is no Docker configuration`);
}

function fields(value: unknown): Fields {
  return isFields(value) ? { ...value } : {};
}

function isFields(value: unknown): value is Fields {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
