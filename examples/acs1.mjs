#!/usr/bin/env node
// Prints a signed Alibaba Cloud identity for acr-token-broker, good for one request within two minutes.
//   node acs1.mjs https://acr-broker.example.com
// Keys: ALIBABA_CLOUD_ACCESS_KEY_ID, ALIBABA_CLOUD_ACCESS_KEY_SECRET and, of temporary keys, ALIBABA_CLOUD_SECURITY_TOKEN;
// without them those of the RAM role of the ECS instance that this runs on. Node 18 or newer, nothing to install.
import { createHash, createHmac, randomUUID } from "node:crypto";

const broker = process.argv[2] ?? process.env.ACR_BROKER_URL;
const { audience, sts_host } = await json(`${broker}/.well-known/acr-broker`);
const { id, secret, token } = process.env.ALIBABA_CLOUD_ACCESS_KEY_ID ? environmentKeys() : await instanceKeys();

const date = new Date().toISOString().replace(/\.\d+Z$/, "Z");
const nonce = randomUUID();
// In the order in which they are signed.
const headers = {
  host: sts_host,
  "x-acs-action": "GetCallerIdentity",
  "x-acs-content-sha256": sha256(""),
  "x-acs-date": date,
  ...(token ? { "x-acs-security-token": token } : {}),
  "x-acs-signature-nonce": nonce,
  "x-acs-version": "2015-04-01",
};
const query = `BrokerAudience=${encodeURIComponent(audience).replace(/[!'()*]/g, (c) => `%${c.charCodeAt(0).toString(16).toUpperCase()}`)}`;
const lines = Object.entries(headers).map(([name, value]) => `${name}:${value}\n`);
const request = ["POST", "/", query, lines.join(""), Object.keys(headers).join(";"), sha256("")].join("\n");
const signature = createHmac("sha256", secret)
  .update(`ACS3-HMAC-SHA256\n${sha256(request)}`)
  .digest("hex");

const identity = { access_key_id: id, ...(token ? { security_token: token } : {}), date, nonce, audience, signature };
console.log(`acs1.${Buffer.from(JSON.stringify(identity)).toString("base64url")}`);

function environmentKeys() {
  const env = process.env;
  return {
    id: env.ALIBABA_CLOUD_ACCESS_KEY_ID,
    secret: env.ALIBABA_CLOUD_ACCESS_KEY_SECRET,
    token: env.ALIBABA_CLOUD_SECURITY_TOKEN,
  };
}

async function instanceKeys() {
  const metadata = `${process.env.ECS_METADATA_URL ?? "http://100.100.100.200"}/latest`;
  const ttl = { "x-aliyun-ecs-metadata-token-ttl-seconds": "60" };
  const session = await (await ok(`${metadata}/api/token`, { method: "PUT", headers: ttl })).text();
  const init = { headers: { "x-aliyun-ecs-metadata-token": session } };
  const roles = `${metadata}/meta-data/ram/security-credentials/`;
  const role = (await (await ok(roles, init)).text()).trim();
  const keys = await json(roles + role, init);
  return { id: keys.AccessKeyId, secret: keys.AccessKeySecret, token: keys.SecurityToken };
}

async function ok(url, init) {
  const response = await fetch(url, { ...init, signal: AbortSignal.timeout(5000) });
  if (!response.ok) throw new Error(`${url} answered ${response.status}`);
  return response;
}

async function json(url, init) {
  return (await ok(url, init)).json();
}

function sha256(text) {
  return createHash("sha256").update(text).digest("hex");
}
