/** What looks like a token or a key: people paste them into commands, and messages must not repeat them. */

/** A JWT (whole, or cut off in the middle), an API key, a signed identity. */
const SECRET = /\beyJ[\w-]{8,}(?:\.[\w-]*)*|\babk_[\w-]+|\bacs1\.[\w-]+/g;

export function hideSecrets(text: string): string {
  return text.replace(SECRET, (secret) => `${secret.slice(0, 4)}…`);
}

/** Narrower: a claim may well hold `abk_tools`, and be no key. */
export function holdsSecret(text: string): boolean {
  return /\beyJ[\w-]{8,}|\babk_[a-z0-9-]+_[0-9a-f]{8,}|\bacs1\.[\w-]{20,}/.test(text);
}

/** To whoever writes one on the command line. */
export const NO_ARGUMENT =
  "arguments stand in the process list and in histories; set ACR_BROKER_TOKEN, or ACR_BROKER_TOKEN_FILE to a file that holds it";
