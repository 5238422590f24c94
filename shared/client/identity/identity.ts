/** Who the caller is: what a source of tokens gets and gives, and which forms of it a user may write. */

import { IdentityError } from "../errors.ts";
import type { Outside } from "../outside.ts";

/** What a source may use. */
export interface IdentityContext {
  /** What the token must be for. Asks the broker, where it was not configured. */
  readonly audience: () => Promise<string>;
  /** Which host a signed Alibaba Cloud identity must be signed for. Asks the broker. */
  readonly stsHost: () => Promise<string>;
  /** The broker's time; first asked for after the broker has answered, it is right even where this machine's is wrong. */
  readonly now: () => Date;
  /** Aborted when nobody waits any more, and at the deadline. */
  readonly signal: AbortSignal;
  readonly outside: Outside;
}

export interface IdentitySource {
  /** For messages: "GitHub Actions". */
  readonly name: string;
  /** A token for one request. A new one each time, where there is such a thing: it may be good only once. */
  readonly token: (context: IdentityContext) => Promise<string>;
}

/** A token as it is, a function that gets one, or one of the sources of this package. */
export type Identity = string | IdentitySource | ((context: IdentityContext) => string | Promise<string>);

export function identitySource(identity: Identity): IdentitySource {
  if (typeof identity === "object") return identity;
  if (typeof identity === "function")
    return { name: "the identity function", token: async (context) => identity(context) };
  return { name: "the identity string", token: async () => identity };
}

/** The source's token, if it has the form of one. @throws IdentityError identity_failed, no_identity */
export async function tokenFrom(source: IdentitySource, context: IdentityContext): Promise<string> {
  const given: unknown = await source.token(context);
  const token = typeof given === "string" ? given.trim() : "";
  // What jq, and a template that found nothing, write for what is not there.
  if (token === "" || /^(?:null|undefined|none)$/i.test(token)) {
    throw new IdentityError(
      "no_identity",
      `${source.name} gave no token: it was ${token === "" ? "empty" : `the word ${token}`}`,
    );
  }
  // Anything else would end the header's line, or be quoted by fetch in an error.
  if (!/^[\x21-\x7e]+$/.test(token)) {
    throw new IdentityError(
      "identity_failed",
      `what ${source.name} gave is no token: ${/^bearer\s/i.test(token) ? "leave out the word Bearer before it" : "it has spaces or other characters in it that a token never has"}`,
    );
  }
  return token;
}
