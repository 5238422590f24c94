/**
 * The surroundings of the attacks: two built brokers as processes, one of them as inside Function Compute, between the stand-in
 * cloud, providers of real tokens, issuers that mean harm, and an issuer whose private keys the attacker has.
 */

import { createHmac, generateKeyPairSync, type KeyObject, randomBytes, randomUUID, sign } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { newApiKey } from "../../shared/identity/api-key.ts";
import { plantCanaries } from "../canaries.ts";
import { type Fields, signedWithAcs3, type signedWithRpc } from "../identity/signing.ts";
import { AUDIENCE, type BrokerProcess, FUNCTION_ROLE, startBrokerProcess } from "../sandbox/broker-process.ts";
import { type Cloud, startCloud } from "../sandbox/cloud.ts";
import { type Issuer, startIssuer } from "../sandbox/issuer.ts";
import { DEFAULT_ACCOUNT } from "../sandbox/world.ts";
import { ask } from "./attack.ts";
import { HOSTILE, type HostileIssuers, hostileIssuers } from "./hostile-issuers.ts";
import { exchange } from "./socket.ts";

export { AUDIENCE };

/** Of the issuers whose keys are files: nothing answers there, and nobody asks. */
export const PINNED = "https://pinned.example";
export const SECOND = "https://pinned.example/second";
/** With the keys of PINNED, and tokens that are good once, or for one thing. */
export const ONCE = "https://pinned.example/once";
export const BOUND = "https://pinned.example/bound";

export type Facts = Record<string, unknown>;
type Algorithm = "RS256" | "PS256" | "ES256" | "EdDSA" | "HS256" | "HS384" | "HS512";

/** A key, and the name under which its public half is published. */
export interface SigningKey {
  readonly kid: string;
  readonly algorithm: Algorithm;
  readonly privateKey: KeyObject;
  readonly publicKey: KeyObject;
}

export interface Attacker {
  readonly canary: string;
  /** Where tokens come from that are sound. */
  readonly ci: Issuer;
  readonly other: Issuer;
  readonly cloud: Cloud;
  readonly hostile: HostileIssuers;
  /** Of PINNED: `rsa`, `ec` and `ec2`; of SECOND: one that is called `ec` too; and one of nobody's. */
  readonly keys: Readonly<Record<"rsa" | "ec" | "ec2" | "second" | "stranger" | "strangerRsa", SigningKey>>;
  readonly apiKeys: Readonly<Record<"nightly" | "boxed" | "old" | "unknown", string>>;
  /** Claims of PINNED that would be accepted, with the canary in one that decides nothing. */
  claims(changed?: Facts): Facts;
  /** A token of these claims, to the letter where they are text; by PINNED's key `ec` unless another is named. */
  sign(claims?: Facts | string, header?: Facts | string, key?: SigningKey): string;
  /** A token of `ci` that would be accepted. */
  mint(claims?: Facts): Promise<string>;
  /** Gets a credential with what is good, before it is tried again; answers it. */
  spend(credential: string): Promise<string>;
  /** The fields of a signed identity that would be accepted. */
  signed(changed?: Partial<Parameters<typeof signedWithAcs3>[0]>, scheme?: typeof signedWithRpc): Fields;
}

const registry = (instance: string, endpoint: string) =>
  `{ instance_id: ${instance}, region: cn-hangzhou, account_id: "${DEFAULT_ACCOUNT}", endpoints: [${endpoint}] }`;

function policy(
  cloudUrl: string,
  attacker: Pick<Attacker, "ci" | "other" | "hostile">,
  sha256: Record<string, string>,
): string {
  const role = `role_arn: "acs:ram::${DEFAULT_ACCOUNT}:role/acr-web", max_ttl: 900`;
  const hostile = HOSTILE.map(
    (path) => `  bad${path.replace("/", "-")}: { provider: generic, issuer: "${attacker.hostile.origin}${path}" }`,
  );
  const hostileGrants = HOSTILE.map(
    (path) =>
      `  grant${path.replace("/", "-")}: { issuer: bad${path.replace("/", "-")}, when: { sub: job }, registry: prod, allow: ["repository:web/app:pull"], ${role} }`,
  );
  return `
version: 1
audience: ${AUDIENCE}
registries:
  prod: ${registry("cri-abc123", "acme-registry.cn-hangzhou.cr.aliyuncs.com")}
  spare: ${registry("cri-spare", "spare.example.com")}
issuers:
  ci: { provider: generic, issuer: "${attacker.ci.url}" }
  other: { provider: generic, issuer: "${attacker.other.url}" }
  pinned: { provider: generic, issuer: "${PINNED}", algorithms: [RS256, ES256], jwks_file: ./pinned.json }
  second: { provider: generic, issuer: "${SECOND}", algorithms: [ES256], jwks_file: ./second.json }
  once: { provider: generic, issuer: "${ONCE}", algorithms: [ES256], replay: once, jwks_file: ./pinned.json }
  bound: { provider: generic, issuer: "${BOUND}", algorithms: [ES256], replay: bind, jwks_file: ./pinned.json }
  ram: { provider: alibaba, accounts: ["${DEFAULT_ACCOUNT}"] }
${hostile.join("\n")}
grants:
  web: { issuer: ci, when: { sub: job }, registry: prod, allow: ["repository:web/*:pull,push"], ${role} }
  other: { issuer: other, when: { sub: stranger }, registry: prod, allow: ["repository:base/*:pull"], ${role} }
  pinned: { issuer: pinned, when: { sub: job, ref: refs/heads/main }, registry: prod, allow: ["repository:web/app:pull", "repository:team/*:pull"], ${role} }
  releases: { issuer: pinned, when: { sub: release, ref: { glob: "refs/heads/rel-*" } }, registry: prod, allow: ["repository:web/app:pull"], ${role} }
  teams: { issuer: pinned, when: { sub: team }, registry: prod, allow: ["repository:\${team}/app:pull"], ${role} }
  second: { issuer: second, when: { sub: second }, registry: prod, allow: ["repository:base/*:pull"], ${role} }
  once: { issuer: once, when: { sub: job }, registry: prod, allow: ["repository:web/*:pull"], ${role} }
  bound: { issuer: bound, when: { sub: job }, registry: prod, allow: ["repository:web/*:pull"], ${role} }
  tester: { issuer: ram, when: { account_id: "${DEFAULT_ACCOUNT}", user_name: tester }, registry: prod, allow: ["repository:web/app:pull"], ${role} }
  nightly: { api_key: nightly, registry: prod, allow: ["repository:web/app:pull"], ${role} }
  boxed: { api_key: boxed, registry: prod, allow: ["repository:web/app:pull"], ${role} }
  old: { api_key: old, registry: prod, allow: ["repository:web/app:pull"], ${role} }
${hostileGrants.join("\n")}
api_keys:
  nightly: { sha256: ${sha256["nightly"]}, expires: 2999-01-01T00:00:00Z }
  boxed: { sha256: ${sha256["boxed"]}, expires: 2999-01-01T00:00:00Z, cidrs: [10.0.0.0/8] }
  old: { sha256: ${sha256["old"]}, expires: 2020-01-01T00:00:00Z }
alibaba: { sts_endpoint: "${cloudUrl}", cr_endpoint: "${cloudUrl}" }
limits: { caller_per_minute: 1000000, failures_per_minute: 1000000 }
`;
}

function ec(kid: string): SigningKey {
  return { kid, algorithm: "ES256", ...generateKeyPairSync("ec", { namedCurve: "P-256" }) };
}

function rsa(kid: string): SigningKey {
  return { kid, algorithm: "RS256", ...generateKeyPairSync("rsa", { modulusLength: 2048 }) };
}

export const encoded = (value: unknown) =>
  Buffer.from(typeof value === "string" ? value : JSON.stringify(value)).toString("base64url");

export function publicJwk({ publicKey, kid }: SigningKey): Facts {
  return { ...publicKey.export({ format: "jwk" }), kid, use: "sig" };
}

/** The signature under `input` as `algorithm` makes it (RFC 7518 section 3.1). */
export function signatureOf(input: string, algorithm: Algorithm, key: KeyObject | string | Buffer): Buffer {
  const bytes = Buffer.from(input);
  if (algorithm.startsWith("HS"))
    return createHmac(`sha${algorithm.slice(2)}`, key)
      .update(bytes)
      .digest();
  const asymmetric = key as KeyObject;
  if (algorithm === "EdDSA") return sign(null, bytes, asymmetric);
  if (algorithm === "PS256") return sign("sha256", bytes, { key: asymmetric, padding: 6, saltLength: 32 });
  return sign("sha256", bytes, { key: asymmetric, dsaEncoding: "ieee-p1363" });
}

export interface Surroundings {
  /** All but the canary, which each attack has its own of. */
  readonly attacker: Omit<Attacker, "canary" | "claims" | "sign" | "mint" | "signed" | "spend">;
  readonly outside: BrokerProcess;
  readonly inside: BrokerProcess;
  /** An attacker with a canary of its own; everything secret that it makes is remembered. */
  arm(): Attacker;
  /** How many credentials attackers got with what was good. */
  spent(): number;
  /** What must be found in no log, no answer and no URL: canaries, signatures, keys. */
  secrets(): string[];
  /** host:port of each connection that the brokers opened. */
  dialled(): Set<string>;
  stop(): Promise<void>;
}

export async function startSurroundings(): Promise<Surroundings> {
  const [cloud, ci, other, hostile] = await Promise.all([
    startCloud(),
    startIssuer({ audience: AUDIENCE }),
    startIssuer({ audience: AUDIENCE }),
    hostileIssuers(),
  ]);
  const keys = {
    rsa: rsa("rsa"),
    ec: ec("ec"),
    ec2: ec("ec2"),
    second: ec("ec"),
    stranger: ec("ec"),
    strangerRsa: rsa("rsa"),
  };
  const made = Object.fromEntries(
    ["nightly", "boxed", "old", "unknown"].map((name) => [name, newApiKey(name, (bytes) => randomBytes(bytes))]),
  );
  const apiKeys = Object.fromEntries(Object.entries(made).map(([name, { key }]) => [name, key])) as Attacker["apiKeys"];
  const sha256 = Object.fromEntries(Object.entries(made).map(([name, key]) => [name, key.sha256]));

  const folder = mkdtempSync(join(tmpdir(), "attacks-"));
  const record = join(folder, "dialled");
  const preload = fileURLToPath(new URL("record-dialled.cjs", import.meta.url));
  const start = (environment: Record<string, string>) =>
    startBrokerProcess({
      policy: policy(cloud.url, { ci, other, hostile }, sha256),
      files: {
        "pinned.json": JSON.stringify({ keys: [keys.rsa, keys.ec, keys.ec2].map(publicJwk) }),
        "second.json": JSON.stringify({ keys: [publicJwk(keys.second)] }),
      },
      keys: cloud.functionRoleKeys(FUNCTION_ROLE),
      environment: { ...environment, NODE_OPTIONS: `--require ${preload}`, DIALLED: record },
    });
  const [outside, inside] = await Promise.all([start({}), start({ FC_FUNCTION_NAME: "broker" })]);

  const secrets = new Set<string>(Object.values(apiKeys));
  const remember = (secret: string) => {
    secrets.add(secret);
    return secret;
  };
  const attacker = { ci, other, cloud, hostile, keys, apiKeys };
  let spent = 0;
  const tester = cloud.userKeys(`acs:ram::${DEFAULT_ACCOUNT}:user/tester`);

  return {
    attacker,
    outside,
    inside,
    arm() {
      const canary = remember(`canary${randomBytes(16).toString("hex")}`);
      const claims = (changed: Facts = {}): Facts => {
        const now = Math.floor(Date.now() / 1000);
        const standard = {
          iss: PINNED,
          aud: AUDIENCE,
          sub: "job",
          iat: now,
          nbf: now,
          exp: now + 300,
          jti: randomUUID(),
        };
        return { ...standard, ref: "refs/heads/main", note: canary, ...changed };
      };
      return {
        ...attacker,
        canary,
        claims,
        sign(payload = claims(), header = {}, key = keys.ec) {
          const said =
            typeof header === "string" ? header : { alg: key.algorithm, typ: "JWT", kid: key.kid, ...header };
          const input = `${encoded(said)}.${encoded(payload)}`;
          return `${input}.${remember(signatureOf(input, key.algorithm, key.privateKey).toString("base64url"))}`;
        },
        async mint(changed = {}) {
          const token = await ci.mint({ sub: "job", note: canary, ...changed });
          remember(token.split(".")[2] as string);
          return token;
        },
        async spend(good) {
          const { answers } = await exchange(outside.url, ask(good));
          if (answers[0]?.status !== 200) throw new Error(`not good to begin with: ${answers[0]?.body}`);
          spent++;
          return good;
        },
        signed(changed = {}, scheme = signedWithAcs3) {
          const fields = scheme({ keys: tester, host: cloud.host, audience: AUDIENCE, ...changed });
          remember(String(fields["signature"]));
          return fields;
        },
      };
    },
    spent: () => spent,
    secrets: () => [...secrets, ...cloud.secrets()],
    dialled: () => new Set(readFileSync(record, "utf8").split("\n").filter(Boolean)),
    async stop() {
      const ends = await Promise.all([outside.stop(), inside.stop()]);
      if (ends.some((code) => code !== 0)) throw new Error(`the brokers ended with ${ends.join(" and ")}`);
      plantCanaries([...secrets, ...cloud.secrets()]);
      await Promise.all([cloud.close(), ci.close(), other.close(), hostile.close()]);
      rmSync(folder, { recursive: true });
    },
  };
}
