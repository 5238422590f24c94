import { expect, test } from "vitest";
import { privateAuthFile, privateDockerConfig, type Sources } from "../../../cli/exec/private-config.ts";

const OURS = { "acr.example": { auth: "b3Vycw==" } };
const none: Sources = { docker: {}, containers: {}, environment: {} };
const docker = (config: Sources["docker"]) => privateDockerConfig({ ...none, docker: config }, OURS);

test("all that is not about logins stays", () => {
  const config = {
    HttpHeaders: { a: "b" },
    currentContext: "remote",
    cliPluginsExtraDirs: ["/x"],
    proxies: { default: {} },
  };
  expect(docker(config)).toEqual({ ...config, auths: OURS, credHelpers: {} });
});

test("helpers and logins of other hosts stay; of ours none, however its name is written", () => {
  const auths = {
    "other.example": { auth: "b3RoZXI=" },
    "acr.example": { auth: "b2xk" },
    "https://acr.example/v1/": { auth: "b2xk" },
    "acr.example/web": { auth: "b2xk" },
    "acr.example.evil": { auth: "ZXZpbA==" },
  };
  const credHelpers = { "other.example": "pass", "acr.example": "old" };
  for (const written of [
    docker({ auths, credHelpers }),
    privateAuthFile({ ...none, containers: { auths, credHelpers } }, OURS),
  ]) {
    expect(written).toEqual({
      auths: { "other.example": auths["other.example"], "acr.example.evil": auths["acr.example.evil"], ...OURS },
      credHelpers: { "other.example": "pass" },
    });
  }
});

test("credsStore, which would be asked for our host, becomes a helper for the hosts whose logins it has", () => {
  const written = docker({
    credsStore: "desktop",
    credHelpers: { "gcr.example": "gcr" },
    auths: { "https://index.docker.io/v1/": {}, "acr.example": {}, "plain.example": { auth: "cGxhaW4=" } },
  });
  expect(written).not.toHaveProperty("credsStore");
  expect(written.credHelpers).toEqual({ "https://index.docker.io/v1/": "desktop", "gcr.example": "gcr" });
});

test("logins of DOCKER_AUTH_CONFIG, which docker would look at first, are among docker's", () => {
  const auths = { "hub.example": { auth: "aHVi" }, "acr.example": { auth: "b2xk" } };
  expect(privateDockerConfig({ ...none, environment: { auths } }, OURS).auths).toEqual({
    "hub.example": auths["hub.example"],
    ...OURS,
  });
});

test("podman's file has docker's logins as well, its own before them, and no entries without one", () => {
  const both = {
    docker: { auths: { "a.example": { auth: "ZG9ja2Vy" }, "b.example": { auth: "ZG9ja2Vy" }, "c.example": {} } },
    containers: { auths: { "b.example": { auth: "cG9kbWFu" } } },
    environment: {},
  };
  expect(privateAuthFile(both, OURS).auths).toEqual({
    "a.example": { auth: "ZG9ja2Vy" },
    "b.example": { auth: "cG9kbWFu" },
    ...OURS,
  });
});
