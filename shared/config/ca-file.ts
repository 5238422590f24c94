/** A file of CA certificates (PEM, RFC 7468): what an issuer with a certificate of a private CA is verified against. */

import { X509Certificate } from "node:crypto";

const BLOCK = /-----BEGIN CERTIFICATE-----[A-Za-z0-9+/=\s]*-----END CERTIFICATE-----/g;

/** The certificates, PEM each and sorted, or what is wrong with the file; never a piece of it. */
export function readCertificates(text: string): { readonly certificates: readonly string[] } | string {
  if (/-----BEGIN [A-Z ]*PRIVATE KEY-----/.test(text)) {
    return "holds a private key; keep only the CA's certificates in it, and the key out of the package";
  }
  const blocks = text.match(BLOCK) ?? [];
  if (blocks.length === 0) return "has no certificate in it; write the CA's, PEM, from -----BEGIN CERTIFICATE----- on";
  if (text.replace(BLOCK, "").trim() !== "") {
    return "has something else in it than certificates; keep only the blocks from -----BEGIN CERTIFICATE----- to -----END CERTIFICATE-----";
  }
  const certificates: string[] = [];
  for (const [index, block] of blocks.entries()) {
    let certificate: X509Certificate;
    try {
      certificate = new X509Certificate(block);
    } catch {
      return `has a certificate that cannot be read, number ${index + 1}; copy it again, whole`;
    }
    if (!certificate.ca) {
      return `has a certificate that is no CA's, number ${index + 1}; write the CA's that signed the server's, not the server's own`;
    }
    certificates.push(certificate.toString());
  }
  return { certificates: [...new Set(certificates)].sort() };
}
