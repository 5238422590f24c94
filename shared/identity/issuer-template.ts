/**
 * Many issuers of one form under one entry of the policy: `https://oidc.circleci.com/org/{org}`. A variable is one whole
 * segment of the path. A template never decides whether a token is believed: it bounds which values of `iss` grants may
 * name, and those, each to the letter, are what is believed. Taken apart at `/` and compared part by part, never matched as a
 * whole (Fulcio GHSA-59jp-pj84-45mr).
 */

import type { Issuer } from "../config/config.ts";

/** `{name}` and nothing beside it. */
const VARIABLE = /^\{[a-z0-9_]{1,32}\}$/;
/** Nothing that a URL gives a meaning to, and nothing that another spelling could stand for: no `%`, no `..`. */
const VALUE = /^(?!\.+$)[A-Za-z0-9._~-]{1,128}$/;

/** Scheme, nothing, host and port, then the segments of the path: the variables stand behind those three. */
const PATH_FROM = 3;

/** The variables in a URL's path as they are written, in order. */
export function variablesIn(template: string): string[] {
  return template.split("/").filter(isVariable);
}

/** The template as a plain URL, with `value` for each variable. */
export function filledWith(template: string, value: string): string {
  return template
    .split("/")
    .map((part, index) => (isVariable(part, index) ? value : part))
    .join("/");
}

/** What stands for the variables in `iss`, in order; nothing where it is not of the template's form. */
export function valuesIn(template: string, iss: string): string[] | undefined {
  const [parts, theirs] = [template.split("/"), iss.split("/")];
  if (parts.length !== theirs.length) return undefined;
  const isOfForm = parts.every((part, index) => {
    const their = theirs[index] as string;
    return isVariable(part, index) ? VALUE.test(their) : part === their;
  });
  return isOfForm ? theirs.filter((_, index) => isVariable(parts[index] as string, index)) : undefined;
}

/** Whether there is an `iss` of both forms. */
export function overlap(one: string, other: string): boolean {
  const [parts, theirs] = [one.split("/"), other.split("/")];
  return (
    parts.length === theirs.length &&
    parts.every((part, index) => {
      const their = theirs[index] as string;
      if (isVariable(part, index)) return isVariable(their, index) || VALUE.test(their);
      return isVariable(their, index) ? VALUE.test(part) : part === their;
    })
  );
}

function isVariable(part: string, index: number): boolean {
  return index >= PATH_FROM && VARIABLE.test(part);
}

/** Each `iss` that the issuer's tokens may have; none is accepted beside these. */
export function acceptedIss(issuer: Issuer): readonly string[] {
  if (issuer.provider === "alibaba") return [];
  return "accepted" in issuer ? issuer.accepted : [issuer.issuer];
}

/** Which of the many an accepted `iss` is, in a word: `acme`, or `acme/web` of two variables. Nothing where there is only one. */
export function memberOf(issuer: Issuer | undefined, iss: unknown): { readonly member?: string } {
  if (issuer === undefined || !("accepted" in issuer) || typeof iss !== "string") return {};
  const values = valuesIn(issuer.template, iss);
  return values === undefined ? {} : { member: values.join("/") };
}
