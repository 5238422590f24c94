/**
 * The shape of broker.yaml: every field, whether it may be left out, and what it must look like. The types, the checks, the
 * JSON Schema for editors (docs/broker.schema.json) and docs/policy-reference.md all come from here (`npm run docs`). What one part demands of another is in check.ts.
 * A description is one sentence for both the editor and the message about a missing field.
 */

import * as z from "zod/mini";
import { LONGEST_LIFETIME_SECONDS, SHORTEST_LIFETIME_SECONDS } from "../policy/grant.ts";
import { quote } from "../policy/scope.ts";
import type { OidcProvider } from "./config.ts";
import * as values from "./values.ts";

/** Text with a rule of its own. */
export function ruled(rule: values.Rule, description: string, format?: string) {
  return z.string().check(
    z.refine((value) => rule(value) === undefined, { error: ({ input }) => rule(String(input)) ?? "" }),
    z.meta({ description, minLength: 1, ...(format === undefined ? {} : { format }) }),
  );
}

/** Text of one fixed form. */
function matching(form: RegExp, description: string) {
  return z
    .string()
    .check(
      z.regex(form, { error: ({ input }) => `${quote(String(input))} will not do; write ${description}` }),
      z.describe(description),
    );
}

/** A list that is neither empty nor has the same entry twice, as `sameness` sees it. */
function listOf<Item extends z.ZodMiniType>(
  item: Item,
  description: string,
  sameness: (entry: z.output<Item>) => unknown = (entry) => entry,
) {
  return z.array(item).check(
    z.minLength(1, "is an empty list; name at least one, or take the key out if it may be left out"),
    z.superRefine((items, context) => {
      const seen = new Set<unknown>();
      for (const [index, entry] of items.entries()) {
        const message = "stands in the list already; keep one";
        if (seen.has(sameness(entry))) context.addIssue({ code: "custom", path: [index], message, input: entry });
        seen.add(sameness(entry));
      }
    }),
    z.meta({ description, uniqueItems: true }),
  );
}

const name = z.string().check(
  // Names end up in logs, role sessions and paths; nothing in them may mean anything there.
  z.regex(/^[a-z0-9][a-z0-9-]{0,62}$/, {
    error: "is no name; write lower-case letters, digits and -, 63 at most, beginning with a letter or digit",
  }),
);

/** An empty map is refused: whether it means nothing or everything is what others got wrong. */
function mapOf<Key extends typeof name, Value extends z.ZodMiniType>(key: Key, value: Value, description: string) {
  return z.record(key, value).check(
    z.refine(
      (map) => Object.keys(map).length > 0,
      "is an empty map; name at least one, or take the key out if it may be left out",
    ),
    z.meta({ description, minProperties: 1 }),
  );
}

const audience = ruled(values.audience, "what callers must put into their tokens' aud, exactly");
const accountId = matching(/^\d{16}$/, 'an Alibaba Cloud account\'s 16 digits in quotes, "1234567890123456"');

const registry = z.strictObject({
  instance_id: matching(
    /^cri-[a-z0-9]{1,60}$/,
    "the ACR Enterprise Edition instance, cri- and lower-case letters or digits",
  ),
  region: matching(/^[a-z]{2,}(?:-[a-z0-9]+)+$/, "the instance's region, such as cn-hangzhou"),
  account_id: accountId,
  endpoints: listOf(
    ruled(values.endpoint, "a host or host:port, without https:// or a path"),
    "the host names that clients log in to",
  ),
});

const replayCount = z
  .strictObject({
    // 1 is `once`; a token that may be used without end is `off`.
    count: z
      .int()
      .check(
        z.gte(2, "is too small; write 2 to 1000, or once"),
        z.lte(1000, "is too large; write 2 to 1000"),
        z.describe("how many times, 2 to 1000"),
      ),
  })
  .check(z.describe("{ count: 5 }"));

const oidcIssuer = z
  .strictObject({
    provider: z
      .enum([
        ...["github", "gitlab", "kubernetes", "rrsa", "buildkite", "circleci"],
        ...["bitbucket", "azure-devops", "jenkins", "spiffe", "generic"],
      ] as OidcProvider[])
      .check(z.describe("the preset: which claims can be trusted")),
    issuer: z.optional(ruled(values.url, "exactly the iss of its tokens, an https URL")),
    issuer_template: z.optional(
      ruled(
        values.issuerTemplate,
        "instead of issuer, for many issuers of one form: https://host/path/{name}; each grant then names its iss",
      ),
    ),
    audience: z.optional(audience),
    algorithms: z.optional(
      listOf(
        z
          .enum(["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"])
          // RFC 8725, section 3.1.
          .check(
            z.describe(
              "asymmetric only: with public keys anyone could make an HS256 signature, and none is no signature",
            ),
          ),
        "the JWS algorithms that its tokens may be signed with; the preset's when left out",
      ),
    ),
    jwks_file: z.optional(
      z
        .string()
        .check(
          z.minLength(1, "is empty; name the file with the issuer's public keys"),
          z.describe("a file with its public keys (a JWK Set), relative to this one; discovery when left out"),
        ),
    ),
    jwks_uri: z.optional(ruled(values.url, "where its public keys are, an https URL; discovery when left out")),
    ca_file: z.optional(
      z
        .string()
        .check(
          z.minLength(1, "is empty; name the file with the CA's certificates"),
          z.describe(
            "a file with the CA certificates (PEM) that the issuer's own is verified against, relative to this one; the system's when left out",
          ),
        ),
    ),
    max_token_lifetime: z.optional(
      z.int().check(
        // 60: below the clock skew that is forgiven no token would do. 86400: GitLab's job tokens, and Kubernetes' within reason.
        z.gte(60, "is too short; write 60 to 86400 (seconds)"),
        z.lte(86_400, "is too long; write 60 to 86400 (seconds)"),
        z.describe("how old a token may be and how long it may live, 60 to 86400 seconds; the preset's when left out"),
      ),
    ),
    replay: z.optional(
      z
        .union([z.enum(["once", "bind", "off"]).check(z.describe("once, bind or off")), replayCount])
        .check(
          z.describe(
            "how often one token is taken: once, bind (any number of times for the same scopes and client), { count: 5 }, or off (until it expires)",
          ),
        ),
    ),
  })
  .check(
    z.meta({
      oneOf: [
        { required: ["issuer"], properties: { issuer_template: false } },
        { required: ["issuer_template"], properties: { issuer: false, jwks_file: false, jwks_uri: false } },
      ],
      not: {
        anyOf: [{ required: ["jwks_file", "jwks_uri"] }, { required: ["jwks_file", "ca_file"] }],
      },
    }),
  );

const alibabaIssuer = z.strictObject({
  provider: z.literal("alibaba"),
  accounts: listOf(accountId, "the accounts whose signed identities are believed"),
  audience: z.optional(audience),
});

const issuer = z.discriminatedUnion("provider", [oidcIssuer, alibabaIssuer]).check(z.describe("an issuer"));

const conditionMap = z.strictObject({
  any_of: z.optional(listOf(ruled(values.exactValue, "an exact value"), "the values of which the claim must have one")),
  glob: z.optional(
    ruled(values.glob, "a pattern; * stands for anything within one segment and never crosses / : or @"),
  ),
  contains: z.optional(ruled(values.exactValue, "a value that the claim, a list, must have among its elements")),
});

const condition = z
  .union([
    ruled(values.exactValue, "the exact value that the claim must have"),
    conditionMap.check(
      z.refine((map) => Object.keys(map).length === 1, "must hold exactly one of any_of, glob and contains"),
      z.meta({ minProperties: 1, maxProperties: 1 }),
    ),
  ])
  .check(z.describe('text for an exact value, { any_of: [...] }, { glob: "..." } or { contains: "..." }'));

const conditions = (description: string) =>
  mapOf(ruled(values.claimName, "a claim's name; dots lead into nested claims"), condition, description);

const apiKeyNames = z
  .union([
    z.string(),
    z.strictObject({
      any_of: listOf(
        z.string().check(z.describe("the name of a configured API key")),
        "the names of configured API keys",
      ),
    }),
  ])
  .check(z.describe("the name of a configured API key, or { any_of: [...] } while one takes another's place"));

const cidrs = (description: string) => listOf(ruled(values.cidr, "a network, 10.0.0.0/8"), description);

const times = z
  .strictObject({
    not_before: z.optional(
      ruled(values.dateTime, "from when on, a date and time with its zone: 2027-06-01T00:00:00Z", "date-time"),
    ),
    not_after: z.optional(
      ruled(values.dateTime, "until when, a date and time with its zone: 2027-06-30T00:00:00Z", "date-time"),
    ),
    days: z.optional(
      listOf(
        z.enum(["mon", "tue", "wed", "thu", "fri", "sat", "sun"]).check(z.describe("a day of the week")),
        "the days of the week, by the clock of zone",
      ),
    ),
    hours: z.optional(ruled(values.hours, 'the stretch of the day, by the clock of zone: "09:00-18:00"')),
    zone: z.optional(ruled(values.timeZone, "the time zone of days and hours, as in Asia/Shanghai")),
  })
  .check(
    z.refine(
      (map) => Object.keys(map).some((key) => key !== "zone"),
      "limits nothing; write not_before, not_after, days or hours, or take the key out",
    ),
    z.meta({
      description: "when it may be asked for",
      minProperties: 1,
      dependentRequired: { days: ["zone"], hours: ["zone"] },
    }),
  );

const grant = z
  .strictObject({
    issuer: z.optional(z.string().check(z.describe("the name of a configured issuer"))),
    api_key: z.optional(apiKeyNames),
    when: z.optional(conditions("what the caller's claims must be, all of it")),
    cidrs: z.optional(cidrs("the networks that it may be asked for from; anywhere when left out")),
    times: z.optional(times),
    registry: z.string().check(z.describe("the name of a configured registry")),
    allow: listOf(
      ruled(
        values.allowedScope,
        "repository:<namespace>/<repository or *>:<pull|push|pull,push>; ${claim} stands for a claim's value",
      ),
      "what it gives",
      values.sameScope,
    ),
    role_arn: matching(
      /^acs:ram::\d{16}:role\/[A-Za-z0-9._-]{1,64}$/,
      "the RAM role that the broker assumes, acs:ram::<16 digits>:role/<name>",
    ),
    external_id: z.optional(
      // STS AssumeRole, ExternalId.
      matching(
        /^[A-Za-z0-9_+=,.@:/-]{2,1224}$/,
        "what the role's trust policy demands as sts:ExternalId, 2 to 1224 of A-Z a-z 0-9 _ + = , . @ : / -",
      ),
    ),
    max_ttl: z
      .int()
      .check(
        z.gte(SHORTEST_LIFETIME_SECONDS, "is too short; write 900 to 3600 (seconds): STS gives nothing shorter"),
        z.lte(
          LONGEST_LIFETIME_SECONDS,
          "is too long; write 900 to 3600 (seconds): a leaked credential can only be outlived",
        ),
        z.describe("the longest life of a credential, 900 to 3600 seconds"),
      ),
    create_repository: z.optional(
      z
        .boolean()
        .check(z.describe("true adds cr:CreateRepository on exactly the repositories pushed to; false when left out")),
    ),
  })
  .check(
    z.meta({
      oneOf: [
        { required: ["issuer", "when"], properties: { api_key: false } },
        { required: ["api_key"], properties: { issuer: false, when: false } },
      ],
    }),
  );

const scopes = (description: string) =>
  listOf(
    ruled(values.scope, "repository:<namespace>/<repository or *>:<pull|push|pull,push>"),
    description,
    values.sameScope,
  );

const denial = z.strictObject({
  issuer: z.optional(z.string().check(z.describe("the name of a configured issuer; every caller when left out"))),
  when: z.optional(conditions("what the caller's claims must be, all of it; every caller of the issuer when left out")),
  times: z.optional(times),
  registry: z.string().check(z.describe("the name of a configured registry")),
  deny: scopes("what it denies, whatever grants give"),
});

const apiKey = z.strictObject({
  // Not echoed: what stands here by mistake may be the key itself.
  sha256: z.string().check(
    z.regex(/^[0-9a-f]{64}$/, {
      error: ({ input }) =>
        /^abk_/.test(String(input))
          ? "is a key, and belongs to its holder alone; treat it as leaked, make a new one (acr-broker key new), and write what that prints"
          : "is not a SHA-256; write the 64 lower-case hex digits of the whole key's digest",
    }),
    z.describe("the SHA-256 of the whole key, 64 lower-case hex digits"),
  ),
  expires: ruled(values.dateTime, "when it ends, a date and time with its zone: 2027-06-30T00:00:00Z", "date-time"),
  cidrs: z.optional(cidrs("the networks that it may be used from; anywhere when left out")),
  created: z.optional(
    ruled(values.dateTime, "when it was made, a date and time with its zone: 2027-03-30T00:00:00Z", "date-time"),
  ),
  last4: z.optional(
    z.string().check(
      // Not echoed either.
      z.regex(/^[0-9a-f]{4}$/, 'is not the last four digits of a key; write them in quotes, as in "0a1b"'),
      z.describe('the last four digits of the key, in quotes, as in "0a1b"'),
    ),
  ),
});

/** The name of an environment variable; not echoed, since what stands here by mistake may be the secret itself. */
function variableOf(what: string, example: string, notOurs: string) {
  return z.string().check(
    z.regex(/^(?!ALIBABA_CLOUD_)[A-Z][A-Z0-9_]{0,63}$/, {
      error: ({ input }) =>
        /^ALIBABA_CLOUD_[A-Z_]+$/.test(String(input))
          ? notOurs
          : `is no environment variable's name; write the name, such as ${example}, and never ${what} itself`,
    }),
    z.describe(`the name of the environment variable that holds ${what}, such as ${example}`),
  );
}

/** Each is looked under where the first has nothing. */
const MOST_CACHE_KEYS = 3;

const redis = z
  .strictObject({
    host: ruled(values.machine, "the host name or address of Redis or Tair"),
    port: z.optional(
      z
        .int()
        .check(
          z.gte(1, "is too small; write 1 to 65535"),
          z.lte(65_535, "is too large; write 1 to 65535"),
          z.describe("its port, 6379 when left out"),
        ),
    ),
    tls: z.optional(
      z.boolean().check(z.describe("false sends everything in the clear, the password too; true when left out")),
    ),
    ca_file: z.optional(
      z
        .string()
        .check(
          z.minLength(1, "is empty; name the file with the certificate of the authority"),
          z.describe(
            "a PEM file with the authority that vouches for its certificate, relative to this one; the public ones when left out",
          ),
        ),
    ),
    // Not echoed: what stands here by mistake may be the password itself.
    username: z.optional(
      z.string().check(
        z.regex(/^[A-Za-z0-9_.@-]{1,128}$/, {
          error: "is no user's name; write its user, 1 to 128 letters, digits and _ . @ -, and never the password",
        }),
        z.describe("its user, 1 to 128 letters, digits and _ . @ -; the default user when left out"),
      ),
    ),
    password_env: z.optional(
      variableOf(
        "the password",
        "ACR_BROKER_REDIS_PASSWORD",
        "names one of the broker's own keys, which would be sent to Redis; name a variable that holds Redis' password",
      ),
    ),
    key_prefix: z.optional(
      matching(
        /^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$/,
        "what every key begins with, 63 letters, digits and . _ - at most; acr-token-broker when left out",
      ),
    ),
    when_unavailable: z.optional(
      z
        .enum(["memory", "refuse"])
        .check(
          z.describe(
            "memory goes on with what each instance remembers, refuse refuses what cannot be counted; memory when left out",
          ),
        ),
    ),
    credentials: z.optional(
      z
        .strictObject({
          key_env: listOf(
            variableOf(
              "the key",
              "ACR_BROKER_CACHE_KEY",
              "names one of the broker's own keys; name a variable that holds 32 random bytes in base64",
            ),
            "the names of environment variables, each with 32 random bytes in base64: the first seals, every one opens",
          ).check(
            z.refine((names) => names.length <= MOST_CACHE_KEYS, "has more than 3 names; keep the newest"),
            z.meta({ maxItems: MOST_CACHE_KEYS }),
          ),
        })
        .check(z.describe("issued credentials are kept there too, sealed; each instance keeps its own when left out")),
    ),
  })
  .check(
    z.meta({
      description: "what all instances share, so that a token used at one counts at every other",
      dependentRequired: { username: ["password_env"] },
      not: { required: ["ca_file", "tls"], properties: { tls: { const: false } } },
    }),
  );

const budget = z
  .strictObject({
    assume_role_per_second: z.optional(
      z
        .int()
        .check(
          z.gte(1, "is too small; write 1 to 10000"),
          z.lte(10_000, "is too large; write 1 to 10000"),
          z.describe("the AssumeRole calls a second that all instances together may make, 80 when left out"),
        ),
    ),
    instances: z.optional(
      z
        .int()
        .check(
          z.gte(1, "is too small; write 1 to 1000"),
          z.lte(1000, "is too large; write 1 to 1000"),
          z.describe("how many instances divide them where they share no Redis that answers, 10 when left out"),
        ),
    ),
  })
  .check(
    z.refine((map) => Object.keys(map).length > 0, "is an empty map; name a number, or take the key out"),
    z.meta({
      description: "how often STS is asked: it allows an account 100 AssumeRole calls a second, all of them counted",
      minProperties: 1,
    }),
  );

const perMinute = (description: string) =>
  z.optional(
    z
      .int()
      .check(
        z.gte(1, "is too small; write 1 to 1000000"),
        z.lte(1_000_000, "is too large; write 1 to 1000000"),
        z.describe(description),
      ),
  );

const limits = z
  .strictObject({
    caller_per_minute: perMinute("the requests a minute of one caller, 6000 when left out"),
    grant_per_minute: perMinute("the credentials a minute by one grant; no limit when left out"),
    failures_per_minute: perMinute(
      "the credentials a minute that may come from one address and are not accepted, 1200 when left out",
    ),
  })
  .check(
    z.refine((map) => Object.keys(map).length > 0, "is an empty map; name a number, or take the key out"),
    z.meta({ description: "how often one may come to each instance; more is rate_limited", minProperties: 1 }),
  );

const blocks = z
  .strictObject({
    file: z.optional(
      z
        .string()
        .check(
          z.minLength(1, "is empty; name the file with the blocks"),
          z.describe(
            "a file with one block a line, relative to this one, looked at every 2 seconds while requests come",
          ),
        ),
    ),
    when_unreadable: z.optional(
      z
        .enum(["keep", "refuse"])
        .check(
          z.describe(
            "keep goes on with the blocks that were read last, refuse issues nothing once those are 30 seconds old; keep when left out",
          ),
        ),
    ),
    contact: z.optional(
      matching(
        /^[\x21-\x7e](?:[\x20-\x7e]{0,198}[\x21-\x7e])?$/,
        "whom a blocked caller shall ask, 1 to 200 characters of ASCII",
      ),
    ),
  })
  .check(
    z.refine((map) => Object.keys(map).length > 0, "is an empty map; name a file or a contact, or take the key out"),
    z.meta({
      description: "callers, grants or everything that gets nothing, at once and without a deployment",
      minProperties: 1,
    }),
  );

const audit = z
  .strictObject({
    file: z.optional(
      ruled(
        values.auditFile,
        "a file to whose end the events are written, relative to this one; {instance} in it is another name at each instance",
      ),
    ),
    url: z.optional(ruled(values.url, "instead of file: the https URL of a collector, to which they are posted")),
    authorization_env: z.optional(
      variableOf(
        "the collector's Authorization header",
        "ACR_BROKER_AUDIT_AUTHORIZATION",
        "names one of the broker's own keys, which would be sent to the collector; name a variable that holds the collector's header",
      ),
    ),
    ca_file: z.optional(
      z
        .string()
        .check(
          z.minLength(1, "is empty; name the file with the certificate of the authority"),
          z.describe(
            "a PEM file with the authority that vouches for the collector's certificate, relative to this one; the public ones when left out",
          ),
        ),
    ),
    when_unavailable: z.optional(
      z
        .enum(["refuse", "continue"])
        .check(
          z.describe(
            "refuse gives out no credential whose event was not taken, continue gives it out all the same; refuse when left out",
          ),
        ),
    ),
  })
  .check(
    z.refine(
      (map) => (map.file === undefined) !== (map.url === undefined),
      "is to have file or url, one of the two; name where the events go beside standard output, or take the key out",
    ),
    z.meta({
      description: "where the audit events go beside standard output",
      oneOf: [
        { required: ["file"], properties: { url: false, authorization_env: false, ca_file: false } },
        { required: ["url"], properties: { file: false } },
      ],
    }),
  );

const metrics = z
  .strictObject({
    endpoint: z.optional(z.boolean().check(z.describe("false: there is no GET /metrics; true when left out"))),
    names: z.optional(
      z.boolean().check(z.describe("true tells whoever asks the names of grants and issuers; false when left out")),
    ),
  })
  .check(
    z.refine((map) => Object.keys(map).length > 0, "is an empty map; write endpoint or names, or take the key out"),
    z.meta({ description: "what GET /metrics tells, which needs no identity", minProperties: 1 }),
  );

const part = (description: string) =>
  z.optional(
    z
      .number()
      .check(z.gte(0, "is too small; write 0 to 1"), z.lte(1, "is too large; write 0 to 1"), z.describe(description)),
  );

const tracing = z
  .strictObject({
    // Without user and query: what is secret goes into a header.
    endpoint: matching(
      /^https?:\/\/[A-Za-z0-9.:[\]-]{1,253}(?:\/[A-Za-z0-9._~/-]{0,200})?$/,
      "where spans are posted, OTLP over HTTP, such as https://collector.example.com:4318/v1/traces",
    ),
    headers_env: z.optional(
      mapOf(
        matching(/^[a-z0-9-]{1,63}$/, "a header's name in small letters"),
        variableOf(
          "the header's value",
          "ACR_BROKER_OTLP_AUTHORIZATION",
          "names one of the broker's own keys, which would be sent to the collector; name a variable that holds the header's value",
        ),
        "headers of each post, such as authorization, by the names of the environment variables that hold them",
      ),
    ),
    ratio: part("which part of the requests is traced, 0.1 when left out"),
    parent_ratio: part(
      "which part of those whose caller says in traceparent that it traces; as ratio when left out, so that no caller can have more traced",
    ),
  })
  .check(z.describe("traces by OpenTelemetry; none when left out"));

export const ConfigFile = z
  .strictObject({
    version: z.literal(1).check(z.describe("the version of this format, 1")),
    audience,
    registries: mapOf(name, registry, "the ACR Enterprise Edition instances, by name"),
    issuers: z.optional(mapOf(name, issuer, "who vouches for callers, by name")),
    grants: mapOf(name, grant, "who gets what, by name"),
    denials: z.optional(mapOf(name, denial, "who does not get what, whatever grants give, by name")),
    ceiling: z.optional(scopes("what no grant exceeds; no limit when left out")),
    api_keys: z.optional(mapOf(name, apiKey, "keys for scripts that have no identity, by name")),
    shadow: z.optional(
      z
        .string()
        .check(
          z.minLength(1, "is empty; name the file of the other policy"),
          z.describe("a second policy, relative to this one, that is asked beside it; only differences are logged"),
        ),
    ),
    client_address: z.optional(
      z
        .strictObject({
          header: ruled(values.addressHeader, "the header that your own gateway sets, such as X-Real-IP"),
        })
        .check(z.describe("where a caller's address stands; on the connection when left out")),
    ),
    redis: z.optional(redis),
    budget: z.optional(budget),
    limits: z.optional(limits),
    blocks: z.optional(blocks),
    audit: z.optional(audit),
    metrics: z.optional(metrics),
    tracing: z.optional(tracing),
    alibaba: z.optional(
      z
        .strictObject({
          sts_endpoint: z.optional(ruled(values.origin, "scheme, host and port of STS")),
          cr_endpoint: z.optional(ruled(values.origin, "scheme, host and port of the ACR API")),
        })
        .check(
          z.refine((map) => Object.keys(map).length > 0, "is an empty map; name an endpoint, or take the key out"),
          z.meta({
            description: "other endpoints than the region's public ones: VPC, other partitions, the sandbox",
            minProperties: 1,
          }),
        ),
    ),
  })
  .check(z.meta({ title: "acr-token-broker configuration (broker.yaml)" }));

/** The file's content once the shape is right. */
export type ConfigFile = z.infer<typeof ConfigFile>;

/** JSON Schema, draft 2020-12, for editors. Sees less than the loader: it cannot follow references or read other files. */
export function editorSchema(): object {
  return z.toJSONSchema(ConfigFile, { io: "input" });
}
