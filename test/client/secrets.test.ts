/**
 * Whatever goes wrong, and whoever answers: no error holds a token, a key or a password, in any way that it can be shown. The servers
 * here send back all that they were sent, wherever an answer has room for it.
 */

import { inspect } from "node:util";
import { expect, test } from "vitest";
import { AcrBroker, type AcrBrokerOptions } from "../../shared/client/acr-broker.ts";
import { tokenFile } from "../../shared/client/identity/file.ts";
import { githubActions } from "../../shared/client/identity/github-actions.ts";
import { signedIdentity } from "../../shared/client/identity/signed.ts";
import { ecsRole } from "../../shared/client/ram/ecs-role.ts";
import { ramKeys } from "../../shared/client/ram/keys.ts";
import { rrsa } from "../../shared/client/ram/rrsa.ts";
import { bodyOf, json, type Play, problem, serve, testTime, tokenAnswer } from "./servers.ts";

const SECRET = "canary-0123456789-of-a-secret";
const JWT = `eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJqb2IifQ.${SECRET}`;
const KEYS = { accessKeyId: "STS.canary", accessKeySecret: SECRET, securityToken: `${SECRET}-token` };

/** All that came, in all that an answer can say. */
const echo =
  (answer: (said: string, response: Parameters<Play>[1]) => void): Play =>
  async (request, response) => {
    const said = `${JSON.stringify(request.headers)} ${await bodyOf(request)} ${request.url}`;
    // Once someone asks what the broker is called, it is told: else no identity would be sent at all.
    if (request.url === "/.well-known/acr-broker")
      return json(response, 200, { audience: "x", sts_host: "sts.example" });
    answer(said, response);
  };

const answers: [what: string, play: Play][] = [
  ["a problem that quotes the request", echo((said, response) => problem(response, 401, "invalid_token", {}, said))],
  ["a problem that is passing", echo((said, response) => problem(response, 503, "not_ready", {}, said))],
  ["a gateway's page", echo((said, response) => response.writeHead(502, { "content-type": "text/html" }).end(said))],
  [
    "a platform's JSON",
    echo((said, response) => json(response, 403, { Code: "SignatureDoesNotMatch", Message: said })),
  ],
  ["an error's code", echo((said, response) => json(response, 400, { Code: said, ErrorCode: said }))],
  ["a type of content", echo((_, response) => response.writeHead(200, { "content-type": `text/${SECRET}` }).end("?"))],
  ["a redirect", echo((_, response) => response.writeHead(302, { location: `https://x.example/?${SECRET}` }).end())],
  ["credentials that are none", echo((_, response) => json(response, 200, tokenAnswer(SECRET, 900, { username: 7 })))],
  [
    "a request id",
    echo((said, response) => {
      const [, token] = /Bearer ([^"]+)/.exec(said) ?? [];
      const body = { code: "access_denied", detail: "no", request_id: token };
      json(response, 403, body, { "content-type": "application/problem+json" });
    }),
  ],
  ["a cut", (request) => void request.socket.destroy()],
];

const identities: [what: string, options: (url: string) => Partial<AcrBrokerOptions>][] = [
  ["a string", () => ({ identity: JWT })],
  ["a string that no header takes", () => ({ identity: `${SECRET}\n${SECRET}` })],
  ["a function", () => ({ identity: () => JWT })],
  ["a file", () => ({ identity: tokenFile("/token"), outside: { readFile: async () => JWT } })],
  ["signed", () => ({ identity: signedIdentity(ramKeys(KEYS)) })],
  ["behind Function Compute", () => ({ identity: JWT, functionCompute: ramKeys(KEYS) })],
  ["an ECS role", (url) => ({ identity: signedIdentity(ecsRole({ metadataUrl: url })) })],
  [
    "GitHub Actions",
    (url) => ({
      identity: githubActions(),
      outside: {
        environment: (name) =>
          name.endsWith("URL") ? `${url}/github?a=b` : name.endsWith("TOKEN") ? SECRET : undefined,
      },
    }),
  ],
  [
    "RRSA",
    (url) => ({
      identity: signedIdentity(rrsa({ stsUrl: url })),
      outside: { environment: (name) => (name.startsWith("ALIBABA") ? name : undefined), readFile: async () => JWT },
    }),
  ],
];

const cases = answers.flatMap(([answer, play]) =>
  identities.map(([identity, options]) => [identity, answer, play, options] as const),
);
test.each(cases)("%s, answered with %s", async (_identity, _answer, play, options) => {
  const { url } = await serve(play);
  const { outside } = testTime();
  const { outside: own, ...rest } = options(url);
  const broker = new AcrBroker({ url, deadlineSeconds: 2, ...rest, outside: { ...outside, ...own } });
  const error: unknown = await broker.credentials({ scope: "repository:web/app:pull" }).then(
    () => undefined,
    (error: unknown) => error,
  );
  expect(error).toBeInstanceOf(Error);
  const { message, stack = "", cause } = error as Error;
  const shown = [
    message,
    stack,
    String(error),
    JSON.stringify(error),
    JSON.stringify(Object.entries(Object.getOwnPropertyDescriptors(error))),
    inspect(
      { error, broker, source: typeof rest.identity === "object" ? rest.identity : undefined },
      { depth: null, showHidden: true, getters: true },
    ),
  ].join("\n");
  expect(cause).toBeUndefined();
  // Written out, it would be in the log of the failed test.
  const parts = [SECRET, JWT, "eyJzdWIiOiJqb2IifQ"].filter((secret) => shown.includes(secret));
  expect(parts).toEqual([]);
});
