/** `POST /oauth2/token`: RFC 8693 token exchange, the same decision as `/v1/token` for whoever has an OAuth 2.0 client. */

import type { Handler } from "hono";
import type { BrokerConfig } from "../../../shared/config/config.ts";
import type { Identity } from "../../../shared/identity/identify.ts";
import { formatScope } from "../../../shared/policy/scope.ts";
import type { BrokerVariables } from "../app.ts";
import type { DecideAndIssue } from "../decide-and-issue.ts";
import { json } from "../http/answer.ts";
import type { Connection } from "../http/listener.ts";
import { OAUTH_HEADERS } from "../oauth-error.ts";
import { readBody } from "../request-body.ts";
import { ACCESS_TOKEN, tokenExchange } from "../token-exchange-request.ts";
import { type Granted, secondsLeft } from "../token-response.ts";

export const TOKEN_EXCHANGE = "/oauth2/token";

export function tokenExchangeRoute(
  config: BrokerConfig,
  identity: Identity,
  issue: DecideAndIssue,
): Handler<{ Variables: BrokerVariables }> {
  return async (c) => {
    const { subjectToken, request } = tokenExchange(c.req.raw, await readBody(c.env as Connection), config);
    const principal = await identity.identifyToken(subjectToken, c.get("clientAddress"));
    c.set("principal", principal);
    return json(tokenExchangeBody(await issue(c, principal, request())), OAUTH_HEADERS);
  };
}

export type TokenExchangeBody = ReturnType<typeof tokenExchangeBody>;

/** RFC 8693 section 2.2.1; `N_A`, since the password is no token to be sent as one. */
function tokenExchangeBody(granted: Granted) {
  return {
    access_token: granted.credential.password,
    username: granted.credential.username,
    issued_token_type: ACCESS_TOKEN,
    token_type: "N_A" as const,
    expires_in: secondsLeft(granted),
    scope: granted.scopes.map(formatScope).join(" "),
  };
}
