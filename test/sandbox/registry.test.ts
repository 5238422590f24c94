/** The in-process registry over HTTP: first who may, then the distribution protocol itself. */
import { randomBytes } from "node:crypto";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type Cloud, startCloud } from "./cloud.ts";
import { digestOf } from "./image-store.ts";
import { createRealm } from "./realm.ts";
import { createOciRegistry } from "./registry.ts";

let cloud: Cloud;
let now = new Date("2026-11-23T12:00:00Z");

beforeAll(async () => {
  const realm = createRealm({ issuer: "realm.test", service: "registry.test", now: () => now });
  const registry = createOciRegistry({ realm });
  const expiresAt = new Date(now.getTime() + 900_000);
  // The password is what it allows: `ns/repo=pull,push ns/other=pull`.
  const login = (_username: string, rights: string) => ({
    arn: "acs:ram::1:user/me",
    instanceId: "cri-abc123",
    expiresAt,
    allows: (action: string, repository: string) =>
      rights.split(" ").some((right) => {
        const [name, actions = ""] = right.split("=");
        return name === repository && actions.split(",").includes(action);
      }),
  });
  cloud = await startCloud({
    now: () => now,
    handlers: [(request, response, real) => realm.handler(request, response, { ...real, login }), registry],
  });
});
afterAll(() => cloud.close());

async function tokenFor(rights: string): Promise<string> {
  const url = new URL("/token?service=registry.test", cloud.url);
  for (const right of rights.split(" ")) url.searchParams.append("scope", `repository:${right.replace("=", ":")}`);
  const headers = { authorization: `Basic ${Buffer.from(`me:${rights}`).toString("base64")}` };
  return ((await (await fetch(url, { headers })).json()) as { token: string }).token;
}

type Call = (
  method: string,
  path: string,
  body?: Buffer | string,
  headers?: Record<string, string>,
) => Promise<Response>;

/** Calls the registry with these rights; `undefined`: without a token. */
async function caller(rights: string | undefined): Promise<Call> {
  const authorization = rights === undefined ? undefined : `Bearer ${await tokenFor(rights)}`;
  return (method, path, body, headers = {}) =>
    fetch(new URL(path, cloud.url), {
      method,
      headers: { ...headers, ...(authorization && { authorization }) },
      ...(body !== undefined && { body }),
    });
}

async function pushBlob(call: Call, repository: string, content: Buffer): Promise<string> {
  const digest = digestOf(content);
  const response = await call("POST", `/v2/${repository}/blobs/uploads/?digest=${digest}`, content);
  expect(response.status).toBe(201);
  return digest;
}

async function codeOf(response: Response): Promise<string> {
  const body = (await response.json()) as { errors: [{ code: string }] };
  return `${response.status} ${body.errors[0].code}`;
}

function manifestOf(digest: string): string {
  const blob = { mediaType: "application/octet-stream", digest, size: 1 };
  return JSON.stringify({ schemaVersion: 2, mediaType: MANIFEST, config: blob, layers: [blob] });
}
const MANIFEST = "application/vnd.oci.image.manifest.v1+json";
const AS_MANIFEST = { "content-type": MANIFEST };

describe("authorisation", () => {
  test("without a token the challenge names realm, service and the scope needed", async () => {
    const call = await caller(undefined);
    const challenged = async (method: string, path: string) => {
      const response = await call(method, path);
      expect(await codeOf(response)).toBe("401 UNAUTHORIZED");
      return response.headers.get("www-authenticate");
    };
    const bearer = `Bearer realm="${cloud.url}/token",service="registry.test"`;
    expect(await challenged("GET", "/v2/")).toBe(bearer);
    expect(await challenged("GET", "/v2/web/app/manifests/1")).toBe(`${bearer},scope="repository:web/app:pull"`);
    expect(await challenged("POST", "/v2/web/app/blobs/uploads/")).toBe(
      `${bearer},scope="repository:web/app:pull,push"`,
    );
  });

  test("any valid token passes the ping", async () => {
    const response = await (await caller("web/app=pull"))("GET", "/v2/");
    expect(response.status).toBe(200);
    expect(response.headers.get("docker-distribution-api-version")).toBe("registry/2.0");
  });

  test.each([
    ["a push with a pull-only token", "web/app=pull", "POST", "/v2/web/app/blobs/uploads/"],
    ["a tag with a pull-only token", "web/app=pull", "PUT", "/v2/web/app/manifests/1"],
    ["a pull with a push-only token", "web/app=push", "GET", "/v2/web/app/tags/list"],
    ["the state of an upload with a pull-only token", "web/app=pull", "GET", "/v2/web/app/blobs/uploads/1"],
    ["another repository", "web/app=pull,push", "GET", "/v2/web/app2/tags/list"],
    ["another namespace", "web/app=pull,push", "GET", "/v2/base/app/tags/list"],
  ])("%s is refused as insufficient", async (_, rights, method, path) => {
    const response = await (await caller(rights))(method, path);
    expect(await codeOf(response)).toBe("401 DENIED");
    expect(response.headers.get("www-authenticate")).toContain(',error="insufficient_scope"');
  });

  test("an expired or forged token is invalid, not insufficient", async () => {
    const call = await caller("web/app=pull");
    const start = now;
    now = new Date(start.getTime() + 60_000);
    const expired = await call("GET", "/v2/");
    now = start;
    expect(await codeOf(expired)).toBe("401 UNAUTHORIZED");
    expect(expired.headers.get("www-authenticate")).toContain('error="invalid_token"');
    expect((await fetch(`${cloud.url}/v2/`, { headers: { authorization: "Bearer x.y.z" } })).status).toBe(401);
  });
});

describe("blobs", () => {
  test("in chunks: POST, PATCH in order, PUT; then HEAD and GET", async () => {
    const call = await caller("web/app=pull,push");
    const content = randomBytes(300_000);
    const digest = digestOf(content);
    const started = await call("POST", "/v2/web/app/blobs/uploads/");
    expect(started.status).toBe(202);
    const upload = started.headers.get("location") ?? "";

    const first = await call("PATCH", upload, content.subarray(0, 100_000), { "content-range": "0-99999" });
    expect(first.status).toBe(202);
    expect(first.headers.get("range")).toBe("0-99999");
    const wrong = await call("PATCH", upload, content.subarray(0, 10), { "content-range": "5-14" });
    expect(await codeOf(wrong)).toBe("416 BLOB_UPLOAD_INVALID");
    expect((await call("GET", upload)).headers.get("range")).toBe("0-99999");
    const finished = await call("PUT", `${upload}?digest=${digest}`, content.subarray(100_000));
    expect(finished.status).toBe(201);
    expect(finished.headers.get("location")).toBe(`/v2/web/app/blobs/${digest}`);

    const head = await call("HEAD", `/v2/web/app/blobs/${digest}`);
    expect([head.headers.get("content-length"), head.headers.get("docker-content-digest")]).toEqual(["300000", digest]);
    const received = await (await call("GET", `/v2/web/app/blobs/${digest}`)).arrayBuffer();
    expect(content.equals(Buffer.from(received))).toBe(true);
  });

  test("a digest that is not the content's is refused and leaves nothing behind", async () => {
    const call = await caller("web/app=pull,push");
    const digest = digestOf(Buffer.from("what was promised"));
    const wrong = await call("POST", `/v2/web/app/blobs/uploads/?digest=${digest}`, "something else");
    expect(await codeOf(wrong)).toBe("400 DIGEST_INVALID");
    expect(await codeOf(await call("GET", `/v2/web/app/blobs/${digest}`))).toBe("404 BLOB_UNKNOWN");
    expect(await codeOf(await call("POST", "/v2/web/app/blobs/uploads/?digest=md5:1", "x"))).toBe("400 DIGEST_INVALID");
  });

  test("an upload cannot be continued from another repository", async () => {
    const call = await caller("web/app=push web/other=push");
    const location = (await call("POST", "/v2/web/app/blobs/uploads/")).headers.get("location") ?? "";
    const elsewhere = await call("PATCH", location.replace("web/app", "web/other"), "x");
    expect(await codeOf(elsewhere)).toBe("404 BLOB_UPLOAD_UNKNOWN");
  });

  test("a blob is visible only in the repositories that hold it", async () => {
    const digest = await pushBlob(await caller("secret/vault=push"), "secret/vault", randomBytes(10));
    const response = await (await caller("web/app=pull"))("GET", `/v2/web/app/blobs/${digest}`);
    expect(await codeOf(response)).toBe("404 BLOB_UNKNOWN");
  });

  test("a mount needs pull on the source; otherwise it becomes an upload", async () => {
    const digest = await pushBlob(await caller("base/os=push"), "base/os", randomBytes(10));
    const mount = `/v2/web/mounted/blobs/uploads/?mount=${digest}&from=base/os`;
    expect((await (await caller("web/mounted=push"))("POST", mount)).status).toBe(202);

    const call = await caller("web/mounted=pull,push base/os=pull");
    expect((await call("POST", mount)).status).toBe(201);
    expect((await call("HEAD", `/v2/web/mounted/blobs/${digest}`)).status).toBe(200);
    const missing = mount.replace(digest, digestOf(randomBytes(10)));
    expect((await call("POST", missing)).status).toBe(202);
  });
});

describe("manifests and tags", () => {
  test("by tag and by digest, byte for byte, with its media type", async () => {
    const call = await caller("web/app=pull,push");
    const manifest = manifestOf(await pushBlob(call, "web/app", randomBytes(10)));
    const digest = digestOf(Buffer.from(manifest));
    const put = await call("PUT", "/v2/web/app/manifests/1.0", manifest, AS_MANIFEST);
    expect([put.status, put.headers.get("docker-content-digest")]).toEqual([201, digest]);
    expect((await call("PUT", `/v2/web/app/manifests/${digest}`, manifest, AS_MANIFEST)).status).toBe(201);

    for (const reference of ["1.0", digest]) {
      const got = await call("GET", `/v2/web/app/manifests/${reference}`);
      expect([got.headers.get("content-type"), await got.text()]).toEqual([MANIFEST, manifest]);
      const head = await call("HEAD", `/v2/web/app/manifests/${reference}`);
      expect(head.headers.get("docker-content-digest")).toBe(digest);
    }
  });

  test("what does not fit is refused with its code", async () => {
    const call = await caller("web/app=pull,push");
    const put = async (reference: string, body: string, headers: Record<string, string> = AS_MANIFEST) =>
      codeOf(await call("PUT", `/v2/web/app/manifests/${reference}`, body, headers));
    const good = manifestOf(await pushBlob(call, "web/app", randomBytes(10)));
    expect(await put("1", manifestOf(digestOf(randomBytes(10))))).toBe("404 MANIFEST_BLOB_UNKNOWN");
    expect(await put(digestOf(randomBytes(10)), good)).toBe("400 DIGEST_INVALID");
    expect(await put("1", "{")).toBe("400 MANIFEST_INVALID");
    expect(await put("1", good, { "content-type": "text/plain" })).toBe("400 MANIFEST_INVALID");
    expect(await put(".bad", good)).toBe("400 TAG_INVALID");
    expect(await put("1", "x".repeat(4 * 1024 * 1024 + 1))).toBe("413 SIZE_INVALID");
    expect(await codeOf(await call("GET", "/v2/web/app/manifests/none"))).toBe("404 MANIFEST_UNKNOWN");
    expect(await codeOf(await call("DELETE", "/v2/web/app/manifests/1"))).toBe("405 UNSUPPORTED");
  });

  test("tags are listed in order and in pages", async () => {
    const call = await caller("web/tags=pull,push");
    const list = (query: string) => call("GET", `/v2/web/tags/tags/list${query}`);
    expect(await codeOf(await list(""))).toBe("404 NAME_UNKNOWN");
    const manifest = manifestOf(await pushBlob(call, "web/tags", randomBytes(10)));
    for (const tag of ["b", "c", "a"]) await call("PUT", `/v2/web/tags/manifests/${tag}`, manifest, AS_MANIFEST);

    expect(await (await list("")).json()).toEqual({ name: "web/tags", tags: ["a", "b", "c"] });
    const page = await list("?n=2");
    expect(page.headers.get("link")).toBe('</v2/web/tags/tags/list?n=2&last=b>; rel="next"');
    expect(await (await list("?n=2&last=b")).json()).toEqual({ name: "web/tags", tags: ["c"] });
  });
});
