/** Lines as the broker writes them. */

import { decisionEvent, issuedFacts } from "../../../shared/audit/decision-event.ts";
import { jsonLog } from "../../../shared/audit/log.ts";
import { type Decision, decide } from "../../../shared/policy/decision.ts";
import type { Policy, Principal } from "../../../shared/policy/grant.ts";
import { parseScope, type Scope } from "../../../shared/policy/scope.ts";

export const DIGEST = `sha256:${"0".repeat(64)}`;

export function scopesOf(...texts: string[]): Scope[] {
  return texts.map((text) => {
    const read = parseScope(text);
    if ("problem" in read) throw new Error(read.problem);
    return read.scope;
  });
}

/** What the broker logs of a decision, and of a credential that it issued by it for half an hour. */
export function decided(
  principal: Principal,
  scopes: readonly Scope[],
  policy: Policy,
  more: Readonly<Record<string, unknown>> = {},
): { line: string; decision: Decision } {
  const at = new Date("2026-11-24T10:00:00Z");
  const wanted = { registry: "prod", scopes };
  const decision = decide(principal, wanted, policy);
  const asked = { requestId: "request-1", clientAddress: "192.0.2.1", file: "broker.yaml" };
  const event = decisionEvent(asked, { ...principal, expiresAt: at }, wanted, decision, DIGEST);
  const credential = {
    ...{ username: "cr_temp_user", password: "secret", issuedAt: at, expiresAt: new Date(at.getTime() + 1_800_000) },
    ...{ fingerprint: DIGEST, upstreamRequestIds: { assumeRole: "A", authorizationToken: "B" } },
  };
  let line = "";
  const log = jsonLog(
    (text) => {
      line = text;
    },
    () => at,
  );
  if (decision.outcome === "deny") log(event, { issued: false, code: "access_denied" });
  else log(event, issuedFacts({ credential, outcome: "miss", sessionName: "ci" }, at));
  return { line: `${JSON.stringify({ ...JSON.parse(line), ...more })}\n`, decision };
}

/** A credential that was given, half an hour long, to the usual caller by the usual grant of broker.yaml. */
export function given(at: string, fields: Readonly<Record<string, unknown>> = {}): string {
  const time = new Date(at);
  return `${JSON.stringify({
    ...{ time: time.toISOString(), event: "decision", version: 1, request_id: "request-1", outcome: "allow" },
    ...{ issuer: "github", subject: "repo:acme/web:ref:refs/heads/main", registry: "prod" },
    ...{ scope: ["repository:web/app:pull,push"], policy_digest: DIGEST, grants: [{ name: "web-main", line: 45 }] },
    ...{ issued: true, cache: "miss", expires_at: new Date(time.getTime() + 1_800_000).toISOString(), ...fields },
  })}\n`;
}

/** Uses of all that the grants of broker.yaml give. */
export function allUsed(at: string): string {
  const use = (name: string, ...scope: string[]) => given(at, { scope, grants: [{ name, line: 1 }] });
  return [
    use("web-main", "repository:base/*:pull", "repository:web/*:pull,push"),
    use("web-branches", "repository:base/*:pull"),
    use("api-release", "repository:api/server:pull,push", "repository:base/*:pull"),
  ].join("");
}
