/**
 * What the in-process registry keeps: blobs and manifests by digest, each visible only in the repositories that hold it.
 * In memory and bounded. Knows nothing of HTTP but the status that each refusal answers.
 * Error codes: distribution-spec v1.1.0, "Error Codes".
 */
import { createHash, randomUUID } from "node:crypto";

/** A refusal with its code of the distribution specification. */
export class RegistryRefusal extends Error {
  readonly status: number;
  readonly code: string;
  readonly headers: Readonly<Record<string, string>>;
  constructor(status: number, code: string, message: string, headers: Readonly<Record<string, string>> = {}) {
    super(message);
    this.name = "RegistryRefusal";
    this.status = status;
    this.code = code;
    this.headers = headers;
  }
}

export interface Manifest {
  readonly digest: string;
  readonly content: Buffer;
  readonly mediaType: string;
}

/** All methods throw RegistryRefusal. */
export interface ImageStore {
  blob(repository: string, digest: string): Buffer;
  /** Makes a blob of `from` one of `repository` too; false when `from` has none of this digest. */
  mountBlob(repository: string, digest: string, from: string): boolean;
  startUpload(repository: string): string;
  uploadSize(repository: string, id: string): number;
  appendToUpload(repository: string, id: string, chunk: Buffer): void;
  finishUpload(repository: string, id: string, digest: string): void;
  /** By tag or digest. */
  manifest(repository: string, reference: string): Manifest;
  putManifest(repository: string, manifest: Manifest, tag?: string): void;
  /** In lexical order. */
  tags(repository: string): readonly string[];
}

export interface StoreLimits {
  /** Blobs, manifests and unfinished uploads together. */
  readonly totalBytes: number;
  readonly uploads: number;
}

interface Repository {
  readonly blobs: Map<string, Buffer>;
  readonly manifests: Map<string, Manifest>;
  readonly tags: Map<string, string>;
}

interface Upload {
  readonly repository: string;
  readonly chunks: Buffer[];
  size: number;
}

export function createImageStore(limits: StoreLimits = { totalBytes: 256 * 1024 * 1024, uploads: 100 }): ImageStore {
  const repositories = new Map<string, Repository>();
  const uploads = new Map<string, Upload>();
  let usedBytes = 0;

  /** For writing: a repository begins with the first blob or manifest in it. */
  function openRepository(name: string): Repository {
    const repository = repositories.get(name) ?? { blobs: new Map(), manifests: new Map(), tags: new Map() };
    repositories.set(name, repository);
    return repository;
  }

  function findUpload(repository: string, id: string): Upload {
    const upload = uploads.get(id);
    if (upload?.repository !== repository) {
      throw new RegistryRefusal(404, "BLOB_UPLOAD_UNKNOWN", "blob upload unknown to registry");
    }
    return upload;
  }

  function reserve(bytes: number): void {
    if (usedBytes + bytes > limits.totalBytes) throw new RegistryRefusal(413, "SIZE_INVALID", "the registry is full");
    usedBytes += bytes;
  }

  return {
    blob(repository, digest) {
      const blob = repositories.get(repository)?.blobs.get(digest);
      if (!blob) throw new RegistryRefusal(404, "BLOB_UNKNOWN", "blob unknown to registry");
      return blob;
    },
    mountBlob(repository, digest, from) {
      const blob = repositories.get(from)?.blobs.get(digest);
      if (blob) openRepository(repository).blobs.set(digest, blob);
      return blob !== undefined;
    },
    startUpload(repository) {
      if (uploads.size >= limits.uploads)
        throw new RegistryRefusal(429, "TOOMANYREQUESTS", "too many unfinished uploads");
      const id = randomUUID();
      uploads.set(id, { repository, chunks: [], size: 0 });
      return id;
    },
    uploadSize: (repository, id) => findUpload(repository, id).size,
    appendToUpload(repository, id, chunk) {
      const upload = findUpload(repository, id);
      reserve(chunk.length);
      upload.chunks.push(chunk);
      upload.size += chunk.length;
    },
    finishUpload(repository, id, digest) {
      const upload = findUpload(repository, id);
      uploads.delete(id);
      const content = Buffer.concat(upload.chunks);
      const { blobs } = openRepository(repository);
      const matches = digestOf(content) === digest;
      if (!matches || blobs.has(digest)) usedBytes -= upload.size;
      if (!matches) throw new RegistryRefusal(400, "DIGEST_INVALID", "provided digest did not match uploaded content");
      blobs.set(digest, content);
    },
    manifest(repository, reference) {
      const held = repositories.get(repository);
      const manifest = held?.manifests.get(held.tags.get(reference) ?? reference);
      if (!manifest) throw new RegistryRefusal(404, "MANIFEST_UNKNOWN", "manifest unknown to registry");
      return manifest;
    },
    putManifest(repository, manifest, tag) {
      const { blobs, manifests, tags } = openRepository(repository);
      for (const digest of referencedDigests(manifest)) {
        if (blobs.has(digest) || manifests.has(digest)) continue;
        throw new RegistryRefusal(404, "MANIFEST_BLOB_UNKNOWN", `manifest references ${digest}, unknown to registry`);
      }
      if (!manifests.has(manifest.digest)) reserve(manifest.content.length);
      manifests.set(manifest.digest, manifest);
      if (tag !== undefined) tags.set(tag, manifest.digest);
    },
    tags(repository) {
      const held = repositories.get(repository);
      if (!held) throw new RegistryRefusal(404, "NAME_UNKNOWN", "repository name not known to registry");
      return [...held.tags.keys()].sort();
    },
  };
}

export function digestOf(content: Buffer): string {
  return `sha256:${createHash("sha256").update(content).digest("hex")}`;
}

/** Config and layers of an image manifest, manifests of an index: OCI image-spec v1.1 and Docker's schema 2 name them alike. */
function referencedDigests({ content, mediaType }: Manifest): string[] {
  let parsed: unknown;
  try {
    parsed = JSON.parse(content.toString("utf8"));
  } catch {
    throw new RegistryRefusal(400, "MANIFEST_INVALID", "manifest is not JSON");
  }
  const { schemaVersion, mediaType: named = mediaType, config, layers = [], manifests = [] } = record(parsed);
  if (schemaVersion !== 2) throw new RegistryRefusal(400, "MANIFEST_INVALID", "schemaVersion must be 2");
  if (named !== mediaType) throw new RegistryRefusal(400, "MANIFEST_INVALID", "mediaType and Content-Type differ");
  return [config ?? [], layers, manifests].flat().map((descriptor) => String(record(descriptor)["digest"]));
}

function record(value: unknown): Record<string, unknown> {
  if (typeof value !== "object" || value === null)
    throw new RegistryRefusal(400, "MANIFEST_INVALID", "object expected");
  return value as Record<string, unknown>;
}
