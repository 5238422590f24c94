/**
 * Tokens that have been verified, so that one that is sent again is not taken apart and verified again. What is remembered of a
 * token is what cannot change while the key that verified it is the issuer's: what it says. Whether it holds now is asked each
 * time by the same code as of a new one (key, times, audience). Uses (replay.ts), limits and grants come after, and have no part
 * in this.
 *
 * It belongs to one policy, since that says what a token of an issuer must be: `identity` makes one for itself, so a process
 * that takes another policy, and with it makes another `identity`, begins with an empty one.
 */

import { createHash } from "node:crypto";
import { recent } from "../recent.ts";

/** A pipeline's jobs ask a few times each, within minutes. */
const MOST_TOKENS = 2_000;
/** Of their texts, which may have 8 KiB each; what is kept of a token takes about twice as many bytes as its text has characters. */
const MOST_CHARACTERS = 4 * 1024 * 1024;
/** Of a signature's end: 192 bits, which no two tokens share. Whether it is the token is the digest's to say. */
const END = 32;

export interface TokenMemory<Known extends object> {
  /**
   * What is known of exactly this text, and under which name; `keep` remembers something of it, for which the least recently used
   * make room.
   */
  find(text: string): { id(): string; readonly known: Known | undefined; keep(known: Known): void };
}

export function tokenMemory<Known extends object>(
  mostTokens = MOST_TOKENS,
  mostCharacters = MOST_CHARACTERS,
): TokenMemory<Known> {
  // By their ends, so that no digest is made of a token that was never here, as most are.
  const kept = recent<{ readonly id: string; readonly known: Known }>(mostTokens, mostCharacters);
  return {
    find(text) {
      const end = text.slice(-END);
      const entry = kept.get(end);
      let made = entry && digest(text);
      const id = () => {
        made ??= digest(text);
        return made;
      };
      return {
        id,
        known: entry?.id === made ? entry?.known : undefined,
        keep: (known) => void kept.set(copyOf(end), { id: id(), known }, text.length),
      };
    },
  };
}

/** Not the token itself, which nobody shall find in this memory. UTF-8: Latin-1 would make one byte of `a` and of `š`. */
function digest(text: string): string {
  return createHash("sha256").update(text, "utf8").digest("base64url");
}

/** V8 has the part of a text keep the whole of it. */
function copyOf(end: string): string {
  return Buffer.from(end, "utf16le").toString("utf16le");
}
