/**
 * The kubelet's CredentialProviderConfig, as far as it concerns this plugin: what stands in it that would have the plugin skipped,
 * or credentials given to the wrong pods. https://kubernetes.io/docs/reference/config-api/kubelet-config.v1/
 */

import { parseDocument } from "yaml";
import { isObject } from "./api.ts";

/** What is wrong with it for this image, in words; nothing where all is well. */
export function providerProblems(text: string, image: string, audience: string): string[] {
  const document = parseDocument(text, { maxAliasCount: 0 } as object);
  if (document.errors.length > 0) return [`it is neither YAML nor JSON: ${document.errors[0]?.message.split("\n")[0]}`];
  const config: unknown = document.toJS({ maxAliasCount: 0 });
  if (!isObject(config)) return ["it is no object"];
  const wrong: string[] = [];
  if (config["apiVersion"] !== "kubelet.config.k8s.io/v1")
    wrong.push("its apiVersion must be kubelet.config.k8s.io/v1");
  if (config["kind"] !== "CredentialProviderConfig") wrong.push("its kind must be CredentialProviderConfig");
  const providers = Array.isArray(config["providers"]) ? config["providers"].filter(isObject) : [];
  const ours = providers.find(({ args }) => Array.isArray(args) && args[0] === "kubelet");
  if (ours === undefined) return [...wrong, "no provider in it has args: [kubelet], which acr-broker needs"];
  return [...wrong, ...ownProblems(ours, image, audience)];
}

function ownProblems(provider: Record<string, unknown>, image: string, audience: string): string[] {
  const { apiVersion, defaultCacheDuration, matchImages, tokenAttributes } = provider;
  const wrong: string[] = [];
  if (apiVersion !== "credentialprovider.kubelet.k8s.io/v1") {
    wrong.push("the provider's apiVersion must be credentialprovider.kubelet.k8s.io/v1");
  }
  // The kubelet does not start without it.
  if (typeof defaultCacheDuration !== "string") wrong.push('defaultCacheDuration is missing; "0s" will do');
  const patterns = Array.isArray(matchImages) ? matchImages.filter((one) => typeof one === "string") : [];
  if (!patterns.some((pattern) => matchesImage(pattern, image))) {
    wrong.push(`no pattern in matchImages matches ${image}; each * is one part of a host between dots`);
  }
  if (tokenAttributes === undefined) return wrong;
  if (!isObject(tokenAttributes)) return [...wrong, "tokenAttributes is no object"];
  const { serviceAccountTokenAudience, cacheType, requireServiceAccount } = tokenAttributes;
  if (serviceAccountTokenAudience !== audience) {
    wrong.push(`serviceAccountTokenAudience must be the broker's audience, ${audience}`);
  }
  if (cacheType !== "ServiceAccount" && cacheType !== "Token") {
    wrong.push("cacheType must be ServiceAccount or Token (Kubernetes 1.34 and newer; 1.33 knows no such field)");
  }
  if (typeof requireServiceAccount !== "boolean") wrong.push("requireServiceAccount must be true or false");
  return wrong;
}

/** As URLsMatchStr of k8s.io/kubernetes/pkg/credentialprovider: as many parts between dots, the same port, the path a prefix. */
export function matchesImage(pattern: string, image: string): boolean {
  const [wanted, given] = [split(pattern), split(image)];
  if (wanted.parts.length !== given.parts.length || wanted.port !== given.port) return false;
  return (
    given.path.startsWith(wanted.path) && wanted.parts.every((part, at) => matchesPart(part, given.parts[at] ?? ""))
  );
}

function split(text: string): { parts: string[]; port: string; path: string } {
  const [, host = "", port = "", path = ""] = /^([^/:]*)(?::(\d+))?(.*)$/.exec(text.replace(/^https?:\/\//, "")) ?? [];
  return { parts: host.split("."), port, path };
}

function matchesPart(pattern: string, part: string): boolean {
  const [first = "", ...rest] = pattern.split("*");
  if (!part.startsWith(first)) return false;
  let at = first.length;
  for (const [index, piece] of rest.entries()) {
    const found = index === rest.length - 1 ? Math.max(at, part.length - piece.length) : part.indexOf(piece, at);
    if (found < at || !part.startsWith(piece, found)) return false;
    at = found + piece.length;
  }
  return at === part.length;
}
