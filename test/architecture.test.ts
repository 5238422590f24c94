/** Which part of the house may know which: docs/architecture.md. */

import { readdirSync, readFileSync } from "node:fs";
import { dirname, posix } from "node:path";
import { expect, test } from "vitest";

const ROOT = new URL("../", import.meta.url);

/** Folder (or leaf file) by folder: what a file in it may import from elsewhere in the project; `type` where types only. */
const ALLOWED: Readonly<Record<string, Readonly<Record<string, "code" | "type">>>> = {
  "shared/address.ts": {},
  "shared/credential-formats.ts": {},
  "shared/error.ts": {},
  "shared/json.ts": {},
  "shared/near-name.ts": {},
  "shared/recent.ts": {},
  "shared/policy": { "shared/address.ts": "code" },
  "shared/store": { "shared/config": "type" },
  "shared/client": { "shared/error.ts": "type" },
  "shared/identity": {
    "shared/address.ts": "code",
    "shared/config": "type",
    "shared/policy": "code",
    "shared/store": "type",
    "shared/error.ts": "code",
    "shared/json.ts": "code",
    "shared/recent.ts": "code",
  },
  "shared/config": {
    "shared/address.ts": "code",
    "shared/policy": "code",
    "shared/identity": "code",
    "shared/json.ts": "code",
    "shared/near-name.ts": "code",
  },
  "shared/alibaba": { "shared/policy": "code", "shared/error.ts": "code" },
  "shared/issuing": {
    "shared/alibaba": "code",
    "shared/config": "type",
    "shared/error.ts": "code",
    "shared/policy": "code",
    "shared/recent.ts": "code",
    "shared/store": "type",
  },
  "shared/audit": {
    "shared/error.ts": "code",
    "shared/identity": "type",
    "shared/issuing": "type",
    "shared/policy": "code",
  },
};

function part(file: string): string {
  const [top, second] = file.split("/");
  return `${top}/${second}`;
}

function sources(top: string): string[] {
  return readdirSync(new URL(top, ROOT), { recursive: true, encoding: "utf8" })
    .filter((file) => file.endsWith(".ts"))
    .map((file) => `${top}/${file}`);
}

function imports(file: string): { from: string; type: boolean }[] {
  const text = readFileSync(new URL(file, ROOT), "utf8");
  const found = text.matchAll(/^(?:import|export)\s+(type\s)?[^;]*?from\s+"(\.[^"]+)"/gms);
  return [...found].map(([, type, path]) => ({
    from: posix.join(dirname(file), path as string),
    type: type !== undefined,
  }));
}

test("imports in shared/ point one way", () => {
  const wrong = sources("shared").flatMap((file) =>
    imports(file)
      .filter(({ from }) => part(from) !== part(file))
      .filter(({ from, type }) => {
        const allowed = ALLOWED[part(file)]?.[part(from)];
        return allowed === undefined || (allowed === "type" && !type);
      })
      .map(({ from }) => `${file} imports ${from}`),
  );
  expect(wrong).toEqual([]);
});

test("the command line knows nothing of the function", () => {
  const wrong = sources("cli").flatMap((file) =>
    imports(file)
      .filter(({ from }) => !/^(cli|shared)\/|^package\.json$/.test(from))
      .map(({ from }) => `${file} imports ${from}`),
  );
  expect(wrong).toEqual([]);
});

test("the action knows the SDK, and nothing else of the house", () => {
  const wrong = sources("action").flatMap((file) =>
    imports(file)
      .filter(({ from }) => !/^(action|shared\/client)\//.test(from))
      .map(({ from }) => `${file} imports ${from}`),
  );
  expect(wrong).toEqual([]);
});

test("the sandbox shares nothing with what it tests", () => {
  const shared = sources("test/sandbox").flatMap((file) =>
    imports(file)
      .filter(({ from }) => /^(shared|functions)\//.test(from))
      .map(({ from }) => `${file} imports ${from}`),
  );
  expect(shared).toEqual([]);
});

test("the SDK stands on the web platform alone; what only some runtimes have is loaded in one file, when it is needed", () => {
  const files = sources("shared/client");
  const text = (file: string) => readFileSync(new URL(file, ROOT), "utf8");
  const packages = files.filter((file) => /^(?:import|export)\s[^;]*?from\s+"[^.]/ms.test(text(file)));
  const runtimes = files.filter((file) => /"node:|\bBuffer\b|\brequire\(|\bimport\(/.test(text(file)));
  expect([packages, runtimes]).toEqual([[], ["shared/client/host.ts"]]);
});

test("only server.ts, the two commands and the SDK's host.ts reach for the clock, the environment, the network or chance", () => {
  const reaching = [...sources("shared"), ...sources("functions"), ...sources("cli")].filter((file) =>
    /\bprocess\??\.env\b|\bDate\.now\(|new Date\(\)|Math\.random|globalThis\.fetch|import \{.*"node:https"|randomUUID\(|performance\.now\(/.test(
      readFileSync(new URL(file, ROOT), "utf8"),
    ),
  );
  expect(reaching).toEqual([
    "shared/client/host.ts",
    "functions/broker/server.ts",
    "cli/acr-broker.ts",
    "cli/docker-credential-acr-broker.ts",
  ]);
});

/** The files that are loaded when `start` is. */
function loadedBy(start: string): Set<string> {
  const loaded = new Set([start]);
  for (const file of loaded) {
    if (!file.endsWith(".ts")) continue;
    for (const { from, type } of imports(file)) if (!type) loaded.add(from);
  }
  return loaded;
}

test("the command line loads a command, and the SDK, when it runs one", () => {
  const dear = [...loadedBy("cli/acr-broker.ts")].filter((file) =>
    /^(?:cli\/commands|cli\/docker|shared\/client)\//.test(file),
  );
  expect(dear).toEqual(["shared/client/host.ts"]);
});

test.each(["functions/broker/server.ts", "cli/acr-broker.ts", "cli/commands/explain.ts"])(
  "%s loads neither the YAML reader nor the schema nor the API's description before it needs them",
  (start) => {
    const loaded = loadedBy(start);
    expect(loaded.size).toBeGreaterThan(5);
    const dear = ["load", "document", "check", "schema"].map((name) => `shared/config/${name}.ts`);
    expect([...loaded].filter((file) => dear.includes(file) || file.startsWith("functions/broker/reference/"))).toEqual(
      [],
    );
  },
);
