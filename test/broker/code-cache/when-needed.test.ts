/** Imports of the vendor's SDK that are put off by the build until something of them is asked for. */

import { readdirSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { runInNewContext } from "node:vm";
import { expect, test } from "vitest";
import { RARELY_NEEDED, VENDORS_CODE, whenNeeded } from "../../../functions/broker/code-cache/when-needed.ts";

const VENDORS = ["@alicloud/credentials", "@alicloud/openapi-core", "@darabonba/typescript"].map((name) =>
  fileURLToPath(new URL(`../../../node_modules/${name}/dist`, import.meta.url)),
);

test("all of them are found in the SDK's code, each where it is imported", () => {
  const found = VENDORS.flatMap((folder) =>
    readdirSync(folder, { recursive: true, encoding: "utf8" })
      .map((name) => `${folder}/${name}`)
      .filter((path) => VENDORS_CODE.test(path))
      .flatMap((path) => {
        const code = readFileSync(path, "utf8");
        const put = whenNeeded(code);
        const imports = RARELY_NEEDED.filter((name) => code.includes(`require("${name}")`));
        expect(put.match(/new Proxy/g)?.length ?? 0).toBe(imports.length);
        return imports;
      }),
  );
  expect(found.sort()).toEqual([...RARELY_NEEDED]);
});

test("such an import is made once, at its first use, and is then what it would have been", () => {
  const made: string[] = [];
  const require = (name: string) => {
    made.push(name);
    return { value: `of ${name}` };
  };
  const code = whenNeeded(
    'var ws_1 = require("ws");\nconst other = require("other");\n({ use: () => [ws_1.value, ws_1.value, ws_1.none] })',
  );
  const { use } = runInNewContext(code, { require }) as { use: () => unknown };
  expect(made).toEqual(["other"]);
  expect(use()).toEqual(["of ws", "of ws", undefined]);
  expect(made).toEqual(["other", "ws"]);
});
