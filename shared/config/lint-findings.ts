/**
 * What a reviewer should see of a policy that loads: nothing here stops the start. Each rule has a file of its subject and
 * stands in RULES; what stops the start is the business of check.ts and lint.ts.
 */

import { apiKeyRules } from "./api-key-findings.ts";
import type { BrokerConfig } from "./config.ts";
import type { Path, Position } from "./document.ts";
import { grantRules } from "./grant-findings.ts";
import { redisRules } from "./redis-findings.ts";

export interface Finding {
  /** Stable: `api-key-old`; `config` for what stops the start. */
  readonly rule: string;
  /** `error`: the broker does not start, or should not. */
  readonly severity: "error" | "warning" | "note";
  readonly file: string;
  /** Both counted from 1. */
  readonly line: number;
  readonly column: number;
  readonly message: string;
}

/** What a rule finds, by its place in the structure. */
export interface Found extends Pick<Finding, "severity" | "message"> {
  readonly path: Path;
  readonly part: "key" | "value";
}

export type Rule = (config: BrokerConfig, now: Date) => readonly Found[];

const RULES: Readonly<Record<string, Rule>> = { ...apiKeyRules, ...grantRules, ...redisRules };

export interface Reviewed {
  readonly config: BrokerConfig;
  /** Its name in messages. */
  readonly file: string;
  /** As of the document that the configuration was read from; asked only for what is found. */
  position(path: Path, part: "key" | "value"): Position;
  readonly now: Date;
}

/** In the order of the file. */
export function lintFindings({ config, file, position, now }: Reviewed): Finding[] {
  return Object.entries(RULES)
    .flatMap(([rule, find]) =>
      find(config, now).map(({ path, part, severity, message }) => ({
        rule,
        severity,
        file,
        ...position(path, part),
        message,
      })),
    )
    .sort((a, b) => a.line - b.line || a.column - b.column);
}
