/** `acr-broker exec`: one command with a docker configuration of its own, in which the login is. */

import { writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import type { AcrBroker } from "../../shared/client/acr-broker.ts";
import type { Credentials } from "../../shared/client/credentials.ts";
import type { CredentialsRequest } from "../../shared/client/request.ts";
import { dockerConfig } from "../../shared/credential-formats.ts";
import { BROKER_OPTIONS, brokerOf, REQUEST_OPTIONS, requestOf } from "../broker.ts";
import { brokerErrorLine, isBrokerError } from "../broker-error.ts";
import { command, type Terminal, UsageError } from "../command.ts";
import {
  containersAuthFile,
  type DockerConfig,
  dockerConfigFile,
  editDockerConfig,
  parseDockerConfig,
  readDockerConfig,
} from "../docker/config-file.ts";
import { runInPlace } from "../exec/child.ts";
import { privateAuthFile, privateDockerConfig, type Sources } from "../exec/private-config.ts";
import { linkRest, type PrivateFolder, privateFolder } from "../exec/private-folder.ts";
import { keepFresh } from "../exec/refresh.ts";
import { lifeText } from "../life.ts";

/** What went wrong is acr-broker's: as docker run has it. */
const OWN_FAILURE = 125;

export const exec = command({
  usage: "--scope SCOPE... | --grant NAME [--] COMMAND [ARGUMENT]...",
  description: `
Runs the command with a DOCKER_CONFIG and a REGISTRY_AUTH_FILE of its own, in which the login is: for docker,
buildx, podman, skopeo, buildah, crane, helm and others. What else the user's configuration has stays: other
logins and helpers, contexts, plugins. The folder is in memory where there is such a place, is closed to
others, and goes when the command ends; a longer build gets a new login in it before the old one ends.
Streams and signals are the command's.

Exit codes: the command's own; 128 and the signal's number where one ended it; 125 acr-broker failed: refused,
no identity, the broker not reached, wrong usage; 126 the command cannot be executed; 127 it is not found.`,
  options: { ...BROKER_OPTIONS, ...REQUEST_OPTIONS },
  mostPositionals: Number.POSITIVE_INFINITY,
  passesOn: true,
  ownExitCode: OWN_FAILURE,
  examples: [
    "acr-broker exec --scope repository:web/app:pull,push -- docker buildx build --push --tag HOST/web/app:1 .",
    "acr-broker exec --grant web-main -- sh -c 'skopeo copy oci:app docker://HOST/web/app:1'",
  ],
  async run({ options, positionals: [name, ...args] }, terminal) {
    if (name === undefined) throw new UsageError("exec needs a command: acr-broker exec … -- COMMAND");
    const broker = brokerOf(options, terminal);
    const request = requestOf(options, terminal);
    const sources = sourcesOf(terminal);
    const credentials = await broker.credentials(request);

    let folder: PrivateFolder | undefined;
    const done = new AbortController();
    const prepare = () => {
      folder = privateFolder(terminal);
      if (!folder.inMemory)
        terminal.tell(
          `acr-broker: no file system in memory, so the login is on disk, in ${folder.path}, until the command ends\n`,
        );
      fill(folder, sources, credentials, terminal);
      keep({ folder, broker, request, credentials, terminal }, done.signal);
      return { command: name, args, environment: environmentFor(folder, terminal) };
    };
    const { code, failure } = await runInPlace(prepare, () => {
      done.abort();
      folder?.remove();
    });
    if (failure !== undefined) {
      const why = failure === "ENOENT" ? "is not found; is it in PATH?" : `cannot be executed (${failure})`;
      terminal.tell(`acr-broker: ${JSON.stringify(name)} ${why}\n`);
    }
    return code;
  },
});

function sourcesOf(terminal: Terminal): Sources {
  return {
    docker: readDockerConfig(dockerConfigFile(terminal)),
    containers: readDockerConfig(containersAuthFile(terminal)),
    environment: configIn(terminal.environment["DOCKER_AUTH_CONFIG"] ?? ""),
  };
}

/** Docker, too, takes no notice of one that it cannot read. */
function configIn(text: string): DockerConfig {
  try {
    return parseDockerConfig("DOCKER_AUTH_CONFIG", text);
  } catch {
    return {};
  }
}

const filesIn = ({ path }: PrivateFolder) => [join(path, "config.json"), join(path, "auth.json")] as const;

function fill(folder: PrivateFolder, sources: Sources, credentials: Credentials, terminal: Terminal): void {
  const { auths } = dockerConfig(credentials);
  const [docker, containers] = filesIn(folder);
  const write = (file: string, config: DockerConfig) =>
    writeFileSync(file, `${JSON.stringify(config, null, "\t")}\n`, { mode: 0o600, flag: "wx" });
  linkRest(dirname(dockerConfigFile(terminal)), folder);
  write(docker, privateDockerConfig(sources, auths));
  write(containers, privateAuthFile(sources, auths));
}

/** Beside the two files, where builders are kept when there are none yet: what is made there shall outlive the command. */
function environmentFor(folder: PrivateFolder, terminal: Terminal): NodeJS.ProcessEnv {
  const { DOCKER_AUTH_CONFIG: _, ...environment } = terminal.environment;
  const [, containers] = filesIn(folder);
  const BUILDX_CONFIG = environment["BUILDX_CONFIG"] || join(dirname(dockerConfigFile(terminal)), "buildx");
  return { ...environment, DOCKER_CONFIG: folder.path, REGISTRY_AUTH_FILE: containers, BUILDX_CONFIG };
}

interface Kept {
  readonly folder: PrivateFolder;
  readonly broker: AcrBroker;
  readonly request: CredentialsRequest;
  readonly credentials: Credentials;
  readonly terminal: Terminal;
}

function keep({ folder, broker, request, credentials, terminal }: Kept, signal: AbortSignal): void {
  const refresh = {
    ask: (minTtl: number) => broker.credentials({ ...request, minTtl: Math.max(minTtl, request.minTtl ?? 0), signal }),
    write: async (next: Credentials) => {
      const { auths } = dockerConfig(next);
      // The command may have logged in elsewhere meanwhile.
      for (const file of filesIn(folder)) {
        if (!signal.aborted)
          await editDockerConfig(file, terminal, (config) => ({ ...config, auths: { ...config.auths, ...auths } }));
      }
    },
    failed: (error: unknown, current: Credentials) => {
      const why =
        error instanceof Error ? (isBrokerError(error) ? brokerErrorLine(error) : error.message) : String(error);
      terminal.tell(`acr-broker: no new login yet: ${why}; the one in use ends ${lifeText(current)}\n`);
    },
    sleep: terminal.outside.sleep,
  };
  keepFresh(credentials, refresh, signal);
}
