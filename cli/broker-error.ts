/** What the SDK throws, put into a line: the broker's own words, and where it is the caller's to change something, with which option. */

import type { AcrBrokerError } from "../shared/client/errors.ts";

export function isBrokerError(error: Error): error is AcrBrokerError {
  return "retryable" in error && "code" in error && typeof error.code === "string";
}

/** `acr-broker: access_denied: <detail> (request_id …)`. */
export function brokerErrorText(error: AcrBrokerError): string {
  const more = error.code === "no_identity" || error.code === "network_error" ? "; acr-broker doctor says more" : "";
  return `acr-broker: ${brokerErrorLine(error)}${more}\n`;
}

export function brokerErrorLine({ code, message, requestId, status }: AcrBrokerError): string {
  const id = requestId === undefined ? "" : ` (request_id ${requestId})`;
  // The SDK's words name its own options.
  const isUnsigned = code === "bad_response" && (status === 401 || status === 403);
  const option = isUnsigned ? "--function-compute" : code === "untrusted_audience" ? "--audience" : undefined;
  return `${code}: ${message}${id}${option === undefined ? "" : `; here: ${option}`}`;
}
