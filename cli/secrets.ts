/** What looks like a token or a key: people paste them into commands, and messages must not repeat them. */

/** A JWT (whole, or cut off in the middle), an API key, a signed identity. */
const SECRET = /\beyJ[\w-]{8,}(?:\.[\w-]*)*|\babk_[\w-]+|\bacs1\.[\w-]+/g;

export function hideSecrets(text: string): string {
  return text.replace(SECRET, (secret) => `${secret.slice(0, 4)}…`);
}

export function holdsSecret(text: string): boolean {
  return text.search(SECRET) !== -1;
}
