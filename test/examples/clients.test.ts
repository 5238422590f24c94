/** Real clients find the login that examples/ci/curl-jq.sh makes, also on a machine whose Docker keeps its logins in a credential store. */

import { spawnSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { json, type Played, serve, tokenAnswer } from "../client/servers.ts";
import { haveTools, type Tool } from "../e2e/tools.ts";
import { type Job, ROOT, startJob } from "./job.ts";

const PASSWORD = `p:a$s"w'o\`r\\d %41 !{}`;
const BASIC = `Basic ${Buffer.from(`cr_temp_user:${PASSWORD}`).toString("base64")}`;

let job: Job;
let registry: Played;
const shown = new Set<string | undefined>();
beforeEach(async () => {
  job = startJob();
  shown.clear();
  registry = await serve(({ headers }, response) => {
    shown.add(headers.authorization);
    if (headers.authorization === undefined) json(response, 401, {}, { "www-authenticate": 'Basic realm="registry"' });
    else json(response, 404, { errors: [{ code: "MANIFEST_UNKNOWN" }] });
  });
  // As those of the desktops answer for a host that they have nothing for.
  job.stub("docker-credential-desktop", "cat >/dev/null\necho 'credentials not found in native keychain'\nexit 1");
});
afterEach(() => job.remove());

const CLIENTS: [Tool, (image: string) => string[]][] = [
  ["docker", (image) => ["manifest", "inspect", "--insecure", image]],
  ["skopeo", (image) => ["inspect", "--tls-verify=false", `docker://${image}`]],
];

for (const [tool, args] of CLIENTS) {
  test.skipIf(!haveTools([tool])).each(["{}", '{"credsStore":"desktop"}'])(
    `${tool} shows it to the registry, after %s`,
    async (before) => {
      const broker = await serve((_, response) =>
        json(response, 200, tokenAnswer(PASSWORD, 900, { endpoints: [new URL(registry.url).host] })),
      );
      writeFileSync(join(job.folder, "home/.docker/config.json"), before);
      const program = spawnSync("sh", ["-c", `command -v ${tool}`], { encoding: "utf8" }).stdout.trim();
      const command = [program, ...args(`${new URL(registry.url).host}/web/app:1`)];
      const { output } = await job.run([join(ROOT, "examples/ci/curl-jq.sh"), ...command], {
        ACR_BROKER_URL: broker.url,
        ACR_SCOPE: "repository:web/app:pull",
        ACR_TOKEN: "a-token",
      });
      expect(output).toMatch(/manifest unknown|404/i);
      expect([...shown]).toEqual([undefined, BASIC]);
    },
  );
}
