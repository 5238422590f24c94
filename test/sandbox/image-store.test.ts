import { expect, test } from "vitest";
import { createImageStore, digestOf } from "./image-store.ts";

const MEDIA_TYPE = "application/vnd.oci.image.manifest.v1+json";

test("the store is bounded in bytes, and gives back what an invalid upload had taken", () => {
  const store = createImageStore({ totalBytes: 10, uploads: 100 });
  const wrong = store.startUpload("web/app");
  store.appendToUpload("web/app", wrong, Buffer.from("1234567890"));
  expect(() => store.finishUpload("web/app", wrong, digestOf(Buffer.from("")))).toThrow("did not match");

  const right = store.startUpload("web/app");
  store.appendToUpload("web/app", right, Buffer.from("1234567890"));
  expect(() => store.appendToUpload("web/app", right, Buffer.from("1"))).toThrow("full");
  store.finishUpload("web/app", right, digestOf(Buffer.from("1234567890")));
  const content = Buffer.from('{"schemaVersion":2}');
  expect(() => store.putManifest("web/app", { content, digest: digestOf(content), mediaType: MEDIA_TYPE })).toThrow(
    "full",
  );
});

test("unfinished uploads are bounded in number", () => {
  const store = createImageStore({ totalBytes: 10, uploads: 1 });
  store.startUpload("web/app");
  expect(() => store.startUpload("web/app")).toThrow("too many");
});
