import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { type Cloud, startCloud } from "./cloud.ts";
import { pullImage, pushImage, RegistryError, writeImage } from "./image.ts";
import { createRealm } from "./realm.ts";
import { createOciRegistry } from "./registry.ts";

let cloud: Cloud;
let folder: string;
let rights = new Set<string>();

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "image-test-"));
  const realm = createRealm({ issuer: "realm.test", service: "registry.test" });
  const login = (_username: string, password: string) =>
    password === "right"
      ? {
          arn: "acs:ram::1:user/me",
          instanceId: "cri-abc123",
          expiresAt: new Date(Date.now() + 900_000),
          allows: (action: string, repository: string) => repository === "web/app" && rights.has(action),
        }
      : undefined;
  cloud = await startCloud({
    handlers: [
      (request, response, real) => realm.handler(request, response, { ...real, login }),
      createOciRegistry({ realm }),
    ],
  });
});
afterAll(async () => {
  await cloud.close();
  await rm(folder, { recursive: true });
});

const target = (repository = "web/app", password = "right") => ({
  registry: cloud.url,
  repository,
  username: "me",
  password,
});

test("equal content gives equal digests, other content others", async () => {
  const first = await writeImage(join(folder, "a"), "content");
  expect(await writeImage(join(folder, "b"), "content")).toEqual(first);
  const other = await writeImage(join(folder, "c"), "other content");
  expect(other.layer).not.toBe(first.layer);
  expect(other.manifest).not.toBe(first.manifest);
});

test("an image is pushed, and pulled back by tag and by digest", async () => {
  rights = new Set(["pull", "push"]);
  const digests = await writeImage(join(folder, "pushed"), "pushed");
  expect(await pushImage(target(), join(folder, "pushed"), "1.0")).toEqual(digests);
  expect(await pullImage(target(), "1.0")).toEqual(digests);
  expect(await pullImage(target(), digests.manifest)).toEqual(digests);
});

test("a refusal carries the status and the registry's code", async () => {
  rights = new Set(["pull"]);
  await writeImage(join(folder, "refused"), "refused");
  const push = (...where: Parameters<typeof target>) =>
    pushImage(target(...where), join(folder, "refused"), "1").catch((error: unknown) => error);
  const pullOnly = await push();
  expect(pullOnly).toBeInstanceOf(RegistryError);
  expect(pullOnly).toMatchObject({ status: 401, code: "DENIED" });
  expect(await push("web/other")).toMatchObject({ status: 401, code: "DENIED" });
  expect(await push("web/app", "wrong")).toMatchObject({ status: 401, code: "UNAUTHORIZED" });
  await expect(pullImage(target(), "none")).rejects.toMatchObject({ status: 404, code: "MANIFEST_UNKNOWN" });
});
