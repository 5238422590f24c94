/** Reads a request's body, as much of it as is taken. */

import type { IncomingMessage } from "node:http";
import { BrokerError } from "../../shared/error.ts";
import { quote } from "../../shared/policy/scope.ts";
import type { Connection } from "./http/listener.ts";

/** Larger bodies are refused unread; a token goes in a header, and scopes are short. */
const LARGEST_BYTES = 16 * 1024;
/** Each costs more than its bytes do: a body of single bytes takes as long as one of megabytes. */
const MOST_PIECES = 256;

const utf8 = new TextDecoder("utf-8", { fatal: true });

/** Reads it once, whoever asks. @throws BrokerError unsupported_media_type where it is packed; payload_too_large; invalid_request where it ended early or is no text */
export function readBody(connection: Connection): Promise<string> {
  connection.body ??= textOf(connection.incoming);
  return connection.body;
}

/** Of the server's own request: as a stream of the web, or iterated, the body costs more than all that is done with it. */
async function textOf(incoming: IncomingMessage): Promise<string> {
  const coding = incoming.headers["content-encoding"] ?? "identity";
  if (coding.toLowerCase() !== "identity") {
    // RFC 9110 section 15.5.16. Read as it is, it would be another text than what a gateway has looked at.
    throw new BrokerError(
      "unsupported_media_type",
      `the body is packed (Content-Encoding ${quote(coding)}); send it as it is`,
    );
  }
  if (Number(incoming.headers["content-length"] ?? 0) > LARGEST_BYTES) throw tooLarge();
  const bytes = await bytesOf(incoming);
  try {
    return utf8.decode(bytes);
  } catch {
    throw unreadable();
  }
}

function bytesOf(incoming: IncomingMessage): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    let bytes = 0;
    const onData = (chunk: Buffer) => {
      bytes += chunk.byteLength;
      if (bytes > LARGEST_BYTES) fail(tooLarge());
      else if (chunks.push(chunk) > MOST_PIECES) fail(tooManyPieces());
    };
    const onEnd = () => {
      stop();
      resolve(chunks.length === 1 ? (chunks[0] as Buffer) : Buffer.concat(chunks));
    };
    const onEarlyEnd = () => fail(unreadable());
    function stop(): void {
      incoming.off("data", onData).off("end", onEnd).off("error", onEarlyEnd).off("close", onEarlyEnd);
    }
    function fail(error: BrokerError): void {
      stop();
      incoming.pause(); // the rest is whoever's who ends the answer
      reject(error);
    }
    // It may have been cut off before it was looked at: then no event comes any more.
    if (incoming.destroyed) return reject(unreadable());
    incoming.on("data", onData).on("end", onEnd).on("error", onEarlyEnd).on("close", onEarlyEnd);
  });
}

function tooLarge(): BrokerError {
  return new BrokerError("payload_too_large", `the body is larger than ${LARGEST_BYTES} bytes`);
}

function tooManyPieces(): BrokerError {
  return new BrokerError("payload_too_large", `the body comes in more than ${MOST_PIECES} pieces; send it in one`);
}

function unreadable(): BrokerError {
  return new BrokerError("invalid_request", "the body ended early or is not UTF-8; send it again");
}
