/** examples/ci/acr-login.sh by itself, under each shell that a CI may have, against what answers well, ill, or is no broker. */

import { readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { bodyOf, json, type Play, problem, serve, tokenAnswer } from "../client/servers.ts";
import { haveTools } from "../e2e/tools.ts";
import { BEFORE, ENDPOINT, type Job, loginIn, ROOT, startJob } from "./job.ts";

const TOKEN = "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJqb2IifQ.c2lnbmF0dXJl";
const PASSWORD = `p:a$s"w'o\`r\\d %41 ü\t!{}`;

let job: Job;
beforeEach(() => {
  job = startJob();
  job.stub("sleep", `echo "$1" >>'${job.folder}/out/slept'`);
});
afterEach(() => job.remove());

const SHELLS = [
  ["dash", "dash"],
  ["bash", "bash"],
  // Its own tr, sed, mktemp and so on, as in Alpine.
  ["busybox", "busybox", "sh"],
] as const;

describe.each(SHELLS.map((shell) => ({ tool: shell[0], shell: shell.slice(1) })))("$tool", ({ tool, shell }) => {
  describe.skipIf(tool === "busybox" && !haveTools(["busybox"]))("", () => {
    const script = `. '${ROOT}examples/ci/acr-login.sh'
acr_token() { printf x >>out/asked; \${ASK:-printenv ACR_TOKEN}; }
acr_login "$PWD/tmp/login" || exit
DOCKER_CONFIG="$PWD/tmp/login" docker push x`;
    const login = (url: string, env: Record<string, string> = {}, options = "-eu") =>
      job.run([...shell, options, "-c", script], {
        ACR_BROKER_URL: url,
        ACR_SCOPE: "repository:web/app:pull,push",
        ACR_TOKEN: TOKEN,
        ...env,
      });
    const asked = () => readFileSync(join(job.folder, "out/asked"), "utf8").length;

    test("the login is written beside what was there, for this user alone, and nothing else stays", async () => {
      let form = new URLSearchParams();
      const broker = await serve(async (request, response) => {
        form = new URLSearchParams(await bodyOf(request));
        json(response, 200, tokenAnswer(PASSWORD, 900, { endpoints: [ENDPOINT, "vpc.example.com"] }));
      });
      const more = {
        ACR_SCOPE: "repository:web/app:pull,push\n  repository:base/*:pull",
        ACR_REGISTRY: "prod",
        ACR_TTL: "900",
      };
      const { code, output } = await login(`${broker.url}/`, more);
      expect({ code, output }).toMatchObject({
        code: 0,
        output: expect.stringMatching(/^acr-login: logged in to acme.*, vpc\.example\.com until 20.*Z\n$/),
      });
      expect(broker.requests).toEqual(["POST /v1/token"]);
      expect(Object.fromEntries(form)).toEqual({
        scope: "repository:web/app:pull,push repository:base/*:pull",
        registry: "prod",
        ttl: "900",
      });
      for (const host of [ENDPOINT, "vpc.example.com"]) {
        expect(loginIn(job.seen(), host)).toEqual({ username: "cr_temp_user", password: PASSWORD });
      }
      expect(job.seen()).toMatchObject(BEFORE);
      for (const file of ["auth.json", "config.json"]) {
        expect(statSync(join(job.folder, "tmp/login", file)).mode & 0o777).toBe(0o600);
      }
      expect(job.left()).toEqual([
        "login",
        "login/auth.json",
        "login/config.json",
        "login/contexts",
        "login/contexts/builders",
      ]);
    });

    test("a trace of the shell shows neither token nor password", async () => {
      const broker = await serve((_, response) => json(response, 200, tokenAnswer(PASSWORD)));
      const { code, output } = await login(broker.url, {}, "-xeu");
      expect(code, output).toBe(0);
      expect(output).toContain("/v1/token");
      const { auth } = job.seen()?.auths[ENDPOINT] ?? {};
      for (const secret of [TOKEN, "c2lnbmF0dXJl", PASSWORD, PASSWORD.slice(0, 6), auth as string])
        expect(output).not.toContain(secret);
    });

    test("a home with no Docker in it is none the worse", async () => {
      const broker = await serve((_, response) => json(response, 200, tokenAnswer(PASSWORD)));
      job.stub("docker", `cp "$DOCKER_CONFIG/config.json" '${job.folder}/out/seen'`);
      const { code, output } = await login(broker.url, { HOME: "/nowhere" });
      expect(code, output).toBe(0);
      expect(job.seen()).toEqual({ auths: { [ENDPOINT]: { auth: expect.any(String) } } });
    });

    test("a credential store is none of this login's", async () => {
      const broker = await serve((_, response) => json(response, 200, tokenAnswer(PASSWORD)));
      writeFileSync(
        join(job.folder, "home/.docker/config.json"),
        '{"credsStore":"pass","credHelpers":{"gcr.io":"gcloud"}}',
      );
      const { code, output } = await login(broker.url);
      expect(code, output).toBe(0);
      expect(job.seen()?.credHelpers).toEqual({ "gcr.io": "gcloud", [ENDPOINT]: "" });
    });

    test.each(["[]", "not JSON", '{"auths":"text"}'])(
      "a configuration that is none, %s, is left as it is and named",
      async (text) => {
        const broker = await serve((_, response) => json(response, 200, tokenAnswer(PASSWORD)));
        writeFileSync(join(job.folder, "home/.docker/config.json"), text);
        const { code, output } = await login(broker.url);
        expect(code).toBe(1);
        expect(output).toBe(`acr-login: ${job.folder}/home/.docker/config.json is no Docker configuration\n`);
        expect(job.left()).toEqual(["login"]);
      },
    );

    test.each([400, 401, 403, 422, 500, 502])(
      "a refusal, %i, is told in the broker's words, and not tried again",
      async (status) => {
        const broker = await serve((_, response) =>
          problem(
            response,
            status,
            "access_denied",
            { "retry-after": "1" },
            "no grant \u001b[31mis\r\n::stop:: for you",
          ),
        );
        expect(await login(broker.url)).toEqual({
          code: 1,
          output: "acr-login: access_denied: no grant  [31mis  ::stop:: for you (request_id request-77)\n",
        });
        expect(broker.requests).toHaveLength(1);
        expect([job.seen(), job.left()]).toEqual([undefined, ["login"]]);
      },
    );

    test.each([429, 503, 504])("%i is tried again when the broker says, with a new token", async (status) => {
      const broker = await serve((_, response, count) =>
        count < 3
          ? problem(response, status, "rate_limited", { "Retry-After": "1" })
          : json(response, 200, tokenAnswer(PASSWORD)),
      );
      const { code, output } = await login(broker.url);
      expect(code, output).toBe(0);
      expect(output).toContain(`acr-login: no login yet (status ${status}); trying again in 1 s\n`);
      expect([broker.requests.length, asked()]).toEqual([3, 3]);
      if (tool !== "busybox") expect(readFileSync(join(job.folder, "out/slept"), "utf8")).toBe("1\n1\n");
    });

    test("after four tries it fails with what the last one was told", async () => {
      const broker = await serve((_, response) =>
        problem(response, 503, "upstream_unavailable", { "retry-after": "0" }),
      );
      const { code, output } = await login(broker.url);
      expect(code).toBe(1);
      expect(output.trim().split("\n").at(-1)).toBe(
        "acr-login: upstream_unavailable: the detail of upstream_unavailable (request_id request-77)",
      );
      expect(broker.requests).toHaveLength(4);
    });

    test("a wait of more than a minute is not begun", async () => {
      const broker = await serve((_, response) => problem(response, 503, "not_ready", { "retry-after": "61" }));
      expect((await login(broker.url)).output).toBe(
        "acr-login: not_ready: the detail of not_ready (request_id request-77)\n",
      );
      expect(broker.requests).toHaveLength(1);
    });

    const strangers: [string, Play][] = [
      [
        "a proxy's page that repeats the request",
        (request, response) =>
          response
            .writeHead(403, { "content-type": "text/html" })
            .end(`<html>${JSON.stringify(request.headers)}</html>`),
      ],
      [
        "JSON of something else",
        (request, response) => json(response, 401, { message: request.headers.authorization }),
      ],
      ["JSON that is no object", (request, response) => json(response, 401, [request.headers.authorization])],
      ["a redirect", (_, response) => response.writeHead(302, { location: "http://127.0.0.1:9/" }).end()],
      ["nothing", (_, response) => response.writeHead(404).end()],
      ["a page with status 200", (request, response) => response.end(`<html>${request.headers.authorization}</html>`)],
      [
        "credentials without a password",
        (_, response) => json(response, 200, tokenAnswer("", 900, { password: null })),
      ],
      [
        "credentials for no list of endpoints",
        (_, response) => json(response, 200, tokenAnswer(PASSWORD, 900, { endpoints: "all" })),
      ],
    ];
    test.each(strangers)("%s is not shown, and no login", async (_, play) => {
      const broker = await serve(play);
      const { code, output } = await login(broker.url);
      expect(code).toBe(1);
      expect(output).toMatch(
        new RegExp(
          `^acr-login: ${broker.url} answered with status \\d+ and not as the broker does; check the address.*\n$`,
        ),
      );
      expect([job.seen(), job.left()]).toEqual([undefined, ["login"]]);
    });

    test.each([
      ["no token", { ACR_TOKEN: " " }, "the job has no token: what should hold it is empty"],
      ["no scope", { ACR_SCOPE: "" }, "set ACR_SCOPE or ACR_GRANT: what the login is for"],
      [
        "http",
        { ACR_BROKER_URL: "http://broker.example.com" },
        "ACR_BROKER_URL is 'http://broker.example.com'; it must be the broker's https address",
      ],
      [
        "a host that only seems to be this machine",
        { ACR_BROKER_URL: "http://127.0.0.1:9@broker.example.com" },
        "ACR_BROKER_URL has a user name in it, or is another host than it seems; leave out what stands before the @",
      ],
    ])("%s is said before anything is sent", async (_, env, says) => {
      expect(await login("http://127.0.0.1:9", env)).toEqual({ code: 1, output: `acr-login: ${says}\n` });
    });

    test("a CI that gives no token is not taken for one, and its words are shown", async () => {
      job.stub("ask-ci", "echo 'the agent is not connected' >&2\nexit 3");
      const { code, output } = await login("http://127.0.0.1:9", { ASK: "ask-ci" });
      expect({ code, output }).toEqual({
        code: 1,
        output: "the agent is not connected\nacr-login: the job got no token; why stands above\n",
      });
    });

    test("a .curlrc that would print headers does not", async () => {
      writeFileSync(join(job.folder, "home/.curlrc"), "verbose\ninclude\n");
      const broker = await serve((_, response) => problem(response, 403, "access_denied"));
      expect((await login(broker.url)).output).toBe(
        "acr-login: access_denied: the detail of access_denied (request_id request-77)\n",
      );
    });
  });
});
