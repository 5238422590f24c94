import { expect, test } from "vitest";
import { factsOf, registriesAt } from "../../cli/registries.ts";

const BASE = new URL("https://acr-broker.example.com");
const facts = (registries: unknown) =>
  factsOf(Object.assign({ audience: BASE.origin, sts_host: "sts.example.com" }, { registries }), BASE);

test("hosts are as docker writes them: lower case, and without the port that https has anyway", () => {
  const found = facts({ prod: { endpoints: ["A-Registry.cn-hangzhou.cr.aliyuncs.com:443", "127.0.0.1:5000"] } });
  expect(found.registries).toEqual({ prod: ["a-registry.cn-hangzhou.cr.aliyuncs.com", "127.0.0.1:5000"] });
  expect(registriesAt("127.0.0.1:5000", found)).toEqual(["prod"]);
});

test.each([
  ["none", undefined],
  ["no object", ["prod"]],
  ["a registry that is none", { prod: null }],
  ["no list of hosts", { prod: { endpoints: "a.example.com" } }],
  ["an address with a path", { prod: { endpoints: ["a.example.com/x"] } }],
  ["somebody's name in a host", { prod: { endpoints: ["user:secret@a.example.com"] } }],
  ["a host with a line break", { prod: { endpoints: ["a.example.com\nb.example.com"] } }],
])("registries that no broker names are another service's: %s", (_, registries) => {
  expect(() => facts(registries)).toThrow(
    /^the answer of acr-broker\.example\.com is not the broker's: .*check the url$/,
  );
});
