/**
 * Which header carries the caller's credential to the broker: `Authorization`, unless `X-Acr-Broker-Authorization` is there.
 * Where the HTTP trigger itself demands a signature (`authType: function`), that occupies `Authorization`.
 */

import type { Context } from "hono";
import { BrokerError } from "../../shared/error.ts";

const BESIDE = "x-acr-broker-authorization";

/**
 * In the form `Bearer <credential>`, still to be checked; undefined where there is none. A signature of Function Compute's is
 * never taken for one.
 * @throws BrokerError invalid_request where both headers carry a credential (RFC 6750 section 3.1)
 */
export function callerCredential(c: Context): string | undefined {
  const authorization = c.req.header("authorization");
  const beside = c.req.header(BESIDE);
  if (beside !== undefined) {
    if (authorization !== undefined && /^bearer\b/i.test(authorization)) {
      throw new BrokerError(
        "invalid_request",
        "Authorization and X-Acr-Broker-Authorization both carry a Bearer credential; send it in one of them",
      );
    }
    return beside;
  }
  if (authorization !== undefined && /^acs3-/i.test(authorization)) {
    throw new BrokerError(
      "missing_credentials",
      "Authorization has a signature for Function Compute; send the broker's own credential as X-Acr-Broker-Authorization: Bearer <token>",
    );
  }
  return authorization;
}
