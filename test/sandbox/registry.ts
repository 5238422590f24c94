/**
 * A small OCI distribution registry in memory: push, pull, tags and mounts, each digest checked.
 * Who may do what is read from the realm's tokens. No deletion, no referrers, no range requests.
 * https://github.com/opencontainers/distribution-spec/blob/v1.1.0/spec.md ("end-N" below are its endpoints)
 * and https://distribution.github.io/distribution/spec/auth/token/
 */
import type { IncomingMessage, ServerResponse } from "node:http";
import type { Cloud, HttpHandler } from "./cloud.ts";
import { createImageStore, digestOf, type ImageStore, RegistryRefusal } from "./image-store.ts";
import type { Realm } from "./realm.ts";

// Spec, "Pushing Manifests": registries should accept at least 4 MiB.
const MANIFEST_LIMIT_BYTES = 4 * 1024 * 1024;
const DIGEST = /^sha256:[0-9a-f]{64}$/;
// Spec, "Pulling manifests": <name> and <reference>.
const NAME = /^[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*(\/[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*)*$/;
const TAG = /^[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}$/;

// Leaving a body unread must not close the connection: the refusal still has to reach the client.
const KEEP_OPEN = { destroyOnReturn: false };

interface Exchange {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  readonly method: string;
  readonly repository: string;
  readonly query: URLSearchParams;
  readonly store: ImageStore;
  /** Whether the caller's token allows this too. */
  allowed(action: string, repository: string): boolean;
}

/** One resource under a repository: the path after its name, and what each method does there. */
interface Route {
  readonly path: RegExp;
  readonly methods: Readonly<Record<string, (exchange: Exchange, reference: string) => void | Promise<void>>>;
}

const ROUTES: readonly Route[] = [
  { path: /^\/v2\/(.+)\/blobs\/uploads\/()$/, methods: { POST: startUpload } },
  {
    path: /^\/v2\/(.+)\/blobs\/uploads\/([^/]+)$/,
    methods: { GET: showUpload, PATCH: continueUpload, PUT: finishUpload },
  },
  { path: /^\/v2\/(.+)\/blobs\/([^/]+)$/, methods: { GET: sendBlob, HEAD: sendBlob } },
  { path: /^\/v2\/(.+)\/manifests\/([^/]+)$/, methods: { GET: sendManifest, HEAD: sendManifest, PUT: putManifest } },
  { path: /^\/v2\/(.+)\/tags\/list()$/, methods: { GET: listTags } },
];

/** Answers `/v2/` and everything below it. */
export function createOciRegistry({ realm }: { readonly realm: Realm }): HttpHandler {
  const store = createImageStore();
  return async (request, response, cloud) => {
    const { pathname, searchParams: query } = new URL(request.url ?? "/", cloud.url);
    if (pathname !== "/v2" && !pathname.startsWith("/v2/")) return false;
    response.setHeader("docker-distribution-api-version", "registry/2.0");
    try {
      await serve({ request, response, method: request.method ?? "GET", pathname, query, cloud, realm, store });
    } catch (error) {
      if (!(error instanceof RegistryRefusal)) throw error;
      const { status, code, message, headers } = error;
      sendJson(response, status, { errors: [{ code, message }] }, headers);
    }
    return true;
  };
}

interface Incoming extends Omit<Exchange, "repository" | "allowed"> {
  readonly pathname: string;
  readonly cloud: Cloud;
  readonly realm: Realm;
}

async function serve(incoming: Incoming): Promise<void> {
  const { request, response, method, pathname, cloud, realm } = incoming;
  const token = /^Bearer (\S+)$/i.exec(request.headers.authorization ?? "")?.[1];
  const access = token === undefined ? undefined : await realm.verify(token);
  const allowed = (action: string, repository: string) =>
    access?.some(
      ({ type, name, actions }) => type === "repository" && name === repository && actions.includes(action),
    ) ?? false;
  const challenge = (parameters: string, code: string, message: string) =>
    new RegistryRefusal(401, code, message, {
      "www-authenticate": `Bearer realm="${cloud.url}/token",service="${realm.service}"${parameters}`,
    });

  const route = ROUTES.find(({ path }) => path.test(pathname));
  const [, repository = "", reference = ""] = route?.path.exec(pathname) ?? [];
  const reading = method === "GET" || method === "HEAD";
  // Clients that push also read what is there already, so a write asks for both, and needs the one.
  const scope = route ? `,scope="repository:${repository}:${reading ? "pull" : "pull,push"}"` : "";
  if (!access) {
    const error = token === undefined ? "" : ',error="invalid_token"';
    throw challenge(`${scope}${error}`, "UNAUTHORIZED", "authentication required");
  }
  if (!route) {
    if (/^\/v2\/?$/.test(pathname)) return sendJson(response, 200, {}); // end-1: this is how `docker login` tries a token
    throw new RegistryRefusal(404, "UNSUPPORTED", "no such endpoint");
  }
  if (!NAME.test(repository)) throw new RegistryRefusal(400, "NAME_INVALID", "invalid repository name");
  // An upload belongs to whoever pushes: its state is no image to be pulled.
  const needed = reading && route.methods["PATCH"] === undefined ? "pull" : "push";
  if (!allowed(needed, repository)) {
    throw challenge(`${scope},error="insufficient_scope"`, "DENIED", "requested access to the resource is denied");
  }
  const action = route.methods[method];
  if (!action) {
    const allow = Object.keys(route.methods).join(", ");
    throw new RegistryRefusal(405, "UNSUPPORTED", "the operation is unsupported", { allow });
  }
  await action({ ...incoming, repository, allowed }, reference);
}

/** end-4a, end-4b (with `digest`) and end-11 (with `mount`). */
async function startUpload({ request, response, repository, query, store, allowed }: Exchange): Promise<void> {
  const [mount, from, digest] = [query.get("mount"), query.get("from"), query.get("digest")];
  // A mount that is not possible becomes an upload: the spec's fallback, which also hides what others have.
  if (mount && from && allowed("pull", from) && store.mountBlob(repository, mount, from)) {
    return created(response, `/v2/${repository}/blobs/${mount}`, mount);
  }
  const id = store.startUpload(repository);
  if (digest) return completeUpload({ request, response, repository, store }, id, digest);
  uploadState(response, 202, repository, id, 0);
}

/** end-13 */
function showUpload({ response, repository, store }: Exchange, id: string): void {
  uploadState(response, 204, repository, id, store.uploadSize(repository, id));
}

/** end-5 */
async function continueUpload({ request, response, repository, store }: Exchange, id: string): Promise<void> {
  const start = /^(\d+)-\d+$/.exec(request.headers["content-range"] ?? "")?.[1];
  if (start !== undefined && Number(start) !== store.uploadSize(repository, id)) {
    throw new RegistryRefusal(416, "BLOB_UPLOAD_INVALID", "chunks must come in order");
  }
  for await (const chunk of request.iterator(KEEP_OPEN)) store.appendToUpload(repository, id, chunk as Buffer);
  uploadState(response, 202, repository, id, store.uploadSize(repository, id));
}

/** end-6 */
async function finishUpload(exchange: Exchange, id: string): Promise<void> {
  await completeUpload(exchange, id, exchange.query.get("digest") ?? "");
}

async function completeUpload(
  { request, response, repository, store }: Pick<Exchange, "request" | "response" | "repository" | "store">,
  id: string,
  digest: string,
): Promise<void> {
  if (!DIGEST.test(digest)) throw new RegistryRefusal(400, "DIGEST_INVALID", "digest must be sha256:<64 hex digits>");
  for await (const chunk of request.iterator(KEEP_OPEN)) store.appendToUpload(repository, id, chunk as Buffer);
  store.finishUpload(repository, id, digest);
  created(response, `/v2/${repository}/blobs/${digest}`, digest);
}

/** end-2 */
function sendBlob({ response, method, repository, store }: Exchange, digest: string): void {
  const content = store.blob(repository, digest);
  sendContent(response, method, { digest, content, mediaType: "application/octet-stream" });
}

/** end-3 */
function sendManifest({ response, method, repository, store }: Exchange, reference: string): void {
  sendContent(response, method, store.manifest(repository, reference));
}

/** end-7 */
async function putManifest({ request, response, repository, store }: Exchange, reference: string): Promise<void> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of request.iterator(KEEP_OPEN)) {
    size += (chunk as Buffer).length;
    if (size > MANIFEST_LIMIT_BYTES) throw new RegistryRefusal(413, "SIZE_INVALID", "manifest too large");
    chunks.push(chunk as Buffer);
  }
  const content = Buffer.concat(chunks);
  const digest = digestOf(content);
  if (DIGEST.test(reference) ? reference !== digest : reference.includes(":")) {
    throw new RegistryRefusal(400, "DIGEST_INVALID", "provided digest did not match uploaded content");
  }
  if (!reference.includes(":") && !TAG.test(reference)) throw new RegistryRefusal(400, "TAG_INVALID", "invalid tag");
  const mediaType = request.headers["content-type"] ?? "";
  store.putManifest(repository, { digest, content, mediaType }, TAG.test(reference) ? reference : undefined);
  created(response, `/v2/${repository}/manifests/${digest}`, digest);
}

/** end-8a, end-8b */
function listTags({ response, repository, query, store }: Exchange): void {
  const last = query.get("last") ?? "";
  const rest = store.tags(repository).filter((tag) => tag > last);
  const tags = query.has("n") ? rest.slice(0, Math.max(0, Number(query.get("n")) || 0)) : rest;
  const next = tags.at(-1);
  const more = next !== undefined && tags.length < rest.length;
  const link = `</v2/${repository}/tags/list?n=${tags.length}&last=${next}>; rel="next"`;
  sendJson(response, 200, { name: repository, tags }, more ? { link } : {});
}

function uploadState(response: ServerResponse, status: number, repository: string, id: string, size: number): void {
  response
    .writeHead(status, {
      location: `/v2/${repository}/blobs/uploads/${id}`,
      range: `0-${Math.max(0, size - 1)}`,
      "docker-upload-uuid": id,
      "content-length": 0,
    })
    .end();
}

function created(response: ServerResponse, location: string, digest: string): void {
  response.writeHead(201, { location, "docker-content-digest": digest, "content-length": 0 }).end();
}

function sendContent(
  response: ServerResponse,
  method: string,
  { digest, content, mediaType }: { digest: string; content: Buffer; mediaType: string },
): void {
  response.writeHead(200, {
    "content-type": mediaType,
    "content-length": content.length,
    "docker-content-digest": digest,
  });
  response.end(method === "HEAD" ? undefined : content);
}

function sendJson(response: ServerResponse, status: number, body: unknown, headers: Record<string, string> = {}): void {
  response.writeHead(status, { "content-type": "application/json", ...headers }).end(JSON.stringify(body));
}
