/** Reads a request's body, as much of it as is taken. */

import { BrokerError } from "../../shared/error.ts";
import { quote } from "../../shared/policy/scope.ts";

/** Larger bodies are refused unread; a token goes in a header, and scopes are short. */
const LARGEST_BYTES = 16 * 1024;
/** Each costs more than its bytes do: a body of single bytes takes as long as one of megabytes. */
const MOST_PIECES = 256;

const utf8 = new TextDecoder("utf-8", { fatal: true });

/** @throws BrokerError unsupported_media_type where it is packed; payload_too_large; invalid_request where it ended early or is no text */
export async function readBody(request: Request): Promise<string> {
  const coding = request.headers.get("content-encoding") ?? "identity";
  if (coding.toLowerCase() !== "identity") {
    // RFC 9110 section 15.5.16. Read as it is, it would be another text than what a gateway has looked at.
    throw new BrokerError(
      "unsupported_media_type",
      `the body is packed (Content-Encoding ${quote(coding)}); send it as it is`,
    );
  }
  if (Number(request.headers.get("content-length") ?? 0) > LARGEST_BYTES) throw tooLarge();
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  try {
    for await (const chunk of request.body ?? []) {
      bytes += chunk.byteLength;
      if (bytes > LARGEST_BYTES) throw tooLarge();
      if (chunks.push(chunk) > MOST_PIECES) {
        throw new BrokerError("payload_too_large", `the body comes in more than ${MOST_PIECES} pieces; send it in one`);
      }
    }
    return utf8.decode(chunks.length === 1 ? chunks[0] : Buffer.concat(chunks));
  } catch (error) {
    if (error instanceof BrokerError) throw error;
    throw new BrokerError("invalid_request", "the body ended early or is not UTF-8; send it again");
  }
}

function tooLarge(): BrokerError {
  return new BrokerError("payload_too_large", `the body is larger than ${LARGEST_BYTES} bytes`);
}
