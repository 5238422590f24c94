/**
 * Every command of `acr-broker`, in the order of the help. A command's own file is loaded only when it runs, and with it
 * what it needs: the YAML reader and the schema cost more than the rest of a start.
 * A name may have two words (`key new`).
 */

import type { Command } from "./command.ts";

export interface CommandEntry {
  /** One line for the table of commands. */
  readonly summary: string;
  readonly load: () => Promise<Command>;
}

export const COMMANDS: Readonly<Record<string, CommandEntry>> = {
  token: {
    summary: "get a credential from the broker, on standard output",
    load: async () => (await import("./commands/token.ts")).token,
  },
  login: {
    summary: "get a credential into docker's or podman's configuration",
    load: async () => (await import("./commands/login.ts")).login,
  },
  logout: {
    summary: "take out again what login wrote",
    load: async () => (await import("./commands/logout.ts")).logout,
  },
  exec: {
    summary: "run one command with a login of its own, kept good while it runs",
    load: async () => (await import("./commands/exec.ts")).exec,
  },
  "configure-docker": {
    summary: "have docker ask docker-credential-acr-broker for the registry's hosts",
    load: async () => (await import("./commands/configure-docker.ts")).configureDocker,
  },
  kubelet: {
    summary: "answer the kubelet, as its image credential provider plugin",
    load: async () => (await import("./commands/kubelet.ts")).kubelet,
  },
  doctor: {
    summary: "say what is wrong on the way to a credential, step by step",
    load: async () => (await import("./commands/doctor.ts")).doctor,
  },
  check: {
    summary: "say what is wrong with a policy, or its digest",
    load: async () => (await import("./commands/check.ts")).check,
  },
  explain: {
    summary: "say what these claims would get, and why; offline",
    load: async () => (await import("./commands/explain.ts")).explain,
  },
  test: {
    summary: "run the policy's tests: claims in, allow or deny out",
    load: async () => (await import("./commands/test.ts")).test,
  },
  diff: {
    summary: "say who gains and who loses what between two policies",
    load: async () => (await import("./commands/diff.ts")).diff,
  },
  ram: {
    summary: "print the RAM roles and policies that a policy needs, or check those that are there",
    load: async () => (await import("./commands/ram.ts")).ram,
  },
  block: {
    summary: "print how to shut a caller, a token or a grant out, at once",
    load: async () => (await import("./commands/block.ts")).block,
  },
  audit: {
    summary: "say from the log who got what, and which grants give more than is used",
    load: async () => (await import("./commands/audit.ts")).audit,
  },
  "key new": {
    summary: "make an API key for a script that has nothing better",
    load: async () => (await import("./commands/key.ts")).newKey,
  },
  completion: {
    summary: "write the script with which a shell completes all this",
    load: async () => (await import("./commands/completion.ts")).completion,
  },
};
