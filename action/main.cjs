"use strict";

// main.ts
var import_node_fs3 = require("node:fs");
var import_node_os = require("node:os");
var import_node_path2 = require("node:path");

// ../shared/client/errors.ts
var AcrBrokerError = class extends Error {
  name = "AcrBrokerError";
  code;
  /** Whether the same request may succeed later. Those that may have been tried again already, until the deadline. */
  retryable;
  constructor(code, message, facts = {}) {
    super(printable(message));
    this.code = code;
    this.retryable = facts.retryable ?? false;
    if (facts.status !== void 0) this.status = facts.status;
    if (facts.requestId !== void 0) this.requestId = facts.requestId;
    if (facts.retryAfterSeconds !== void 0) this.retryAfterSeconds = facts.retryAfterSeconds;
  }
};
var RefusedError = class extends AcrBrokerError {
  name = "RefusedError";
};
var IdentityError = class extends AcrBrokerError {
  name = "IdentityError";
};
var ConnectionError = class extends AcrBrokerError {
  name = "ConnectionError";
};
var OptionsError = class extends AcrBrokerError {
  name = "OptionsError";
  constructor(message) {
    super("invalid_options", message);
  }
};
var LONGEST_MESSAGE = 2e3;
function printable(message) {
  return message.slice(0, LONGEST_MESSAGE).replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]+/gu, " ");
}

// ../shared/client/attempts.ts
var FIRST_BACKOFF_MS = 200;
var LONGEST_BACKOFF_MS = 5e3;
async function withinDeadline(deadlineMs, signal, { monotonicMs, random, sleep: sleep2 }, attempt) {
  const end = monotonicMs() + deadlineMs;
  const limit = new AbortController();
  let last;
  const timer = setTimeout(() => limit.abort(exceeded(deadlineMs, last)), deadlineMs);
  const stop = () => limit.abort(signal.reason);
  if (signal.aborted) stop();
  signal.addEventListener("abort", stop, { once: true });
  const over = new Promise((_, reject) => {
    limit.signal.addEventListener("abort", () => reject(limit.signal.reason), { once: true });
  });
  over.catch(() => {
  });
  try {
    for (let count = 1; ; count++) {
      try {
        return await Promise.race([attempt(limit.signal), over]);
      } catch (error) {
        if (limit.signal.aborted) throw limit.signal.reason;
        if (!(error instanceof AcrBrokerError) || !error.retryable) throw error;
        last = error;
      }
      const backoff = Math.min(FIRST_BACKOFF_MS * 2 ** count, LONGEST_BACKOFF_MS);
      const pause = (last.retryAfterSeconds ?? 0) * 1e3 + random() * backoff;
      if (monotonicMs() + pause >= end) throw last;
      await sleep2(pause, limit.signal);
    }
  } finally {
    clearTimeout(timer);
    signal.removeEventListener("abort", stop);
  }
}
function exceeded(deadlineMs, last) {
  const before = last === void 0 ? "" : `; before that: ${last.message}`;
  return new ConnectionError("deadline_exceeded", `there was no answer within ${deadlineMs / 1e3} s${before}`, {
    retryable: true
  });
}

// ../shared/client/acs3.ts
var ALGORITHM = "ACS3-HMAC-SHA256";
async function signed({ method, pathname, query, headers, payload }, { accessKeyId, accessKeySecret }) {
  const names = Object.keys(headers).sort();
  const canonical = [
    method,
    pathname,
    canonicalQuery(query),
    ...names.map((name) => `${name}:${headers[name]?.trim()}`),
    "",
    names.join(";"),
    payload
  ].join("\n");
  const digest = await crypto.subtle.digest("SHA-256", bytes(canonical));
  const hmac = { name: "HMAC", hash: "SHA-256" };
  const key = await crypto.subtle.importKey("raw", bytes(accessKeySecret), hmac, false, ["sign"]);
  const signature = hex(await crypto.subtle.sign("HMAC", key, bytes(`${ALGORITHM}
${hex(digest)}`)));
  const parts = [`Credential=${accessKeyId}`, `SignedHeaders=${names.join(";")}`, `Signature=${signature}`];
  return { signature, authorization: `${ALGORITHM} ${parts.join(",")}` };
}
function canonicalQuery(query) {
  return Object.entries(query).sort(([a], [b]) => a < b ? -1 : 1).map(([name, value]) => `${percentEncode(name)}=${percentEncode(value)}`).join("&");
}
function acsDate(date) {
  return date.toISOString().replace(/\.\d+Z$/, "Z");
}
function percentEncode(text) {
  return encodeURIComponent(text).replace(/[!'()*]/g, (c) => `%${c.charCodeAt(0).toString(16).toUpperCase()}`);
}
function bytes(text) {
  return new TextEncoder().encode(text);
}
function hex(buffer) {
  return Array.from(new Uint8Array(buffer), (byte) => byte.toString(16).padStart(2, "0")).join("");
}

// ../shared/client/function-compute.ts
async function functionComputeHeaders(method, { pathname }, keys, now) {
  const headers = { "x-acs-date": acsDate(now), "x-acs-security-token": keys.securityToken ?? "" };
  const { authorization } = await signed({ method, pathname, query: {}, headers, payload: "" }, keys);
  return { ...headers, authorization };
}

// ../shared/client/http.ts
var LONGEST_ATTEMPT_MS = 15e3;
var LARGEST_BYTES = 64 * 1024;
async function exchange(peer, url, init, signal, { fetch }) {
  signal.throwIfAborted();
  const { timeoutMs = LONGEST_ATTEMPT_MS } = peer;
  const attempt = new AbortController();
  const stop = () => attempt.abort();
  const timer = setTimeout(stop, timeoutMs);
  signal.addEventListener("abort", stop, { once: true });
  try {
    const response = await fetch(url.href, { ...init, redirect: "manual", signal: attempt.signal });
    if (response.type === "opaqueredirect" || response.status >= 300 && response.status < 400) {
      await response.body?.cancel();
      throw new ConnectionError(
        "bad_response",
        `${peer.name} at ${url.host} answered with a redirect, and a credential is not sent after one; configure the address that it leads to`,
        response.status === 0 ? {} : { status: response.status }
      );
    }
    return { status: response.status, headers: response.headers, text: await readText(response, peer, url) };
  } catch (error) {
    if (signal.aborted) throw signal.reason;
    if (error instanceof ConnectionError) throw error;
    const why = attempt.signal.aborted ? `did not answer within ${timeoutMs / 1e3} s` : `could not be reached${reason(error)}`;
    throw new ConnectionError("network_error", `${peer.name} at ${url.host} ${why}`, { retryable: true });
  } finally {
    clearTimeout(timer);
    signal.removeEventListener("abort", stop);
  }
}
async function readText(response, peer, url) {
  const reader = response.body?.getReader();
  const decoder = new TextDecoder();
  let text = "";
  let bytes2 = 0;
  while (reader !== void 0) {
    const { done, value } = await reader.read();
    if (done) break;
    bytes2 += value.byteLength;
    if (bytes2 > LARGEST_BYTES) {
      await reader.cancel();
      throw new ConnectionError(
        "bad_response",
        `the answer of ${peer.name} at ${url.host} (status ${response.status}) is larger than ${LARGEST_BYTES} bytes; is that its address?`,
        { status: response.status }
      );
    }
    text += decoder.decode(value, { stream: true });
  }
  return text + decoder.decode();
}
function reason(error) {
  const { code, cause } = error;
  const known = [cause?.code, code].find((value) => typeof value === "string" && /^[A-Z][A-Z0-9_]{2,40}$/.test(value));
  return known === void 0 ? "" : ` (${known})`;
}
function jsonObject({ text }) {
  try {
    const value = JSON.parse(text);
    return typeof value === "object" && value !== null && !Array.isArray(value) ? value : void 0;
  } catch {
    return void 0;
  }
}
function isPassing(status) {
  return status === 429 || status === 502 || status === 503 || status === 504;
}
var LONGEST_WAIT_SECONDS = 31536e3;
function retryAfterSeconds(headers, now) {
  const text = headers.get("retry-after")?.trim() ?? "";
  if (/^\d+$/.test(text)) return Math.min(Number(text), LONGEST_WAIT_SECONDS);
  const time = Date.parse(text);
  return Number.isNaN(time) ? void 0 : Math.max(0, Math.ceil((time - now.getTime()) / 1e3));
}
function isPrivate({ protocol, hostname }) {
  return protocol === "https:" || protocol === "http:" && isLoopback(hostname);
}
function isLoopback(hostname) {
  return hostname === "localhost" || hostname === "[::1]" || /^127(?:\.\d{1,3}){3}$/.test(hostname);
}

// ../shared/client/ram/keys.ts
async function keysFrom(source, context) {
  const keys = await source.keys(context);
  const { accessKeyId, accessKeySecret, securityToken } = keys;
  const wrong = !/^[A-Za-z0-9.]{8,128}$/.test(accessKeyId) ? "access key id" : !/^[\x21-\x7e]+$/.test(accessKeySecret) ? "access key secret" : securityToken !== void 0 && !/^[A-Za-z0-9+/=_.-]{1,3072}$/.test(securityToken) ? "security token" : void 0;
  if (wrong === void 0) return keys;
  throw new IdentityError(
    "identity_failed",
    `the ${wrong} of ${source.name} does not have the form of one; is it empty, or has it spaces or a line end?`
  );
}
function environmentKeys() {
  return {
    name: "the RAM keys in the environment",
    async keys({ outside: { environment: environment2 } }) {
      const accessKeyId = environment2("ALIBABA_CLOUD_ACCESS_KEY_ID");
      const accessKeySecret = environment2("ALIBABA_CLOUD_ACCESS_KEY_SECRET");
      const securityToken = environment2("ALIBABA_CLOUD_SECURITY_TOKEN");
      if (accessKeyId === void 0 || accessKeySecret === void 0) {
        throw new IdentityError(
          "no_identity",
          "set ALIBABA_CLOUD_ACCESS_KEY_ID and ALIBABA_CLOUD_ACCESS_KEY_SECRET, both"
        );
      }
      return { accessKeyId, accessKeySecret, ...securityToken === void 0 ? {} : { securityToken } };
    }
  };
}
var SPARE_MS = 5 * 6e4;
function sessionKeys(name, fetchKeys) {
  let last;
  return {
    name,
    async keys(context) {
      if (last === void 0 || last.expiresAt.getTime() - context.now().getTime() < SPARE_MS) {
        last = await fetchKeys(context);
      }
      const { accessKeyId, accessKeySecret, securityToken } = last;
      return { accessKeyId, accessKeySecret, securityToken };
    }
  };
}
function readSessionKeys(value) {
  const { AccessKeyId, AccessKeySecret, SecurityToken, Expiration } = value ?? {};
  const texts = [AccessKeyId, AccessKeySecret, SecurityToken, Expiration];
  if (!texts.every((text) => typeof text === "string" && text !== "")) return void 0;
  const [accessKeyId, accessKeySecret, securityToken, expiration] = texts;
  const expiresAt = new Date(expiration);
  return Number.isNaN(expiresAt.getTime()) ? void 0 : { accessKeyId, accessKeySecret, securityToken, expiresAt };
}

// ../shared/client/token-answer.ts
var TOKEN_ANSWER = {
  username: "text",
  password: "secret",
  registry: "text",
  endpoints: "hosts",
  scope: "texts",
  grants: "texts",
  issued_at: "time",
  expires_at: "time",
  expires_in: "seconds",
  refresh_after: "time",
  token_fingerprint: "text",
  request_id: "text"
};
var DISCOVERY = { audience: "text", sts_host: "host" };
var LONGEST_LIFE_SECONDS = 86400;
function readTokenAnswer(answer, reading) {
  return read(answer, TOKEN_ANSWER, reading);
}
function readDiscovery(answer, reading) {
  return read(answer, DISCOVERY, reading);
}
function readAnswer(answer, reading) {
  return read(answer, {}, reading);
}
function read(answer, fields2, reading) {
  const { host: host2, now } = reading;
  if (answer.status !== 200) throw refusal(answer, reading);
  const object = jsonObject(answer);
  if (object === void 0) throw stranger(answer, host2, now);
  const wrong = Object.entries(fields2).find(([name, form]) => !hasForm(object[name], form));
  if (wrong !== void 0) {
    const message = `the answer of ${host2} is not the broker's: its ${wrong[0]} is missing or of another type; check the url`;
    throw new ConnectionError("bad_response", message, { status: answer.status });
  }
  return object;
}
function hasForm(value, form) {
  switch (form) {
    case "secret":
      return typeof value === "string" && value !== "";
    // It goes into files and messages: nothing that would end a line, or move a terminal's cursor.
    case "text":
      return typeof value === "string" && /^[^\p{Cc}\p{Cf}\p{Zl}\p{Zp}]+$/u.test(value);
    case "texts":
      return Array.isArray(value) && value.every((one) => hasForm(one, "text"));
    case "host":
      return typeof value === "string" && /^[A-Za-z0-9.-]{1,253}(?::\d{1,5})?$/.test(value);
    case "hosts":
      return Array.isArray(value) && value.length > 0 && value.every((one) => hasForm(one, "host"));
    case "seconds":
      return Number.isSafeInteger(value) && value >= 0 && value <= LONGEST_LIFE_SECONDS;
    case "time":
      return typeof value === "string" && !Number.isNaN(Date.parse(value));
  }
}
function refusal(answer, { host: host2, now, token = "" }) {
  const { status, headers } = answer;
  const { code, detail, request_id: requestId } = jsonObject(answer) ?? {};
  const isProblem = headers.get("content-type")?.startsWith("application/problem+json") === true;
  if (!isProblem || typeof code !== "string" || !/^[a-z][a-z_]{1,63}$/.test(code) || typeof detail !== "string") {
    return stranger(answer, host2, now);
  }
  return new RefusedError(code, without(token, detail), {
    status,
    requestId: typeof requestId === "string" && /^[A-Za-z0-9._-]{1,128}$/.test(requestId) ? without(token, requestId) : void 0,
    retryAfterSeconds: retryAfterSeconds(headers, now),
    // A cloud that refused will refuse again; all other failures of these kinds pass.
    retryable: isPassing(status) && code !== "upstream_rejected"
  });
}
var TYPES = ["text/html", "text/plain", "application/json", "application/xml"];
function stranger(answer, host2, now) {
  const { status, headers } = answer;
  const { Code, ErrorCode } = jsonObject(answer) ?? {};
  const type = TYPES.find((known) => headers.get("content-type")?.startsWith(known)) ?? "of a type that the broker never sends";
  const code = [Code, ErrorCode].find((one) => typeof one === "string" && /^[A-Z][A-Za-z.]{1,63}$/.test(one));
  const named = code === void 0 ? "" : `, ${code}`;
  const advice = status === 401 || status === 403 ? "; if its HTTP trigger demands a signature (authType: function), configure functionCompute with the caller's RAM keys" : isPassing(status) ? "" : "; check the url";
  return new ConnectionError(
    "bad_response",
    `the answer of ${host2} is not the broker's (status ${status}, ${type}${named})${advice}`,
    { status, retryAfterSeconds: retryAfterSeconds(headers, now), retryable: isPassing(status) }
  );
}
function without(token, text) {
  const parts = [token, ...token.split(".")].filter((part) => part.length >= 16);
  return parts.reduce((left, part) => left.replaceAll(part, "(token)"), text);
}

// ../shared/client/broker-api.ts
var PEER = { name: "the broker" };
var DISCOVERY_MS = 3e5;
function brokerApi(base, functionCompute, clock2, outside) {
  let remembered;
  async function send(path, method, headers, body, signal) {
    const url = new URL(base.pathname.replace(/\/$/, "") + path, base);
    const once = async () => {
      const all = { accept: "application/json", ...headers, ...await signature(method, url, signal) };
      const answer2 = await exchange(
        PEER,
        url,
        { method, headers: all, ...body === "" ? {} : { body } },
        signal,
        outside
      );
      const before = clock2.now().getTime();
      clock2.learn(answer2.headers);
      return { answer: answer2, corrected: Math.abs(clock2.now().getTime() - before) > 3e4 };
    };
    const { answer, corrected } = await once();
    const refused = answer.status === 401 || answer.status === 403 || answer.status === 400;
    return corrected && refused && functionCompute !== void 0 ? (await once()).answer : answer;
  }
  async function signature(method, url, signal) {
    if (functionCompute === void 0) return {};
    const keys = await keysFrom(functionCompute, { now: clock2.now, signal, outside });
    return functionComputeHeaders(method, url, keys, clock2.now());
  }
  async function withCredential(path, credential, body, signal) {
    const header = functionCompute === void 0 ? "authorization" : "x-acr-broker-authorization";
    const headers = { [header]: `Bearer ${credential}`, "content-type": "application/json" };
    const [method, text] = body === void 0 ? ["GET", ""] : ["POST", JSON.stringify(body)];
    const answer = await send(path, method, headers, text, signal);
    return { answer, reading: { host: base.host, now: clock2.now(), token: credential } };
  }
  return {
    async token(fields2, credential, signal) {
      const { answer, reading } = await withCredential("/v1/token", credential, fields2, signal);
      return readTokenAnswer(answer, reading);
    },
    async ask(path, credential, body, signal) {
      const { answer, reading } = await withCredential(path, credential, body, signal);
      return readAnswer(answer, reading);
    },
    async discovery(signal) {
      if (remembered === void 0 || remembered.ageMs() > DISCOVERY_MS) {
        const ageMs = clock2.begin();
        const answer = await send("/.well-known/acr-broker", "GET", {}, "", signal);
        remembered = { document: readDiscovery(answer, { host: base.host, now: clock2.now() }), ageMs };
      }
      return remembered.document;
    }
  };
}
function ownAudience({ audience }, base) {
  const own = URL.canParse(audience) && new URL(audience).host === base.host;
  if (own || isLoopback(base.hostname)) return audience;
  throw new IdentityError(
    "untrusted_audience",
    `the broker at ${base.host} asks for tokens for ${JSON.stringify(audience)}, which is not its own address; if that is right, configure audience with it`
  );
}

// ../shared/client/clock.ts
var LEAST_DIFFERENCE_MS = 3e4;
function clock({ now, monotonicMs }) {
  let aheadMs = 0;
  return {
    begin() {
      const [wall, monotonic] = [now().getTime(), monotonicMs()];
      return () => Math.max(now().getTime() - wall, monotonicMs() - monotonic);
    },
    now: () => new Date(now().getTime() + aheadMs),
    learn(headers) {
      const time = Date.parse(headers.get("date") ?? "");
      if (Number.isNaN(time)) return;
      const difference = time - now().getTime();
      aheadMs = Math.abs(difference) < LEAST_DIFFERENCE_MS ? 0 : difference;
    }
  };
}

// ../shared/client/credentials.ts
var Credentials = class {
  username;
  #password;
  registry;
  /** The hosts that it works at. */
  endpoints;
  /** What was granted, in canonical form, and by which grants. */
  scope;
  grants;
  /** By the broker's clock. */
  issuedAt;
  expiresAt;
  /** From then on asking again gives a new one. */
  refreshAfter;
  /** `sha256:` and the hex SHA-256 of the password: what the broker's log has of it. */
  fingerprint;
  requestId;
  #expiresInMs;
  #ageMs;
  /** `ageMs` counts from when the answer was asked for, so that it never seems to live longer than it does. */
  constructor(answer, ageMs) {
    this.username = answer.username;
    this.#password = answer.password;
    this.registry = answer.registry;
    this.endpoints = answer.endpoints;
    this.scope = answer.scope;
    this.grants = answer.grants;
    this.issuedAt = new Date(answer.issued_at);
    this.expiresAt = new Date(answer.expires_at);
    this.refreshAfter = new Date(answer.refresh_after);
    this.fingerprint = answer.token_fingerprint;
    this.requestId = answer.request_id;
    this.#expiresInMs = answer.expires_in * 1e3;
    this.#ageMs = ageMs;
  }
  get password() {
    return this.#password;
  }
  /** What `console.log` shows. Without this, Node would show what getters answer, if it is told to. */
  [/* @__PURE__ */ Symbol.for("nodejs.util.inspect.custom")](_depth, options, inspect) {
    return `Credentials ${inspect({ ...this, password: "(not shown)" }, options)}`;
  }
  /** Seconds that it still lives; right also where this machine's clock is wrong. Never negative. */
  get expiresInSeconds() {
    return Math.max(0, Math.floor((this.#expiresInMs - this.#ageMs()) / 1e3));
  }
  /** Whether `refreshAfter` has passed. */
  get isDue() {
    const afterMs = this.expiresAt.getTime() - this.refreshAfter.getTime();
    return this.#expiresInMs - this.#ageMs() <= afterMs;
  }
};

// ../shared/client/host.ts
function host() {
  return {
    fetch: (url, init) => globalThis.fetch(url, init),
    now: () => /* @__PURE__ */ new Date(),
    monotonicMs: () => performance.now(),
    sleep,
    random: Math.random,
    newNonce: () => crypto.randomUUID(),
    environment,
    readFile,
    run
  };
}
function environment(name) {
  const { process: process2 } = globalThis;
  try {
    return process2?.env?.[name] || void 0;
  } catch {
    return void 0;
  }
}
function sleep(ms, signal) {
  return new Promise((resolve, reject) => {
    if (signal.aborted) return reject(signal.reason);
    const stop = () => {
      clearTimeout(timer);
      reject(signal.reason);
    };
    const timer = setTimeout(() => {
      signal.removeEventListener("abort", stop);
      resolve();
    }, ms);
    signal.addEventListener("abort", stop, { once: true });
  });
}
async function readFile(path) {
  const file = await (await load("node:fs/promises")).open(path);
  try {
    const bytes2 = new Uint8Array(LARGEST_TOKEN_BYTES + 1);
    let length = 0;
    for (let more = 1; more > 0 && length < bytes2.length; length += more) {
      more = (await file.read(bytes2, length, bytes2.length - length)).bytesRead;
    }
    if (length > LARGEST_TOKEN_BYTES) throw Object.assign(new Error("the file is too large"), { code: "EFBIG" });
    return new TextDecoder().decode(bytes2.subarray(0, length));
  } finally {
    await file.close();
  }
}
var LARGEST_TOKEN_BYTES = 64 * 1024;
async function run(command2, args, signal) {
  const { execFile } = await load("node:child_process");
  return new Promise((resolve, reject) => {
    const options = { signal, maxBuffer: LARGEST_TOKEN_BYTES, windowsHide: true };
    execFile(command2, args, options, (error, stdout) => {
      if (error === null) return resolve(stdout);
      if (signal.aborted) return reject(signal.reason);
      reject(new Error(error.code === "ENOENT" ? "it is not installed" : `it ended with ${String(error.code)}`));
    });
  });
}
async function load(name) {
  return await import(
    /* webpackIgnore: true */
    /* @vite-ignore */
    name
  );
}

// ../shared/client/ram/ecs-role.ts
var PEER2 = { name: "the metadata service", timeoutMs: 1e3 };
var TOKEN_SECONDS = "60";
function ecsRole({ role, metadataUrl = "http://100.100.100.200" } = {}) {
  return sessionKeys("the RAM role of this ECS instance", async ({ signal, outside }) => {
    const ask = async (path, init2) => {
      const answer = await exchange(PEER2, new URL(`/latest/${path}`, metadataUrl), init2, signal, outside);
      if (answer.status === 200) return answer;
      const why = answer.status === 404 ? "; has the instance a RAM role?" : "";
      throw new IdentityError("identity_failed", `${PEER2.name} gave no keys (status ${answer.status})${why}`, {
        status: answer.status,
        retryable: isPassing(answer.status)
      });
    };
    const ttl = { "x-aliyun-ecs-metadata-token-ttl-seconds": TOKEN_SECONDS };
    const { text: session } = await ask("api/token", { method: "PUT", headers: ttl });
    const init = { headers: { "x-aliyun-ecs-metadata-token": session.trim() } };
    const roles = "meta-data/ram/security-credentials/";
    const name = role ?? (await ask(roles, init)).text.trim();
    if (!/^[A-Za-z0-9._-]{1,64}$/.test(name)) {
      throw new IdentityError("identity_failed", `${PEER2.name} named no role; has the instance one?`);
    }
    const keys = readSessionKeys(jsonObject(await ask(roles + name, init)));
    if (keys === void 0)
      throw new IdentityError("identity_failed", `${PEER2.name} gave no keys for the role ${name}`);
    return keys;
  });
}

// ../shared/client/identity/file.ts
function tokenFile(path) {
  return { name: `the file ${path}`, token: ({ outside }) => readTokenFile(path, outside) };
}
var KUBERNETES_TOKEN_FILE = "/var/run/secrets/acr-broker/token";
function kubernetes(path = KUBERNETES_TOKEN_FILE) {
  return { ...tokenFile(path), name: `the service-account token ${path}` };
}
async function readTokenFile(path, { readFile: readFile2 }) {
  try {
    return await readFile2(path);
  } catch (error) {
    const { code } = error;
    const why = typeof code === "string" && /^E[A-Z]{2,20}$/.test(code) ? code : "this runtime could not read it";
    throw new IdentityError("identity_failed", `the token file ${path} could not be read: ${why}`);
  }
}

// ../shared/client/ram/rrsa.ts
var PEER3 = { name: "STS" };
var SESSION_NAME = "acr-token-broker";
function rrsa({ stsUrl } = {}) {
  return sessionKeys("RRSA", async ({ signal, outside, now }) => {
    const variable = (name) => {
      const value = outside.environment(name);
      if (value === void 0) throw new IdentityError("no_identity", `RRSA needs ${name}, which ACK sets in the pod`);
      return value;
    };
    const url = new URL(stsUrl ?? stsOf(outside));
    const common = { Action: "AssumeRoleWithOIDC", Version: "2015-04-01", Format: "JSON", Timestamp: acsDate(now()) };
    url.search = new URLSearchParams(common).toString();
    const body = new URLSearchParams({
      RoleArn: variable("ALIBABA_CLOUD_ROLE_ARN"),
      OIDCProviderArn: variable("ALIBABA_CLOUD_OIDC_PROVIDER_ARN"),
      OIDCToken: (await readTokenFile(variable("ALIBABA_CLOUD_OIDC_TOKEN_FILE"), outside)).trim(),
      RoleSessionName: outside.environment("ALIBABA_CLOUD_ROLE_SESSION_NAME") ?? SESSION_NAME
    });
    const headers = { "content-type": "application/x-www-form-urlencoded", accept: "application/json" };
    const answer = await exchange(PEER3, url, { method: "POST", headers, body: body.toString() }, signal, outside);
    const { Credentials: Credentials2, Code } = jsonObject(answer) ?? {};
    const keys = answer.status === 200 ? readSessionKeys(Credentials2) : void 0;
    if (keys !== void 0) return keys;
    const code = typeof Code === "string" && /^[A-Z][A-Za-z.]{1,99}$/.test(Code) ? Code : `status ${answer.status}`;
    throw new IdentityError("identity_failed", `${PEER3.name} did not give this pod its role: ${code}`, {
      status: answer.status,
      retryable: isPassing(answer.status) || answer.status >= 500
    });
  });
}
function stsOf({ environment: environment2 }) {
  const region = environment2("ALIBABA_CLOUD_STS_REGION");
  if (region === void 0) return "https://sts.aliyuncs.com";
  if (!/^[a-z0-9-]{1,40}$/.test(region)) {
    throw new IdentityError("identity_failed", "ALIBABA_CLOUD_STS_REGION is no region's name");
  }
  const vpc = environment2("ALIBABA_CLOUD_VPC_ENDPOINT_ENABLED")?.toLowerCase() === "true" ? "-vpc" : "";
  return `https://sts${vpc}.${region}.aliyuncs.com`;
}

// ../shared/client/identity/variable.ts
function tokenVariable(name) {
  return {
    name: `the variable ${name}`,
    token: async ({ outside }) => {
      const token = outside.environment(name);
      if (token === void 0) throw new IdentityError("no_identity", `the variable ${name} is not set, or is empty`);
      return token;
    }
  };
}
function gitlab(variable = "ACR_BROKER_TOKEN") {
  return { ...tokenVariable(variable), name: `GitLab CI (id_tokens: ${variable})` };
}

// ../shared/client/identity/command.ts
function buildkite({ claims = [] } = {}) {
  return {
    name: "Buildkite",
    token: async (context) => {
      const asked = claims.flatMap((claim) => ["--claim", claim]);
      return printed(context, "buildkite-agent", [
        "oidc",
        "request-token",
        "--audience",
        await context.audience(),
        ...asked
      ]);
    }
  };
}
function circleci({ ask = false } = {}) {
  if (!ask) return { ...tokenVariable("CIRCLE_OIDC_TOKEN_V2"), name: "CircleCI" };
  return {
    name: "CircleCI",
    token: async (context) => {
      const claims = JSON.stringify({ aud: await context.audience() });
      return printed(context, "circleci", ["run", "oidc", "get", "--claims", claims]);
    }
  };
}
async function printed({ outside, signal }, command2, args) {
  try {
    return await outside.run(command2, args, signal);
  } catch (error) {
    if (signal.aborted) throw signal.reason;
    const why = error instanceof Error && /^it /.test(error.message) ? error.message : "this runtime could not run it";
    throw new IdentityError("identity_failed", `${command2} gave no token: ${why}`);
  }
}

// ../shared/client/identity/github-actions.ts
var PEER4 = { name: "GitHub's token service" };
function githubActions() {
  return {
    name: "GitHub Actions",
    async token({ audience, outside, signal }) {
      const [address, requestToken] = [
        outside.environment("ACTIONS_ID_TOKEN_REQUEST_URL"),
        outside.environment("ACTIONS_ID_TOKEN_REQUEST_TOKEN")
      ];
      if (address === void 0 || requestToken === void 0) {
        throw new IdentityError(
          "no_identity",
          "GitHub gives this job no token; add permissions: { id-token: write } to it"
        );
      }
      if (!URL.canParse(address) || !isPrivate(new URL(address))) {
        throw new IdentityError("identity_failed", "ACTIONS_ID_TOKEN_REQUEST_URL is no https address");
      }
      const url = new URL(address);
      url.searchParams.set("audience", await audience());
      const headers = { authorization: `Bearer ${requestToken}`, accept: "application/json" };
      const answer = await exchange(PEER4, url, { headers }, signal, outside);
      const value = answer.status === 200 ? jsonObject(answer)?.["value"] : void 0;
      if (typeof value === "string") return value;
      throw new IdentityError("identity_failed", `${PEER4.name} gave no token (status ${answer.status})`, {
        status: answer.status,
        retryable: isPassing(answer.status) || answer.status >= 500
      });
    }
  };
}

// ../shared/client/identity/signed.ts
var EMPTY_BODY = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
function signedIdentity(source) {
  return {
    name: source.name,
    async token(context) {
      const [audience, host2] = [await context.audience(), await context.stsHost()];
      const keys = await keysFrom(source, context);
      const { accessKeyId, securityToken } = keys;
      const [date, nonce] = [acsDate(context.now()), context.outside.newNonce()];
      const headers = {
        host: host2,
        "x-acs-action": "GetCallerIdentity",
        "x-acs-content-sha256": EMPTY_BODY,
        "x-acs-date": date,
        ...securityToken === void 0 ? {} : { "x-acs-security-token": securityToken },
        "x-acs-signature-nonce": nonce,
        "x-acs-version": "2015-04-01"
      };
      const query = { BrokerAudience: audience };
      const { signature } = await signed({ method: "POST", pathname: "/", query, headers, payload: EMPTY_BODY }, keys);
      const token = securityToken === void 0 ? {} : { security_token: securityToken };
      return `acs1.${base64url(JSON.stringify({ access_key_id: accessKeyId, ...token, date, nonce, audience, signature }))}`;
    }
  };
}
function base64url(text) {
  const binary = String.fromCharCode(...bytes(text));
  return btoa(binary).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
}

// ../shared/client/identity/detect.ts
var CI_ADVICE = [
  ["GITHUB_ACTIONS", "in GitHub Actions, give the job permissions: { id-token: write }"],
  ["GITLAB_CI", "in GitLab CI, give the job id_tokens: { ACR_BROKER_TOKEN: { aud: <the broker's audience> } }"],
  [
    "BUILDKITE",
    "on Buildkite, let the job have BUILDKITE_AGENT_ACCESS_TOKEN and buildkite-agent (in a container: propagate them)"
  ],
  ["CIRCLECI", "on CircleCI, give the job a context: without one it has no CIRCLE_OIDC_TOKEN_V2"]
];
var ADVICE = "set ACR_BROKER_TOKEN or ACR_BROKER_TOKEN_FILE, or pass identity in a program";
async function detectIdentity(outside = host()) {
  const has = (name) => outside.environment(name) !== void 0;
  if (has("ACR_BROKER_TOKEN")) return has("GITLAB_CI") ? gitlab() : tokenVariable("ACR_BROKER_TOKEN");
  const file = outside.environment("ACR_BROKER_TOKEN_FILE");
  if (file !== void 0) return tokenFile(file);
  if (has("ACTIONS_ID_TOKEN_REQUEST_URL") && has("ACTIONS_ID_TOKEN_REQUEST_TOKEN")) return githubActions();
  if (has("BUILDKITE_AGENT_ACCESS_TOKEN")) return buildkite();
  if (has("CIRCLE_OIDC_TOKEN_V2")) return circleci();
  if (await canRead(KUBERNETES_TOKEN_FILE, outside)) return kubernetes();
  if (has("ALIBABA_CLOUD_ACCESS_KEY_ID") && has("ALIBABA_CLOUD_ACCESS_KEY_SECRET"))
    return signedIdentity(environmentKeys());
  if (has("ALIBABA_CLOUD_OIDC_TOKEN_FILE") && has("ALIBABA_CLOUD_OIDC_PROVIDER_ARN") && has("ALIBABA_CLOUD_ROLE_ARN")) {
    return signedIdentity(rrsa());
  }
  const ci = CI_ADVICE.find(([variable]) => has(variable));
  if (ci !== void 0) throw nothing(`${ci[1]}; or set ACR_BROKER_TOKEN`);
  if (outside.environment("ALIBABA_CLOUD_ECS_METADATA_DISABLED")?.toLowerCase() === "true") {
    throw nothing(ADVICE);
  }
  return machineRole(outside.environment("ALIBABA_CLOUD_ECS_METADATA"));
}
function machineRole(role) {
  const { name, keys } = ecsRole(role === void 0 ? {} : { role });
  return signedIdentity({
    name,
    async keys(context) {
      try {
        return await keys(context);
      } catch (error) {
        if (error instanceof ConnectionError) throw nothing(`${ADVICE}; this is no ECS instance either`);
        if (error instanceof IdentityError && !error.retryable && role === void 0) {
          const status = error.status === void 0 ? "" : ` (status ${error.status})`;
          throw nothing(`${ADVICE}; the metadata service has no RAM role for this machine either${status}`);
        }
        throw error;
      }
    }
  });
}
async function canRead(path, { readFile: readFile2 }) {
  try {
    return (await readFile2(path)).trim() !== "";
  } catch {
    return false;
  }
}
function nothing(advice) {
  return new IdentityError("no_identity", `no identity was found to show to the broker; ${advice}`);
}

// ../shared/client/identity/identity.ts
function identitySource(identity) {
  if (typeof identity === "object") return identity;
  if (typeof identity === "function")
    return { name: "the identity function", token: async (context) => identity(context) };
  return { name: "the identity string", token: async () => identity };
}
async function tokenFrom(source, context) {
  const given = await source.token(context);
  const token = typeof given === "string" ? given.trim() : "";
  if (token === "" || /^(?:null|undefined|none)$/i.test(token)) {
    throw new IdentityError(
      "no_identity",
      `${source.name} gave no token: it was ${token === "" ? "empty" : `the word ${token}`}`
    );
  }
  if (!/^[\x21-\x7e]+$/.test(token)) {
    throw new IdentityError(
      "identity_failed",
      `what ${source.name} gave is no token: ${/^bearer\s/i.test(token) ? "leave out the word Bearer before it" : "it has spaces or other characters in it that a token never has"}`
    );
  }
  return token;
}

// ../shared/client/request.ts
var LEAST_LIFE_SECONDS = 60;
var FIELDS = ["registry", "scope", "grant", "ttl", "minTtl", "signal"];
function refuseUnknown(what, given, known) {
  const unknown = Object.keys(given).find((name) => !known.includes(name));
  if (unknown !== void 0) {
    throw new OptionsError(`${JSON.stringify(unknown)} is no ${what}; there is ${known.join(", ")}`);
  }
}
function readRequest(request) {
  refuseUnknown("field of a request", request, FIELDS);
  const { registry, scope, grant, ttl, minTtl } = request;
  if (registry !== void 0) checkName("registry", registry);
  const seconds = { ttl, minTtl };
  for (const [name, value] of Object.entries(seconds)) {
    if (value !== void 0 && !(Number.isSafeInteger(value) && value >= 0)) {
      throw new OptionsError(`${name} must be a whole number of seconds`);
    }
  }
  const fields2 = {
    ...registry === void 0 ? {} : { registry },
    ...wanted(scope, grant),
    ...ttl === void 0 ? {} : { ttl }
  };
  return {
    fields: minTtl === void 0 ? fields2 : { ...fields2, min_ttl: minTtl },
    minTtlSeconds: minTtl ?? LEAST_LIFE_SECONDS,
    key: JSON.stringify([registry ?? null, fields2.scope ?? null, grant ?? null, ttl ?? null])
  };
}
function wanted(scope, grant) {
  if (grant !== void 0) {
    checkName("grant", grant);
    if (scope !== void 0)
      throw new OptionsError("ask for scope or grant, not both: grant means all that the grant gives");
    return { grant };
  }
  const texts = typeof scope === "string" ? [scope] : scope;
  const isList = Array.isArray(texts) && texts.every((text) => typeof text === "string");
  const scopes = isList ? texts.flatMap((text) => text.split(/\s+/)).filter((text) => text !== "") : [];
  if (scopes.length === 0) {
    throw new OptionsError(
      'nothing was asked for, and that never means everything; give scope ("repository:<namespace>/<repository>:pull") or grant'
    );
  }
  return { scope: [...new Set(scopes.map(inOrder))].sort() };
}
function inOrder(scope) {
  const colon = scope.lastIndexOf(":");
  return `${scope.slice(0, colon + 1)}${scope.slice(colon + 1).split(",").sort().join(",")}`;
}
function checkName(field, name) {
  if (typeof name !== "string" || name === "") throw new OptionsError(`${field} must be a name, and not empty`);
}

// ../shared/client/single-flight.ts
function singleFlight() {
  const flights = /* @__PURE__ */ new Map();
  function begin(key, start) {
    const controller = new AbortController();
    const result = start(controller.signal).finally(() => {
      if (flights.get(key) === flight) flights.delete(key);
    });
    const flight = { result, controller, waiting: 0 };
    flights.set(key, flight);
    return flight;
  }
  return (key, signal, start) => {
    if (signal?.aborted) return Promise.reject(signal.reason);
    const flight = flights.get(key) ?? begin(key, start);
    flight.waiting++;
    return new Promise((resolve, reject) => {
      const leave = () => {
        reject(signal?.reason);
        if (--flight.waiting > 0) return;
        if (flights.get(key) === flight) flights.delete(key);
        flight.controller.abort(signal?.reason);
      };
      signal?.addEventListener("abort", leave, { once: true });
      flight.result.then(resolve, reject).finally(() => signal?.removeEventListener("abort", leave));
    });
  };
}

// ../shared/client/acr-broker.ts
var OPTIONS = ["url", "identity", "audience", "functionCompute", "deadlineSeconds", "outside"];
var DEADLINE_SECONDS = 30;
var REFRESH_PAUSE_MS = 1e4;
var MOST_CACHED = 1e3;
var AcrBroker = class {
  url;
  #base;
  #audience;
  #deadlineMs;
  #outside;
  #clock;
  #api;
  #cache = /* @__PURE__ */ new Map();
  #flights = singleFlight();
  /** How long ago a refresh failed, by request. */
  #failedRefreshes = /* @__PURE__ */ new Map();
  #identity;
  /** @throws OptionsError */
  constructor(options = {}) {
    const { identity, audience, functionCompute, deadlineSeconds = DEADLINE_SECONDS, outside } = options;
    this.#outside = { ...host(), ...outside };
    this.#base = readUrl(options.url ?? this.#outside.environment("ACR_BROKER_URL"));
    this.url = this.#base.href;
    if (!(deadlineSeconds > 0 && deadlineSeconds <= 3600)) {
      throw new OptionsError("deadlineSeconds must be more than 0 and at most 3600");
    }
    refuseUnknown("option", options, OPTIONS);
    if (identity === "" || "identity" in options && identity === void 0) {
      throw new OptionsError("identity is empty; is the variable set that it comes from?");
    }
    this.#deadlineMs = deadlineSeconds * 1e3;
    this.#audience = audience;
    this.#identity = identity === void 0 ? void 0 : identitySource(identity);
    this.#clock = clock(this.#outside);
    this.#api = brokerApi(this.#base, functionCompute, this.#clock, this.#outside);
  }
  /**
   * Credentials for what `request` names, from the cache while they live for `minTtl` seconds. Past `refreshAfter` a cached one is
   * still handed over, and a new one fetched beside it.
   * @throws AcrBrokerError; the signal's reason when that is aborted
   */
  async credentials(request) {
    const { signal } = request;
    const wanted2 = readRequest(request);
    signal?.throwIfAborted();
    const cached = this.#cached(wanted2);
    if (cached === void 0) return this.#fetch(wanted2, signal);
    if (cached.isDue) this.#refresh(wanted2);
    return cached;
  }
  #cached({ key, minTtlSeconds }) {
    const cached = this.#cache.get(key);
    if (cached === void 0) return void 0;
    this.#cache.delete(key);
    if (cached.expiresInSeconds === 0) return void 0;
    this.#cache.set(key, cached);
    return cached.expiresInSeconds >= minTtlSeconds ? cached : void 0;
  }
  /** Whoever asks meanwhile has credentials that are good, so a failure is nobody's; it only has the next try wait. */
  #refresh(wanted2) {
    const { key } = wanted2;
    const sinceMs = this.#failedRefreshes.get(key)?.();
    if (sinceMs !== void 0 && sinceMs < REFRESH_PAUSE_MS) return;
    this.#fetch(wanted2, void 0).then(
      () => this.#failedRefreshes.delete(key),
      () => this.#failedRefreshes.set(key, this.#clock.begin())
    );
  }
  #fetch(wanted2, signal) {
    const { key, fields: fields2 } = wanted2;
    return this.#flights(`${key} ${fields2.min_ttl}`, signal, async (shared) => {
      const credentials = await withinDeadline(
        this.#deadlineMs,
        shared,
        this.#outside,
        (until) => this.#attempt(wanted2, until)
      );
      this.#cache.delete(key);
      this.#cache.set(key, credentials);
      const [oldest] = this.#cache.keys();
      if (this.#cache.size > MOST_CACHED) this.#forget(oldest);
      return credentials;
    });
  }
  #forget(key) {
    this.#cache.delete(key);
    this.#failedRefreshes.delete(key);
  }
  /** With a token of its own, since it may be good only once; and with another, once, where it has been used or has ended. */
  async #attempt({ fields: fields2 }, signal) {
    const context = this.#context(signal);
    this.#identity ??= await detectIdentity(this.#outside);
    const ask = async (token2) => {
      const ageMs = this.#clock.begin();
      return new Credentials(await this.#api.token(fields2, token2, signal), ageMs);
    };
    const token = await tokenFrom(this.#identity, context);
    try {
      return await ask(token);
    } catch (error) {
      if (!(error instanceof RefusedError) || !/^token_(?:expired|replayed)$/.test(error.code)) throw error;
      const another = await tokenFrom(this.#identity, context);
      if (another === token) throw error;
      return ask(another);
    }
  }
  #context(signal) {
    const discovery = () => this.#api.discovery(signal);
    return {
      audience: async () => this.#audience ?? ownAudience(await discovery(), this.#base),
      stsHost: async () => (await discovery()).sts_host,
      now: this.#clock.now,
      signal,
      outside: this.#outside
    };
  }
};
function readUrl(given) {
  if (given === void 0) throw new OptionsError("which broker? pass url, or set ACR_BROKER_URL");
  const text = String(given);
  const full = "write it in full, as https://acr-broker.example.com";
  if (!URL.canParse(text)) throw new OptionsError(`url is ${JSON.stringify(text)}; ${full}`);
  const url = new URL(text);
  if (!/^https?:$/.test(url.protocol)) throw new OptionsError(`url does not begin with https://; ${full}`);
  if (url.username !== "" || url.password !== "")
    throw new OptionsError("url has a user name or a password in it; leave them out");
  if (!isPrivate(url))
    throw new OptionsError(
      "url begins with http://; write https://: credentials go over https only, but to this machine"
    );
  if (url.search !== "" || url.hash !== "" || !/^[A-Za-z0-9._~/-]*$/.test(url.pathname)) {
    throw new OptionsError("url must be the broker's address alone, without a query or a fragment");
  }
  const [route] = /\/(?:v1\/[a-z]+|oauth2\/token)\/?$/.exec(url.pathname) ?? [];
  if (route !== void 0) throw new OptionsError(`url must be the broker's address alone; leave out ${route}`);
  return url;
}

// docker-config.ts
var import_node_fs = require("node:fs");
var import_node_path = require("node:path");
function basicAuth({ username, password }) {
  return Buffer.from(`${username}:${password}`).toString("base64");
}
function writeLogin(folder, before, login) {
  const config = readConfig((0, import_node_path.join)(before, "config.json"));
  const auths = fields(config["auths"]);
  const helpers = fields(config["credHelpers"]);
  for (const host2 of login.endpoints) {
    auths[host2] = { auth: basicAuth(login) };
    if (config["credsStore"] || helpers[host2] !== void 0) helpers[host2] = "";
  }
  const merged = { ...config, auths, ...Object.keys(helpers).length > 0 ? { credHelpers: helpers } : {} };
  (0, import_node_fs.writeFileSync)((0, import_node_path.join)(folder, "config.json"), JSON.stringify(merged), { mode: 384 });
  (0, import_node_fs.writeFileSync)((0, import_node_path.join)(folder, "auth.json"), JSON.stringify({ auths }), { mode: 384 });
  if (!(0, import_node_fs.existsSync)(before)) return;
  for (const entry of (0, import_node_fs.readdirSync)(before, { withFileTypes: true })) {
    if (entry.isDirectory()) (0, import_node_fs.symlinkSync)((0, import_node_path.join)(before, entry.name), (0, import_node_path.join)(folder, entry.name), "junction");
  }
}
function readConfig(file) {
  if (!(0, import_node_fs.existsSync)(file)) return {};
  const text = (0, import_node_fs.readFileSync)(file, "utf8");
  try {
    const config = text.trim() === "" ? {} : JSON.parse(text);
    if (isFields(config) && [config["auths"], config["credHelpers"]].every((one) => one === void 0 || isFields(one)))
      return config;
  } catch {
  }
  throw new Error(`${file} is no Docker configuration`);
}
function fields(value) {
  return isFields(value) ? { ...value } : {};
}
function isFields(value) {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

// runner.ts
var import_node_crypto = require("node:crypto");
var import_node_fs2 = require("node:fs");
function input(name) {
  return (process.env[`INPUT_${name.toUpperCase()}`] ?? "").trim();
}
function mask(secret) {
  command("add-mask", secret);
}
function say(text) {
  process.stdout.write(`acr-login: ${text.replaceAll(new RegExp("\\p{Cc}+", "gu"), " ")}
`);
}
function fail(message) {
  command("error", message);
  process.exitCode = 1;
}
function setOutput(name, value) {
  append("GITHUB_OUTPUT", name, value);
}
function exportVariable(name, value) {
  append("GITHUB_ENV", name, value);
}
function saveState(name, value) {
  append("GITHUB_STATE", name, value);
}
function command(name, text) {
  const escaped = text.replaceAll("%", "%25").replaceAll("\r", "%0D").replaceAll("\n", "%0A");
  process.stdout.write(`::${name}::${escaped}
`);
}
function append(variable, name, value) {
  const file = process.env[variable];
  if (file === void 0) throw new Error(`${variable} is not set; this runs as a step of GitHub Actions only`);
  const end = `ghadelimiter_${(0, import_node_crypto.randomUUID)()}`;
  (0, import_node_fs2.appendFileSync)(file, `${name}<<${end}
${value}
${end}
`);
}

// main.ts
async function logIn() {
  const [audience, scope, grant, registry, ttl] = ["audience", "scope", "grant", "registry", "ttl"].map(input);
  if (ttl && !/^\d+$/.test(ttl)) throw new Error(`ttl is ${JSON.stringify(ttl)}; it must be a number of seconds`);
  const logout = input("logout") || "true";
  if (!/^(?:true|false)$/.test(logout))
    throw new Error(`logout is ${JSON.stringify(logout)}; it must be true or false`);
  const broker = new AcrBroker({
    url: input("url"),
    identity: async (context) => {
      const token = await githubActions().token(context);
      mask(token);
      return token;
    },
    ...audience ? { audience } : {}
  });
  const credentials = await broker.credentials({
    ...scope ? { scope } : {},
    ...grant ? { grant } : {},
    ...registry ? { registry } : {},
    ...ttl ? { ttl: Number(ttl) } : {}
  });
  mask(credentials.password);
  const { username, password, expiresAt } = credentials;
  const login = { username, password, endpoints: chosen(credentials.endpoints) };
  mask(basicAuth(login));
  const folder = (0, import_node_fs3.mkdtempSync)((0, import_node_path2.join)(process.env["RUNNER_TEMP"] || (0, import_node_os.tmpdir)(), "acr-login-"));
  if (logout === "true") saveState("folder", folder);
  writeLogin(folder, process.env["DOCKER_CONFIG"] || (0, import_node_path2.join)((0, import_node_os.homedir)(), ".docker"), login);
  exportVariable("DOCKER_CONFIG", folder);
  exportVariable("REGISTRY_AUTH_FILE", (0, import_node_path2.join)(folder, "auth.json"));
  setOutput("username", username);
  setOutput("password", password);
  setOutput("registry", credentials.registry);
  setOutput("endpoints", login.endpoints.join(" "));
  setOutput("expires-at", expiresAt.toISOString());
  say(`logged in to ${login.endpoints.join(", ")} until ${expiresAt.toISOString()}`);
}
function chosen(endpoints) {
  const wanted2 = input("endpoints").split(/[\s,]+/).filter((host2) => host2 !== "");
  const stranger2 = wanted2.find((host2) => !endpoints.includes(host2));
  if (stranger2 !== void 0) throw new Error(`endpoints has ${stranger2}; the registry has ${endpoints.join(", ")}`);
  return wanted2.length === 0 ? endpoints : wanted2;
}
logIn().catch((error) => {
  if (!(error instanceof AcrBrokerError)) return fail(error instanceof Error ? error.message : "the login failed");
  const { code, message, requestId } = error;
  return fail(`${code}: ${message}${requestId === void 0 ? "" : ` (request_id ${requestId})`}`);
});
