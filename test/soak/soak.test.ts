import { execFile } from "node:child_process";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";
import { haveTools } from "../e2e/tools.ts";

test.skipIf(!haveTools(["redis-server"]))(
  "while all that it asks is killed, frozen and made to fail, the broker gives no wrong answer, and then ends by itself",
  { timeout: 300_000 },
  async () => {
    const script = fileURLToPath(new URL("./soak.ts", import.meta.url));
    const said = await new Promise<string>((resolve) =>
      execFile(process.execPath, ["--import", "tsx", script, "--hours", "3"], (error, out, problems) =>
        resolve(`${error === null ? "" : `${error.message}\n${problems}`}${out}`),
      ),
    );
    const last = said.trim().split("\n").at(-1) ?? "";
    expect(said.trim(), said).toBe(last);
    const { steps, issued, problems } = JSON.parse(last);
    expect([problems, steps > 40, issued > 0]).toEqual([0, true, true]);
  },
);
