/** The file that `login` writes and `logout` cleans: docker's, podman's, or one that is named. */

import { resolve } from "node:path";
import { type Options, type Terminal, UsageError, type Values } from "../command.ts";
import { containersAuthFile, dockerConfigFile } from "./config-file.ts";

export const AUTH_FILE_OPTIONS = {
  podman: {
    type: "boolean",
    help: "the file of podman, skopeo and buildah: $REGISTRY_AUTH_FILE, else the session's auth.json",
  },
  authfile: { type: "string", value: "FILE", help: "this file, as podman's --authfile" },
} as const satisfies Options;

/** @throws UsageError */
export function authFileOf(
  { podman, authfile }: Values<typeof AUTH_FILE_OPTIONS>,
  terminal: Terminal,
): { readonly file: string; readonly isDocker: boolean } {
  if (authfile !== undefined && podman === true) throw new UsageError("give --podman or --authfile FILE, not both");
  if (authfile !== undefined) return { file: resolve(authfile), isDocker: false };
  return podman === true
    ? { file: containersAuthFile(terminal), isDocker: false }
    : { file: dockerConfigFile(terminal), isDocker: true };
}
