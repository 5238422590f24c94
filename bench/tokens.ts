/** Tokens as GitHub Actions gives them to jobs, in claims and size, signed by keys of the run; made before any clock runs. */

import { generateKeyPairSync, type JsonWebKey, type KeyObject, randomUUID, sign } from "node:crypto";

export const AUDIENCE = "https://acr-broker.example.com";
/** GitHub's own keys are of this size. */
const RSA_BITS = 2048;
/** Longer than any run, and no longer than a preset allows. */
const LIFETIME_SECONDS = 3_000;

type Algorithm = "RS256" | "ES256";

export interface Minter {
  /** Public keys, as an issuer shows them. */
  readonly jwks: { readonly keys: readonly JsonWebKey[] };
  /** A new valid token: of a job on `main` of the repository that the policy knows, unless `claims` say otherwise. */
  mint(issuer: string, claims?: Readonly<Record<string, string>>, algorithm?: Algorithm): string;
}

export function minter(): Minter {
  const pairs = {
    RS256: generateKeyPairSync("rsa", { modulusLength: RSA_BITS }),
    ES256: generateKeyPairSync("ec", { namedCurve: "P-256" }),
  };
  return {
    jwks: {
      keys: (["RS256", "ES256"] as const).map((alg) => {
        const key = pairs[alg].publicKey.export({ format: "jwk" });
        return { ...key, kid: alg, alg, use: "sig" };
      }),
    },
    mint: (issuer, claims = {}, algorithm = "RS256") =>
      signed(algorithm, pairs[algorithm].privateKey, { ...jobClaims(issuer), ...claims }),
  };
}

function signed(alg: Algorithm, key: KeyObject, claims: object): string {
  const part = (value: object) => Buffer.from(JSON.stringify(value)).toString("base64url");
  const content = `${part({ typ: "JWT", alg, kid: alg })}.${part(claims)}`;
  const signature = sign("sha256", Buffer.from(content), { key, dsaEncoding: "ieee-p1363" });
  return `${content}.${signature.toString("base64url")}`;
}

/** https://docs.github.com/en/actions/reference/security/oidc */
function jobClaims(issuer: string): Readonly<Record<string, string | number>> {
  const now = Math.floor(Date.now() / 1000);
  return {
    jti: randomUUID(),
    sub: "repo:acme/web:ref:refs/heads/main",
    aud: AUDIENCE,
    ref: "refs/heads/main",
    sha: "3f2a9c0e5b7d1846a0c2e4f6081a3b5c7d9e0f12",
    repository: "acme/web",
    repository_owner: "acme",
    repository_owner_id: "4567",
    run_id: "11223344556",
    run_number: "1042",
    run_attempt: "1",
    repository_visibility: "private",
    repository_id: "123456",
    actor_id: "7890",
    actor: "builder",
    workflow: "publish",
    head_ref: "",
    base_ref: "",
    event_name: "push",
    ref_protected: "true",
    ref_type: "branch",
    workflow_ref: "acme/web/.github/workflows/publish.yml@refs/heads/main",
    workflow_sha: "3f2a9c0e5b7d1846a0c2e4f6081a3b5c7d9e0f12",
    job_workflow_ref: "acme/web/.github/workflows/publish.yml@refs/heads/main",
    job_workflow_sha: "3f2a9c0e5b7d1846a0c2e4f6081a3b5c7d9e0f12",
    runner_environment: "github-hosted",
    iss: issuer,
    nbf: now - 60,
    exp: now + LIFETIME_SECONDS,
    iat: now,
  };
}
