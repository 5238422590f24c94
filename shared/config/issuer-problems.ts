/**
 * What the fields of an issuer demand of one another, and a templated issuer of the grants and denials that name it: which
 * `iss` it takes must be known at the start, since every one of them has keys that the broker will fetch.
 */

import { overlap, valuesIn } from "../identity/issuer-template.ts";
import { quote } from "../policy/scope.ts";
import { type Problem, pathText, type Sound } from "./check.ts";
import type { Path } from "./document.ts";
import type { ConfigFile } from "./schema.ts";

type Content = Sound<ConfigFile>;
type Written = NonNullable<NonNullable<Content["issuers"]>[string]>;
type Oidc = Extract<Written, { readonly replay?: unknown }>;
type Conditions = NonNullable<NonNullable<Content["grants"]>[string]>["when"];

export function issuerProblems(config: Content): Problem[] {
  const issuers = Object.entries(config.issuers ?? {}).filter(
    (entry): entry is [string, Oidc] => entry[1] !== undefined && entry[1].provider !== "alibaba",
  );
  const templates = new Map(
    issuers.flatMap(([name, { issuer_template: template }]) => (template === undefined ? [] : [[name, template]])),
  );
  return [
    ...issuers.flatMap(([name, issuer]) => fieldProblems(["issuers", name], issuer)),
    ...overlaps(issuers),
    ...Object.entries(config.grants ?? {}).flatMap(([name, grant]) =>
      grant?.when === undefined ? [] : issProblems(["grants", name, "when"], grant.when, grant.issuer, templates),
    ),
    ...Object.entries(config.denials ?? {}).flatMap(([name, denial]) =>
      denial?.when !== undefined && "iss" in denial.when
        ? issProblems(["denials", name, "when"], denial.when, denial.issuer, templates)
        : [],
    ),
  ];
}

function fieldProblems(path: Path, issuer: Oidc): Problem[] {
  const refuse = (field: string, message: string): Problem => ({ path: [...path, field], part: "key", message });
  if (!("issuer" in issuer) && !("issuer_template" in issuer)) {
    return [
      refuse("issuer", "is missing; write exactly the iss of its tokens, or issuer_template for many of one form"),
    ];
  }
  const problems: Problem[] = [];
  if ("issuer_template" in issuer) {
    if ("issuer" in issuer) {
      problems.push(refuse("issuer_template", "stands beside issuer; keep one, or make an issuer of each"));
    }
    for (const field of ["jwks_file", "jwks_uri"] as const) {
      if (!(field in issuer)) continue;
      const message = "stands beside issuer_template, whose issuers have keys each of its own, found by discovery";
      problems.push(refuse(field, `${message}; take it out, or write an issuer with it for each`));
    }
  }
  if ("jwks_file" in issuer && "jwks_uri" in issuer) {
    problems.push(refuse("jwks_uri", "stands beside jwks_file; keep one of the two"));
  }
  if ("ca_file" in issuer) {
    if ("jwks_file" in issuer) {
      problems.push(refuse("ca_file", "stands beside jwks_file, with which nothing is fetched; keep one of the two"));
    }
    const urls = [issuer.issuer, issuer.issuer_template, issuer.jwks_uri];
    if (urls.some((url) => url?.startsWith("http:"))) {
      problems.push(
        refuse("ca_file", "stands beside an http URL, which has no certificate; write https, or take it out"),
      );
    }
  }
  return problems;
}

/** Of two templates, or of a template and an issuer: exactly one entry must take each `iss`. */
function overlaps(issuers: readonly (readonly [string, Oidc])[]): Problem[] {
  return issuers.flatMap(([name, { issuer_template: template }], index) => {
    if (template === undefined) return [];
    const path = ["issuers", name, "issuer_template"];
    return issuers.flatMap(([otherName, other], otherIndex): Problem[] => {
      const meets = (otherName: string, field: string): Problem => ({
        path,
        part: "value",
        message: `${quote(template)} has issuers in common with ${pathText(["issuers", otherName, field])}; one iss must select exactly one issuer`,
      });
      if (other.issuer !== undefined && valuesIn(template, other.issuer) !== undefined) {
        return [meets(otherName, "issuer")];
      }
      // Of two templates the later is told.
      const theirs = otherIndex < index ? other.issuer_template : undefined;
      return theirs !== undefined && overlap(template, theirs) ? [meets(otherName, "issuer_template")] : [];
    });
  });
}

/** The condition on `iss` names each one that is meant, or which keys are fetched would be a stranger's choice. */
function issProblems(
  path: Path,
  when: NonNullable<Conditions>,
  issuer: string | undefined,
  templates: ReadonlyMap<string, string>,
): Problem[] {
  const template = templates.get(issuer ?? "");
  if (template === undefined) return [];
  const example = template.replaceAll("{", "<").replaceAll("}", ">");
  if (!("iss" in when)) {
    const message = `lacks iss, and ${issuer} is a template of many issuers; name which is meant, as in iss: ${quote(example)}`;
    return [{ path, part: "key", message }];
  }
  const place = [...path, "iss"];
  const { iss } = when;
  // One that is wrong in itself has been complained of.
  if (iss === undefined) return [];
  if (typeof iss !== "string" && !("any_of" in iss)) {
    const message = "is a pattern where each issuer must be named; write its iss, or { any_of: [...] } of several";
    return [{ path: place, part: "value", message }];
  }
  const named: [Path, string | undefined][] =
    typeof iss === "string"
      ? [[place, iss]]
      : (iss.any_of ?? []).map((one, index) => [[...place, "any_of", index], one]);
  return named.flatMap(([where, one]): Problem[] => {
    if (one === undefined || valuesIn(template, one) !== undefined) return [];
    const message = `${quote(one)} is not of the form ${template}; write it with 1 to 128 of A-Z, a-z, 0-9, ., _, ~ and - for each variable, and nothing else changed`;
    return [{ path: where, part: "value", message }];
  });
}
