/** What the SDK throws, put into a line: the broker's own words, and where it is the caller's to change something, with which option. */

import type { AcrBrokerError } from "../shared/client/errors.ts";

export function isBrokerError(error: Error): error is AcrBrokerError {
  return "retryable" in error && "code" in error && typeof error.code === "string";
}

/** `acr-broker: access_denied: <detail> (request_id …)`. */
export function brokerErrorText(error: AcrBrokerError): string {
  return `acr-broker: ${brokerErrorLine(error)}\n`;
}

export function brokerErrorLine({ code, message, requestId, status }: AcrBrokerError): string {
  const id = requestId === undefined ? "" : ` (request_id ${requestId})`;
  const here = code === "bad_response" && (status === 401 || status === 403) ? FUNCTION_COMPUTE : HERE[code];
  return `${code}: ${message}${id}${here === undefined ? "" : `; ${here}`}`;
}

const FUNCTION_COMPUTE = "here: --function-compute";

/** The SDK's words name its own options. */
const HERE: Readonly<Record<string, string>> = {
  untrusted_audience: "here: --audience",
  no_identity: "acr-broker doctor says more",
};
