/**
 * What the routes answer, as schemas: for the API's description, and for the tests that hold every answer to it. No route is made of
 * them, so nothing here is loaded when the broker serves.
 */

import * as z from "zod/mini";
import { ERROR_STATUS } from "../../../shared/error.ts";
import { OAUTH_ERRORS } from "../oauth-error.ts";
import { ACCESS_TOKEN } from "../token-exchange-request.ts";

const text = z.string();
const texts = z.array(text);
const time = z.iso.datetime();
const seconds = z.int();
const line = z.int();

export const ERROR_CODES = [...Object.keys(ERROR_STATUS), "internal_error"] as const;

export const problem = z.strictObject({
  type: text,
  title: text,
  status: z.int(),
  detail: text,
  code: z.enum(ERROR_CODES),
  request_id: text,
});

export const oauthError = z.strictObject({
  error: z.enum(OAUTH_ERRORS),
  error_description: text,
  code: z.enum(ERROR_CODES),
  request_id: text,
});

export const credential = z.strictObject({
  username: text,
  password: text,
  registry: text,
  endpoints: texts,
  scope: texts,
  grants: texts,
  issued_at: time,
  expires_at: time,
  expires_in: seconds,
  refresh_after: time,
  token_fingerprint: text.check(z.regex(/^sha256:[0-9a-f]{64}$/)),
  request_id: text,
});

export const dockerConfig = z.strictObject({ auths: z.record(text, z.strictObject({ auth: text })) });

export const kubernetesSecret = z.strictObject({
  apiVersion: z.literal("v1"),
  kind: z.literal("Secret"),
  metadata: z.strictObject({ name: text, annotations: z.strictObject({ "acr-token-broker/expires-at": time }) }),
  type: z.literal("kubernetes.io/dockerconfigjson"),
  data: z.strictObject({ ".dockerconfigjson": text }),
});

export const exchanged = z.strictObject({
  access_token: text,
  username: text,
  issued_token_type: z.literal(ACCESS_TOKEN),
  token_type: z.literal("N_A"),
  expires_in: seconds,
  scope: text,
});

const claim = z.union([text, texts, z.null(), z.strictObject({ unusable: text })]);
const limit = z.enum(["network", "time"]);
const caller = { issuer: z.optional(text), api_key: z.optional(text), subject: text };

export const explanation = z.strictObject({
  outcome: z.enum(["allow", "deny"]),
  code: z.optional(z.enum(["access_denied", "invalid_request", "policy_too_large"])),
  detail: z.optional(text),
  reason: z.optional(text),
  principal: z.strictObject(caller),
  registry: text,
  scope: texts,
  nearest: z.optional(
    z.strictObject({
      grant: z.optional(text),
      line: z.optional(line),
      claim: z.optional(text),
      limit: z.optional(limit),
      actual: claim,
      expected: z.optional(text),
    }),
  ),
  denial: z.optional(z.strictObject({ name: text, line })),
  grants: z.array(
    z.strictObject({
      name: text,
      line,
      registry: text,
      matches: z.boolean(),
      decides: z.boolean(),
      failed: z.optional(text),
      conditions: z.array(
        z.strictObject({ claim: text, holds: z.boolean(), actual: claim, expected: z.optional(text) }),
      ),
      limits: z.optional(
        z.array(z.strictObject({ limit, keeps: z.boolean(), actual: z.nullable(text), expected: z.optional(text) })),
      ),
      covers: texts,
      variables: z.optional(z.array(z.strictObject({ written: text, scope: z.nullable(text) }))),
    }),
  ),
  role_arn: z.optional(text),
  lifetime: z.optional(z.strictObject({ seconds, max_ttl: seconds })),
  session_policy: z.optional(
    z.strictObject({ characters: z.int(), most_characters: z.int(), policy: z.optional(z.unknown()) }),
  ),
  request_id: text,
});

export const whoami = z.strictObject({
  principal: z.strictObject({ ...caller, expires_at: time, claims: z.record(text, z.unknown()) }),
  blocked: z.optional(text),
  grants: z.array(
    z.strictObject({ name: text, registry: text, scope: texts, max_ttl: seconds, blocked: z.optional(text) }),
  ),
  request_id: text,
});

export const discovery = z.strictObject({
  audience: text,
  sts_host: text,
  registries: z.record(text, z.strictObject({ endpoints: texts })),
});

const status = <const Word extends string>(...words: Word[]) => z.strictObject({ status: z.enum(words) });
export const alive = status("ok");
export const ready = z.strictObject({
  status: z.literal("ready"),
  blocks_age_seconds: z.optional(seconds),
  audit_sink: z.optional(z.enum(["up", "down"])),
});
export const initialized = status("initialized");
export const stopping = status("idle", "waiting");

export const version = z.strictObject({ name: text, version: text, policy_digest: text, node: text });
