/**
 * The broker that a tutorial would have you write: the same job for one caller, of the usual packages, with nothing kept, nothing
 * bundled and nothing tuned. It stands beside ours in the benchmarks, so that their numbers mean something. Not for use: it
 * narrows and checks as much as such a program does, which is not enough.
 */

import OpenApiModule, * as openApi from "@alicloud/openapi-client";
import StsModule, { AssumeRoleRequest } from "@alicloud/sts20150401";
import { serve } from "@hono/node-server";
import { Hono } from "hono";
import { createRemoteJWKSet, jwtVerify } from "jose";

const { ISSUERS, JWKS_URL, AUDIENCE, CLOUD, ROLE_ARN, INSTANCE_ID } = process.env;
const keys = createRemoteJWKSet(new URL(JWKS_URL));
const { protocol, host } = new URL(CLOUD);

/** Settings of both vendor clients. */
function config(accessKeyId, accessKeySecret, securityToken) {
  const settings = { accessKeyId, accessKeySecret, securityToken, endpoint: host, protocol: protocol.slice(0, -1) };
  return new openApi.Config(settings);
}

const own = config(
  process.env.ALIBABA_CLOUD_ACCESS_KEY_ID,
  process.env.ALIBABA_CLOUD_ACCESS_KEY_SECRET,
  process.env.ALIBABA_CLOUD_SECURITY_TOKEN,
);

const app = new Hono();
app.get("/healthz", (c) => c.json({ status: "ok" }));
app.post("/v1/token", async (c) => {
  let claims;
  try {
    const token = c.req.header("authorization")?.replace("Bearer ", "") ?? "";
    claims = (await jwtVerify(token, keys, { issuer: ISSUERS.split(" "), audience: AUDIENCE })).payload;
  } catch {
    return c.json({ error: "unauthorized" }, 401);
  }
  const { scope } = await c.req.json();
  const [, repository, actions] = /^repository:(web\/[a-z0-9-]+):([a-z,]+)$/.exec(scope[0]) ?? [];
  if (claims.repository_id !== "123456" || claims.ref !== "refs/heads/main" || repository === undefined) {
    return c.json({ error: "forbidden" }, 403);
  }

  const rights = actions.split(",").map((action) => (action === "push" ? "cr:PushRepository" : "cr:PullRepository"));
  const policy = {
    Version: "1",
    Statement: [
      { Effect: "Allow", Action: rights, Resource: `acs:cr:*:*:repository/${INSTANCE_ID}/${repository}` },
      { Effect: "Allow", Action: "cr:GetAuthorizationToken", Resource: "*" },
    ],
  };
  const sts = new StsModule.default(own);
  const assumed = await sts.assumeRole(
    new AssumeRoleRequest({
      roleArn: ROLE_ARN,
      roleSessionName: "ci",
      policy: JSON.stringify(policy),
      durationSeconds: 900,
    }),
  );
  const { accessKeyId, accessKeySecret, securityToken } = assumed.body.credentials;

  const client = new OpenApiModule.default(config(accessKeyId, accessKeySecret, securityToken));
  const call = new openApi.Params({
    action: "GetAuthorizationToken",
    version: "2018-12-01",
    protocol: "HTTPS",
    pathname: "/",
    method: "POST",
    authType: "AK",
    style: "RPC",
    reqBodyType: "formData",
    bodyType: "json",
  });
  const { body } = await client.callApi(call, new openApi.OpenApiRequest({ query: { InstanceId: INSTANCE_ID } }), {});
  return c.json({ username: body.TempUsername, password: body.AuthorizationToken, expires_at: body.ExpireTime });
});

serve({ fetch: app.fetch, hostname: "127.0.0.1", port: 0 }, ({ port }) =>
  console.log(`listening on 127.0.0.1:${port}`),
);
