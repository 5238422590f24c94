/**
 * What the kubelet says to a credential provider plugin, and hears from it: credentialprovider.kubelet.k8s.io/v1.
 * https://kubernetes.io/docs/reference/config-api/kubelet-credentialprovider.v1/
 */

import type { Credentials } from "../../shared/client/credentials.ts";
import { parseStrictJson } from "../../shared/json.ts";

const API_VERSION = "credentialprovider.kubelet.k8s.io/v1";
/** A token is 8 KiB at most, an image's name less than one. */
const MOST_CHARACTERS = 256 * 1024;

export interface ProviderRequest {
  readonly image: string;
  /** Of the pod's service account, where the kubelet is set to send it. */
  readonly serviceAccountToken?: string;
  readonly serviceAccountAnnotations: Readonly<Record<string, string>>;
}

/** No error quotes the request: a token is in it. */
export function readProviderRequest(text: string): ProviderRequest | { readonly problem: string } {
  const problem = (why: string) => ({ problem: `standard input is no CredentialProviderRequest: ${why}` });
  if (text.trim() === "") return problem("it is empty; the kubelet runs this, and --self-test shows what it would get");
  if (text.length > MOST_CHARACTERS) return problem(`it has more than ${MOST_CHARACTERS} characters`);
  let value: unknown;
  try {
    value = parseStrictJson(text);
  } catch (error) {
    return problem((error as SyntaxError).message);
  }
  if (!isObject(value)) return problem("it is no JSON object");
  const { apiVersion, kind, image, serviceAccountToken = "", serviceAccountAnnotations = {} } = value;
  if (apiVersion !== API_VERSION) {
    return problem(`its apiVersion is not ${API_VERSION}; set that in the kubelet's CredentialProviderConfig`);
  }
  if (kind !== "CredentialProviderRequest") return problem("its kind is another");
  if (typeof image !== "string" || image === "") return problem("it names no image");
  if (typeof serviceAccountToken !== "string") return problem("its serviceAccountToken is no text");
  if (!isTexts(serviceAccountAnnotations)) return problem("its serviceAccountAnnotations are no object of texts");
  return {
    image,
    serviceAccountAnnotations,
    ...(serviceAccountToken === "" ? {} : { serviceAccountToken }),
  };
}

/**
 * Always by image: the credential may do no more than that image needs, or what a pod's own service account may. With `Registry`
 * the kubelet would give it to other images, and so to other pods, of the same host (KEP-4412). Kept until the broker gives a new
 * one, two thirds of its life, so that a pull that begins last still has a third of it.
 */
export function providerResponse(host: string, credentials: Credentials): object {
  const { username, password, expiresInSeconds, expiresAt, refreshAfter } = credentials;
  const spareSeconds = Math.ceil((expiresAt.getTime() - refreshAfter.getTime()) / 1000);
  return response(Math.max(0, expiresInSeconds - spareSeconds), { [host]: { username, password } });
}

/** For an image that is not ours. Not kept: pods choose the names of images. */
export function emptyResponse(): object {
  return response(0, null);
}

function response(cacheSeconds: number, auth: object | null): object {
  const kind = "CredentialProviderResponse";
  return { apiVersion: API_VERSION, kind, cacheKeyType: "Image", cacheDuration: `${cacheSeconds}s`, auth };
}

export function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function isTexts(value: unknown): value is Record<string, string> {
  return isObject(value) && Object.values(value).every((text) => typeof text === "string");
}
