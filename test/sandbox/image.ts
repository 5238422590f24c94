/**
 * A tiny image, made and carried without any container tool: an OCI image layout in a folder, and push and pull of it
 * over plain fetch. Knows the registry protocol only as far as one image with one layer needs it.
 * https://github.com/opencontainers/image-spec/blob/v1.1.0/image-layout.md
 * https://github.com/opencontainers/distribution-spec/blob/v1.1.0/spec.md
 */
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { digestOf } from "./image-store.ts";

const MANIFEST_TYPE = "application/vnd.oci.image.manifest.v1+json";
const CONFIG_TYPE = "application/vnd.oci.image.config.v1+json";
const LAYER_TYPE = "application/vnd.oci.image.layer.v1.tar+gzip";

export interface ImageDigests {
  readonly manifest: string;
  readonly config: string;
  readonly layer: string;
}

interface Descriptor {
  readonly mediaType: string;
  readonly digest: string;
  readonly size: number;
}

interface ImageManifest {
  readonly config: Descriptor;
  readonly layers: readonly Descriptor[];
}

/** Writes an image with one file, `/content`, as the layout's only image. Equal content gives equal digests. */
export async function writeImage(folder: string, content: string, tag = "latest"): Promise<ImageDigests> {
  const tar = tarOf("content", Buffer.from(content));
  const layer = gzipSync(tar); // compressed here, so that no client recompresses it and digests stay comparable
  const config = json({
    architecture: process.arch === "arm64" ? "arm64" : "amd64",
    os: "linux",
    config: {},
    rootfs: { type: "layers", diff_ids: [digestOf(tar)] },
  });
  const manifest = json({
    schemaVersion: 2,
    mediaType: MANIFEST_TYPE,
    config: describe(CONFIG_TYPE, config),
    layers: [describe(LAYER_TYPE, layer)],
  });
  const annotations = { "org.opencontainers.image.ref.name": tag };
  const index = json({ schemaVersion: 2, manifests: [{ ...describe(MANIFEST_TYPE, manifest), annotations }] });

  await mkdir(join(folder, "blobs", "sha256"), { recursive: true });
  await writeFile(join(folder, "oci-layout"), json({ imageLayoutVersion: "1.0.0" }));
  await writeFile(join(folder, "index.json"), index);
  for (const blob of [layer, config, manifest]) await writeFile(blobPath(folder, digestOf(blob)), blob);
  return { manifest: digestOf(manifest), config: digestOf(config), layer: digestOf(layer) };
}

/** The registry or its realm said no: the HTTP status and the first error code of the body (`DENIED`, `UNAUTHORIZED` …). */
export class RegistryError extends Error {
  readonly status: number;
  readonly code: string;
  constructor(status: number, code: string, what: string) {
    super(`${what}: ${status} ${code}`);
    this.name = "RegistryError";
    this.status = status;
    this.code = code;
  }
}

export interface RegistryTarget {
  /** `http://127.0.0.1:PORT` */
  readonly registry: string;
  /** `namespace/repository` */
  readonly repository: string;
  readonly username: string;
  readonly password: string;
}

/** Pushes the only image of a layout folder. Throws RegistryError. */
export async function pushImage(target: RegistryTarget, folder: string, tag: string): Promise<ImageDigests> {
  const send = connect(target, "pull,push");
  const index = JSON.parse(await readFile(join(folder, "index.json"), "utf8")) as { manifests: Descriptor[] };
  const digest = index.manifests[0]?.digest ?? "";
  const content = await readFile(blobPath(folder, digest));
  const manifest = JSON.parse(content.toString("utf8")) as ImageManifest;
  for (const blob of [manifest.config, ...manifest.layers]) {
    const started = await send("POST", "blobs/uploads/");
    const upload = new URL(started.headers.get("location") ?? "", started.url);
    upload.searchParams.set("digest", blob.digest);
    const body = await readFile(blobPath(folder, blob.digest));
    await send("PUT", upload, { body, headers: { "content-type": "application/octet-stream" } });
  }
  await send("PUT", `manifests/${tag}`, { body: content, headers: { "content-type": MANIFEST_TYPE } });
  return imageDigests(digest, manifest);
}

/** Pulls an image by tag or digest, checking every digest; its bytes are not kept. Throws RegistryError. */
export async function pullImage(target: RegistryTarget, reference: string): Promise<ImageDigests> {
  const send = connect(target, "pull");
  const answer = await send("GET", `manifests/${reference}`, { headers: { accept: MANIFEST_TYPE } });
  const content = Buffer.from(await answer.arrayBuffer());
  const manifest = JSON.parse(content.toString("utf8")) as ImageManifest;
  const digest = digestOf(content);
  if (reference.includes(":") && digest !== reference) throw new Error(`the registry sent another manifest, ${digest}`);
  for (const blob of [manifest.config, ...manifest.layers]) {
    const received = Buffer.from(await (await send("GET", `blobs/${blob.digest}`)).arrayBuffer());
    if (digestOf(received) !== blob.digest) throw new Error(`the registry sent other bytes for ${blob.digest}`);
  }
  return imageDigests(digest, manifest);
}

type Send = (method: string, path: string | URL, init?: { body?: Buffer; headers?: object }) => Promise<Response>;

/**
 * Requests below `/v2/<repository>/` as a client makes them: first without a token; on the challenge, with one from the
 * realm that it names. https://distribution.github.io/distribution/spec/auth/token/
 */
function connect(target: RegistryTarget, actions: string): Send {
  const base = `${target.registry}/v2/${target.repository}/`;
  let token: string | undefined;
  return async (method, path, { body, headers = {} } = {}) => {
    const once = () =>
      fetch(new URL(path, base), {
        method,
        headers: { ...headers, ...(token && { authorization: `Bearer ${token}` }) },
        ...(body && { body }),
      });
    let response = await once();
    if (response.status === 401 && token === undefined) {
      await response.body?.cancel();
      token = await fetchToken(response.headers.get("www-authenticate") ?? "", target, actions);
      response = await once();
    }
    if (!response.ok) throw await refusal(response, `${method} ${target.repository}`);
    return response;
  };
}

async function fetchToken(challenge: string, target: RegistryTarget, actions: string): Promise<string> {
  const parameter = (name: string) => new RegExp(`[ ,]${name}="([^"]*)"`).exec(challenge)?.[1] ?? "";
  const realm = new URL(parameter("realm"));
  realm.searchParams.set("service", parameter("service"));
  realm.searchParams.set("scope", `repository:${target.repository}:${actions}`);
  const credentials = Buffer.from(`${target.username}:${target.password}`).toString("base64");
  const response = await fetch(realm, { headers: { authorization: `Basic ${credentials}` } });
  if (!response.ok) throw await refusal(response, `log in to ${target.repository}`);
  return ((await response.json()) as { token: string }).token;
}

async function refusal(response: Response, what: string): Promise<RegistryError> {
  const body = (await response.json().catch(() => ({}))) as { errors?: { code?: string }[] };
  return new RegistryError(response.status, body.errors?.[0]?.code ?? "UNKNOWN", what);
}

function imageDigests(manifest: string, { config, layers }: ImageManifest): ImageDigests {
  return { manifest, config: config.digest, layer: layers[0]?.digest ?? "" };
}

/** One regular file as a tar archive: POSIX.1-1988 ustar, a 512-byte header, padded content, two empty blocks. */
function tarOf(name: string, content: Buffer): Buffer {
  const header = Buffer.alloc(512);
  header.write(name, 0);
  header.write("0000644\0", 100); // mode
  header.write("0000000\0", 108); // uid
  header.write("0000000\0", 116); // gid
  header.write(`${content.length.toString(8).padStart(11, "0")}\0`, 124);
  header.write("00000000000\0", 136); // mtime: the epoch, for equal digests
  header.write("        ", 148); // the checksum counts itself as spaces
  header.write("0", 156); // a regular file
  header.write("ustar\x0000", 257);
  const checksum = header.reduce((sum, byte) => sum + byte, 0);
  header.write(`${checksum.toString(8).padStart(6, "0")}\0 `, 148);
  const padding = Buffer.alloc((512 - (content.length % 512)) % 512);
  return Buffer.concat([header, content, padding, Buffer.alloc(1024)]);
}

function describe(mediaType: string, content: Buffer): Descriptor {
  return { mediaType, digest: digestOf(content), size: content.length };
}

function json(value: unknown): Buffer {
  return Buffer.from(JSON.stringify(value));
}

function blobPath(folder: string, digest: string): string {
  return join(folder, "blobs", "sha256", digest.slice("sha256:".length));
}
