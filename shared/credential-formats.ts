/** A credential in the forms that other tools read: what the broker answers in, and the command line writes. */

export interface Login {
  readonly username: string;
  readonly password: string;
  /** The registry's name in the configuration. */
  readonly registry: string;
  readonly endpoints: readonly string[];
  readonly expiresAt: Date;
}

/** What docker keeps for a host: https://docs.docker.com/reference/cli/docker/login/ */
export function dockerAuth({ username, password }: Pick<Login, "username" | "password">): { auth: string } {
  return { auth: Buffer.from(`${username}:${password}`).toString("base64") };
}

export function dockerConfig(login: Login) {
  const auth = dockerAuth(login);
  return { auths: Object.fromEntries(login.endpoints.map((endpoint) => [endpoint, auth])) };
}

/** For a shell's `eval` or `.`, and for tools that read such files. */
export function environmentFile({ username, password, endpoints, expiresAt }: Login): string {
  const variables = {
    ACR_USERNAME: username,
    ACR_PASSWORD: password,
    ACR_REGISTRY: endpoints[0] as string,
    ACR_EXPIRES_AT: expiresAt.toISOString(),
  };
  return Object.entries(variables)
    .map(([name, value]) => `${name}='${value.replaceAll("'", "'\\''")}'\n`)
    .join("");
}

/** A Secret for `kubectl apply -f -`: https://kubernetes.io/docs/concepts/configuration/secret/#docker-config-secrets */
export function kubernetesSecret(login: Login) {
  return {
    apiVersion: "v1",
    kind: "Secret",
    metadata: {
      name: `acr-${login.registry}`,
      annotations: { "acr-token-broker/expires-at": login.expiresAt.toISOString() },
    },
    type: "kubernetes.io/dockerconfigjson",
    data: { ".dockerconfigjson": Buffer.from(JSON.stringify(dockerConfig(login))).toString("base64") },
  };
}
