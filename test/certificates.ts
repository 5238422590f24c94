/** Certificates for tests, made by openssl when they are needed, and gone with the folder they were made in. */

import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

export interface Certificate {
  /** PEM, both. */
  readonly cert: string;
  readonly key: string;
}

export interface TestCa extends Certificate {
  /** A server's certificate for the host name, for so many days from now; -1 is one that has expired. */
  server(host: string, days?: number): Certificate;
  /** A CA of which this one vouches. */
  intermediate(): TestCa;
}

/** A CA that nobody knows, or one that was made before. */
export function makeCa(known?: Certificate): TestCa {
  if (known !== undefined) return asCa({ cert: known.cert, key: known.key });
  return inFolder((folder) => {
    openssl(folder, "req -x509 -nodes -keyout key.pem -out cert.pem -days 2 -subj /CN=ca", NEW_KEY, CA_EXTENSIONS);
    return asCa(made(folder));
  });
}

const NEW_KEY = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1";
const CA_EXTENSIONS = "-addext basicConstraints=critical,CA:TRUE -addext keyUsage=critical,keyCertSign";

function asCa(ca: Certificate): TestCa {
  const sign = (subject: string, extensions: string, days: number) =>
    inFolder((folder) => {
      openssl(folder, `req -nodes -keyout key.pem -out request.pem -subj /CN=${subject}`, NEW_KEY, extensions);
      writeFileSync(join(folder, "ca.pem"), ca.cert + ca.key);
      openssl(
        folder,
        `x509 -req -in request.pem -CA ca.pem -copy_extensions copy -set_serial 1 -days ${days} -out cert.pem`,
      );
      return made(folder);
    });
  return {
    ...ca,
    server: (host, days = 1) => sign(host, `-addext subjectAltName=DNS:${host}`, days),
    intermediate: () => asCa(sign("intermediate", CA_EXTENSIONS, 1)),
  };
}

function made(folder: string): Certificate {
  const [cert, key] = ["cert.pem", "key.pem"].map((name) => readFileSync(join(folder, name), "utf8"));
  return { cert: cert as string, key: key as string };
}

function openssl(folder: string, ...parts: string[]): void {
  execFileSync("openssl", parts.join(" ").split(" "), { cwd: folder, stdio: "ignore" });
}

function inFolder<Result>(work: (folder: string) => Result): Result {
  const folder = mkdtempSync(join(tmpdir(), "certificates-"));
  try {
    return work(folder);
  } finally {
    rmSync(folder, { recursive: true });
  }
}
