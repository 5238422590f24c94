#!/usr/bin/env node
// As acs1.mjs, with the vendor's packages: the keys come from wherever the vendor's tools find them, RRSA on ACK included.
//   npm install @alicloud/credentials @alicloud/openapi-core
//   node acs1-sdk.mjs https://acr-broker.example.com
import { createHash, randomUUID } from "node:crypto";
import credentials from "@alicloud/credentials";
import core from "@alicloud/openapi-core";

const broker = process.argv[2] ?? process.env.ACR_BROKER_URL;
const { audience, sts_host } = await (await fetch(`${broker}/.well-known/acr-broker`)).json();
const { accessKeyId, accessKeySecret, securityToken } = await new credentials.default().getCredential();

const date = new Date().toISOString().replace(/\.\d+Z$/, "Z");
const nonce = randomUUID();
const emptyBody = createHash("sha256").update("").digest("hex");
const request = {
  method: "POST",
  pathname: "/",
  query: { BrokerAudience: audience },
  headers: {
    host: sts_host,
    "x-acs-action": "GetCallerIdentity",
    "x-acs-version": "2015-04-01",
    "x-acs-date": date,
    "x-acs-signature-nonce": nonce,
    "x-acs-content-sha256": emptyBody,
    ...(securityToken ? { "x-acs-security-token": securityToken } : {}),
  },
};
const scheme = "ACS3-HMAC-SHA256";
const authorization = core.OpenApiUtil.getAuthorization(request, scheme, emptyBody, accessKeyId, accessKeySecret);

const identity = {
  access_key_id: accessKeyId,
  ...(securityToken ? { security_token: securityToken } : {}),
  date,
  nonce,
  audience,
  signature: authorization.split("Signature=")[1],
};
console.log(`acs1.${Buffer.from(JSON.stringify(identity)).toString("base64url")}`);
