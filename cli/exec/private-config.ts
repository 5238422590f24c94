/**
 * The configuration that one command gets: the user's own, with the brokered login in it and nothing that would come before
 * that. Pure.
 */

import type { Auth, DockerConfig } from "../docker/config-file.ts";

/** What the user has: docker's config.json, auth.json of podman, and DOCKER_AUTH_CONFIG, which docker 28.3 and newer look at first. */
export interface Sources {
  readonly docker: DockerConfig;
  readonly containers: DockerConfig;
  readonly environment: DockerConfig;
}

/**
 * Docker's. `credsStore` would be asked for our hosts too, and not every client can be told to leave it out for one; docker
 * leaves an empty entry in `auths` for each host whose login it has put there, so it becomes a helper for each of those.
 */
export function privateDockerConfig(sources: Sources, auths: Readonly<Record<string, Auth>>): DockerConfig {
  const { docker, environment } = sources;
  const { credsStore, ...rest } = docker;
  const stored = Object.entries(docker.auths ?? {}).filter(([, entry]) => Object.keys(entry).length === 0);
  const helpers = credsStore ? Object.fromEntries(stored.map(([host]) => [host, credsStore])) : {};
  const hosts = Object.keys(auths);
  return {
    ...rest,
    auths: { ...others({ ...docker.auths, ...environment.auths }, hosts), ...auths },
    credHelpers: others({ ...helpers, ...docker.credHelpers }, hosts),
  };
}

/** Podman's, which would otherwise look into its own file and then into docker's. It knows no credsStore. */
export function privateAuthFile({ docker, containers }: Sources, auths: Readonly<Record<string, Auth>>): DockerConfig {
  const hosts = Object.keys(auths);
  const used = Object.fromEntries(Object.entries(docker.auths ?? {}).filter(([, entry]) => entry.auth !== undefined));
  return {
    auths: { ...others({ ...used, ...containers.auths }, hosts), ...auths },
    credHelpers: others({ ...docker.credHelpers, ...containers.credHelpers }, hosts),
  };
}

/** Docker once wrote `https://HOST/v1/`, podman takes `HOST/NAMESPACE`: all of them are of the host. */
function others<T>(entries: Readonly<Record<string, T>>, hosts: readonly string[]): Record<string, T> {
  const hostOf = (key: string) => key.replace(/^https?:\/\//, "").replace(/\/.*$/, "");
  return Object.fromEntries(Object.entries(entries).filter(([key]) => !hosts.includes(hostOf(key))));
}
