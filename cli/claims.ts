/**
 * Claims as somebody pastes them: the payload of a token, as JSON. A token itself is refused and never repeated: it would be
 * in shells' histories, in CI's logs and in tickets.
 */

import { readFileSync } from "node:fs";
import { parseStrictJson } from "../shared/json.ts";
import type { Claims } from "../shared/policy/condition.ts";
import { type Terminal, UsageError } from "./command.ts";
import { holdsSecret } from "./secrets.ts";

const HOW = `paste its claims: they are in its middle part. With the token in $TOKEN
  echo "$TOKEN" | cut -d. -f2 | node -p 'Buffer.from(fs.readFileSync(0, "utf8"), "base64url")+""' > claims.json
or, as the broker sees them,
  curl -sS -H "Authorization: Bearer $TOKEN" $ACR_BROKER_URL/v1/whoami | jq .principal.claims > claims.json`;

/** A file's path, or `-` for standard input. @throws UsageError */
export function readClaims(source: string, { readStandardInput }: Terminal): Claims {
  if (holdsSecret(source)) throw token("--claims takes a file");
  const text = read(source, readStandardInput).trim();
  // A signed token has three parts, an encrypted one five.
  if (holdsSecret(text) || /^(?:bearer\s+)?[\w-]+(?:\.[\w-]*){2,4}$/i.test(text)) {
    throw token(source === "-" ? "standard input" : source);
  }
  let claims: unknown;
  try {
    claims = parseStrictJson(text);
  } catch (error) {
    throw new UsageError(`the claims in ${shown(source)} cannot be read: ${(error as SyntaxError).message}`);
  }
  if (typeof claims !== "object" || claims === null || Array.isArray(claims)) {
    throw new UsageError(`the claims in ${shown(source)} are not a JSON object`);
  }
  return claims as Claims;
}

function read(source: string, readStandardInput: () => string): string {
  if (source === "-") return readStandardInput();
  try {
    return readFileSync(source, "utf8");
  } catch (error) {
    throw new UsageError(
      `${source} cannot be read (${(error as NodeJS.ErrnoException).code}); --claims takes a file, or - for standard input`,
    );
  }
}

function shown(source: string): string {
  return source === "-" ? "standard input" : source;
}

function token(where: string): UsageError {
  return new UsageError(
    `${where}: that is a token or key, not claims; treat it as leaked if others can read this. Instead, ${HOW}`,
  );
}
