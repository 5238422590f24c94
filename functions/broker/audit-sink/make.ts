/** The audit sink that the configuration names, and standard output beside it. */

import { resolve } from "node:path";
import type { Environment } from "../../../shared/alibaba/role-keys.ts";
import type { Lines } from "../../../shared/audit/lines.ts";
import type { LogEvent } from "../../../shared/audit/log.ts";
import { type Put, type Sink, type SinkParts, sink } from "../../../shared/audit/sink.ts";
import type { AuditFile, AuditSettings, BrokerConfig } from "../../../shared/config/config.ts";
import type { NodeFetch } from "../http/fetch.ts";
import { fileSink } from "./file.ts";
import { httpsSink } from "./https.ts";

export interface AuditSinkOutside extends Pick<SinkParts, "warn" | "now" | "soon" | "after"> {
  readonly environment: Environment;
  /** What relative names are relative to. */
  readonly folder: string;
  /** Of this instance, and no other's. */
  readonly instance: string;
  readonly fetchAgain: NodeFetch["fetchAgain"];
}

export function auditSink({ to, whenUnavailable }: AuditSettings, outside: AuditSinkOutside): Sink {
  const place = "file" in to ? file(to, outside) : collector(to, outside);
  return sink({ ...outside, ...place, whenUnavailable });
}

type Place = { readonly name: string; readonly put: Put };

function file({ file }: AuditFile, { folder, instance }: AuditSinkOutside): Place {
  const path = resolve(folder, file.replaceAll("{instance}", instance));
  return { name: path, put: fileSink(path) };
}

function collector(
  { url, authorizationVariable, ca }: Exclude<AuditSettings["to"], AuditFile>,
  { environment, fetchAgain }: AuditSinkOutside,
): Place {
  const authorization = authorizationVariable === undefined ? undefined : environment[authorizationVariable];
  // Some have a secret in the path.
  return { name: new URL(url).origin, put: httpsSink(fetchAgain(ca?.certificates), url, authorization) };
}

/** Lines for standard output and, those of audit events, for the sink; `written` waits for both. */
export function withSink(out: Lines, sink: Sink | undefined) {
  if (sink === undefined) return { write: out.write, written: out.written };
  return {
    write(line: string, event: LogEvent["event"]): void {
      out.write(line);
      if (event === "decision" || event === "refused") sink.write(line);
    },
    async written(): Promise<void> {
      await Promise.all([out.written(), sink.written()]);
    },
  };
}

/** RFC 9110 section 11.6.2: a scheme, and what goes with it. */
const AUTHORIZATION = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+ [\x21-\x7e](?:[\x20-\x7e]*[\x21-\x7e])?$/;

/** What is wrong with the collector's header; neither it nor the variable's name, in whose place it may have been written. */
export function authorizationProblem({ audit }: BrokerConfig, environment: Environment): string | undefined {
  const variable = audit !== undefined && "url" in audit.to ? audit.to.authorizationVariable : undefined;
  if (variable === undefined) return undefined;
  const value = environment[variable] ?? "";
  if (AUTHORIZATION.test(value)) return undefined;
  const fault = value === "" ? "is not set, or empty" : "holds no Authorization header";
  return `the environment variable that audit.authorization_env names ${fault}; set it to the whole header, such as Bearer and the token, or take authorization_env out`;
}
