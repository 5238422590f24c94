/** A policy test file, read as strictly as the policy: what is not exactly meant is refused with its line and column. */

import { readFileSync } from "node:fs";
import { type Problem, pathText, shapeProblems } from "../../shared/config/check.ts";
import { type BrokerConfig, ConfigError, type ConfigProblem } from "../../shared/config/config.ts";
import { type Path, type Position, readYaml } from "../../shared/config/document.ts";
import type { RightsRequest } from "../../shared/policy/decision.ts";
import type { Principal } from "../../shared/policy/grant.ts";
import { type Misnomer, principalOf, requestOf } from "../question.ts";
import { type PolicyTestCase, PolicyTestFile } from "./schema.ts";

export interface LoadedCase {
  readonly file: string;
  readonly written: PolicyTestCase;
  readonly principal: Principal;
  readonly request: RightsRequest;
  /** Where a field of it stands; of one that is left out, the case. */
  position(field: keyof PolicyTestCase): Position;
}

/** @throws ConfigError with everything that is wrong with the files */
export function loadPolicyTests(files: readonly string[], config: BrokerConfig): LoadedCase[] {
  const problems: ConfigProblem[] = [];
  const cases = files.flatMap((file) => {
    const found: ConfigProblem[] = [];
    const loaded = loadFile(file, config, found);
    problems.push(...found.sort((a, b) => a.line - b.line || a.column - b.column));
    return loaded;
  });
  if (problems.length > 0) throw new ConfigError(problems);
  return cases;
}

function loadFile(file: string, config: BrokerConfig, problems: ConfigProblem[]): LoadedCase[] {
  let text: string;
  try {
    text = readFileSync(file, "utf8");
  } catch (error) {
    const message = `cannot be read (${(error as NodeJS.ErrnoException).code})`;
    problems.push({ file, line: 1, column: 1, message });
    return [];
  }
  const document = readYaml(text, "a list of cases");
  const report = (found: readonly Problem[]) => {
    for (const { path, part, message } of found) {
      problems.push({
        file,
        ...document.position(path, part),
        message: `${pathText(path)}${path.length > 0 ? ": " : ""}${message}`,
      });
    }
  };
  problems.push(...document.problems.map((problem) => ({ file, ...problem })));
  if (document.data === undefined || document.problems.length > 0) return [];
  const shape = shapeProblems(document, PolicyTestFile);
  report(shape);
  if (shape.length > 0) return [];

  const cases = document.data as PolicyTestCase[];
  report(sameNames(cases));
  return cases.flatMap((written, index): LoadedCase[] => {
    const { claims, issuer, api_key: apiKey, grant, registry, address, time } = written;
    const scope = typeof written.scope === "string" ? written.scope.split(" ").filter(Boolean) : written.scope;
    const asked = { address, time: time === undefined ? undefined : new Date(time) };
    const principal = principalOf({ claims, issuer, apiKey, ...asked }, config);
    const request = requestOf({ scope, grant, registry }, config);
    const wrong = [
      ...contradictions(written),
      ...unknownGrants(written, config),
      ...misnomers(principal, written),
      ...misnomers(request, written),
    ];
    report(wrong.map(({ path, ...rest }) => ({ path: [index, ...path], ...rest })));
    if ("problem" in principal || "problem" in request || wrong.length > 0) return [];
    return [{ file, written, principal, request, position: (field) => document.position([index, field], "value") }];
  });
}

function misnomers(result: object | Misnomer, written: PolicyTestCase): Problem[] {
  if (!("problem" in result)) return [];
  const { field, index, problem } = result;
  const isList = index !== undefined && typeof written[field] === "object";
  const path: Path = isList ? [field, index] : [field];
  return [{ path, part: written[field] === undefined ? "key" : "value", message: problem }];
}

/** What cannot stand in one case together. */
function contradictions(written: PolicyTestCase): Problem[] {
  const problems: Problem[] = [];
  const refuse = (field: keyof PolicyTestCase, message: string) => {
    if (written[field] !== undefined) problems.push({ path: [field], part: "key", message });
  };
  if (written.api_key !== undefined) {
    for (const field of ["claims", "issuer"] as const)
      refuse(field, "stands beside api_key, whose holder has neither; take it out");
  }
  const [expected, others] =
    written.expect === "allow"
      ? (["deny", ["reason", "claim", "limit"]] as const)
      : (["allow", ["grants", "ttl"]] as const);
  for (const field of others) refuse(field, `goes with expect: ${expected}; take it out`);
  for (const field of ["claim", "limit"] as const) {
    if (written.reason !== undefined && written.reason !== "condition") {
      refuse(field, "goes with reason: condition; take one of the two out");
    }
  }
  if (written.claim !== undefined)
    refuse("limit", "stands beside claim, and only the first of all fails; keep one of the two");
  return problems;
}

function unknownGrants({ grants = [] }: PolicyTestCase, config: BrokerConfig): Problem[] {
  const known = new Set(config.grants.map(({ name }) => name));
  return grants.flatMap((name, index) =>
    known.has(name)
      ? []
      : [{ path: ["grants", index], part: "value", message: `there is no grant ${JSON.stringify(name)}` }],
  );
}

/** Two cases of one name cannot be told apart in the output. */
function sameNames(cases: readonly PolicyTestCase[]): Problem[] {
  const first = new Map<string, number>();
  return cases.flatMap(({ name }, index): Problem[] => {
    const earlier = first.get(name);
    if (earlier === undefined) first.set(name, index);
    return earlier === undefined
      ? []
      : [{ path: [index, "name"], part: "value", message: "is another case's name already" }];
  });
}
