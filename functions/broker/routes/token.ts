/** `POST /v1/token`: credentials for the repositories asked for. */

import type { Handler } from "hono";
import type { Identity } from "../../../shared/identity/identify.ts";
import type { BrokerVariables } from "../app.ts";
import { callerCredential } from "../caller-credential.ts";
import type { DecideAndIssue } from "../decide-and-issue.ts";
import type { Connection } from "../http/listener.ts";
import { readBody } from "../request-body.ts";
import { tokenRequest } from "../token-request.ts";
import { tokenResponse } from "../token-response.ts";

export const TOKEN = "/v1/token";

export function tokenRoute(identity: Identity, issue: DecideAndIssue): Handler<{ Variables: BrokerVariables }> {
  return async (c) => {
    // The body first: what is decided below must not wait for a caller who sends it slowly.
    const body = await readBody(c.env as Connection);
    const principal = await identity.identify(callerCredential(c), c.get("clientAddress"));
    c.set("principal", principal);
    const request = tokenRequest(c.req.raw, body);
    return tokenResponse(request.format, await issue(c, principal, request));
  };
}
