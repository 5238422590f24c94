/**
 * Text that is kept where others may read and write: nobody reads it without the secret, and nobody can change it, or put what
 * was kept for one thing in the place of another. Decision: docs/decisions/0005-shared-credentials.md
 */

import { createCipheriv, createDecipheriv, createHmac, hkdfSync } from "node:crypto";

export interface Seal {
  /** What `subject` is called there: always the same, and tells nothing of it. */
  name(subject: string): string;
  /** Base64url. `subject` is not in it, and has to be known to open it. */
  close(text: string, subject: string): string;
  /** Undefined for all that `close` has not made of this secret and `subject`; never throws. */
  open(sealed: string, subject: string): string | undefined;
}

const VERSION = 1;
const SECRET_BYTES = 32;
const KEY_ID_BYTES = 4;
/** 96 bits, and 128 of tag: NIST SP 800-38D, sections 8.2.2 and 5.2.1.2. Random nonces are good for 2^32 texts a key (8.3). */
const NONCE_BYTES = 12;
const TAG_BYTES = 16;

/** 32 bytes in base64, exactly as `openssl rand -base64 32` prints them; undefined for anything else. */
export function readSecret(text: string): Buffer | undefined {
  const secret = Buffer.from(text, "base64");
  return secret.length === SECRET_BYTES && secret.toString("base64") === text ? secret : undefined;
}

/** `secret`: 32 random bytes. One use of it, one key: RFC 5869, section 3.2. */
export function seal(secret: Buffer, randomBytes: (size: number) => Buffer): Seal {
  const derived = (use: string, bytes: number) =>
    Buffer.from(hkdfSync("sha256", secret, "", `acr-token-broker credentials ${VERSION} ${use}`, bytes));
  const sealingKey = derived("sealing", 32);
  const namingKey = derived("naming", 32);
  const header = Buffer.concat([Buffer.of(VERSION), derived("key id", KEY_ID_BYTES)]);
  const bound = (subject: string) => Buffer.concat([header, Buffer.from(subject)]);

  return {
    name: (subject) => createHmac("sha256", namingKey).update(subject).digest("base64url"),
    close(text, subject) {
      const nonce = randomBytes(NONCE_BYTES);
      const cipher = createCipheriv("aes-256-gcm", sealingKey, nonce, { authTagLength: TAG_BYTES });
      cipher.setAAD(bound(subject));
      const closed = [cipher.update(text, "utf8"), cipher.final()];
      return Buffer.concat([header, nonce, ...closed, cipher.getAuthTag()]).toString("base64url");
    },
    open(sealed, subject) {
      const bytes = Buffer.from(sealed, "base64url");
      const begin = header.length + NONCE_BYTES;
      const end = bytes.length - TAG_BYTES;
      if (end < begin || !bytes.subarray(0, header.length).equals(header)) return undefined;
      const nonce = bytes.subarray(header.length, begin);
      const decipher = createDecipheriv("aes-256-gcm", sealingKey, nonce, { authTagLength: TAG_BYTES });
      decipher.setAAD(bound(subject));
      decipher.setAuthTag(bytes.subarray(end));
      try {
        return decipher.update(bytes.subarray(begin, end), undefined, "utf8") + decipher.final("utf8");
      } catch {
        return undefined;
      }
    },
  };
}
