/** docs/private-issuers.md: its examples load, and its command tells a right CA from a wrong one. */

import { execFile } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:https";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { lintFindings } from "../../shared/config/lint-findings.ts";
import { parseConfig } from "../../shared/config/load.ts";
import { makeCa } from "../certificates.ts";

const page = readFileSync(new URL("../../docs/private-issuers.md", import.meta.url), "utf8");
const examples = [...page.matchAll(/^## .*`(\w+)`[^#]*?```yaml broker\n([\s\S]*?)```/gm)].map(([, field, yaml]) => ({
  field: field as string,
  yaml: yaml as string,
}));
const FILES: Record<string, string> = {
  "./gitlab-ca.pem": makeCa().cert,
  "./cluster-jwks.json": '{"keys":[{"kty":"RSA","kid":"1","n":"x","e":"AQAB"}]}',
};

function load(yaml: string) {
  const text = `version: 1
audience: https://acr-broker.example.com
registries:
  prod: { instance_id: cri-abc123, region: cn-hangzhou, account_id: "1234567890123456", endpoints: [acme.example.com] }
${yaml}`;
  return parseConfig(text, { file: "page.yaml", readFile: (path) => FILES[path] as string });
}

test("each field has its example", () => {
  expect(examples.map(({ field }) => field)).toEqual(["ca_file", "jwks_file", "issuer_template"]);
});

describe.each(examples)("the example of $field", ({ field, yaml }) => {
  test("loads, and is nothing to warn of", () => {
    const config = load(yaml);
    const position = () => ({ line: 1, column: 1 });
    const findings = lintFindings({ config, file: "page.yaml", position, now: new Date(0) });
    expect(findings.filter(({ severity }) => severity !== "note")).toEqual([]);
    expect(config.issuers.size).toBe(1);
  });

  test("rests on that field", () => {
    expect(yaml).toContain(`${field}: `);
  });
});

test("as the page says, iss alone is not enough, and a pattern of them is refused", () => {
  const { yaml } = examples.find(({ field }) => field === "issuer_template") as { yaml: string };
  expect(() => load(yaml.replace(/ +oidc\.circleci\.com\/project-id.*\n/, ""))).toThrow(
    "rests only on what any caller",
  );
  expect(() => load(yaml.replace(/iss: .*/, 'iss: { glob: "https://oidc.circleci.com/org/*" }'))).toThrow(
    "is a pattern where each issuer must be named",
  );
});

test("its command says whether a CA is the right one", async () => {
  const command = /```sh\n(curl .*)\n```/.exec(page)?.[1] as string;
  const ca = makeCa();
  const server = createServer(ca.server("localhost"), (_, response) => response.end("{}")).listen(0, "127.0.0.1");
  await once(server, "listening");
  const folder = mkdtempSync(join(tmpdir(), "private-issuers-doc-"));
  const run = (pem: string) => {
    writeFileSync(join(folder, "gitlab-ca.pem"), pem);
    const here = command.replace("gitlab.internal", `localhost:${(server.address() as AddressInfo).port}`);
    return new Promise((resolve) => {
      execFile("sh", ["-c", here], { cwd: folder }, (error) => resolve(error?.code ?? 0));
    });
  };
  expect(await run(ca.cert)).toBe(0);
  // 60: the peer's certificate is not known to be good (curl(1), exit codes).
  expect(await run(makeCa().cert)).toBe(60);
  server.close();
  rmSync(folder, { recursive: true });
});
