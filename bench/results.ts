/** What bench/results/ has: one file for each benchmark, of its last run here. docs/performance.md is made of them. */

import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import type { ColdResult } from "./cold.ts";
import type { DecisionResult } from "./decision.ts";
import type { ExplainResult } from "./explain.ts";
import type { HelperResult } from "./helper.ts";
import type { MemoryResult } from "./memory.ts";
import type { OverloadResult } from "./overload.ts";
import type { SizeResult } from "./size.ts";
import type { UpstreamResult } from "./upstream.ts";
import type { WarmResult } from "./warm.ts";

export interface Results {
  readonly decision: readonly DecisionResult[];
  readonly explain: readonly ExplainResult[];
  readonly helper: HelperResult;
  readonly size: readonly SizeResult[];
  readonly upstream: readonly UpstreamResult[];
  readonly cold: readonly ColdResult[];
  readonly warm: readonly WarmResult[];
  readonly overload: readonly OverloadResult[];
  readonly memory: readonly MemoryResult[];
}

export type Name = keyof Results;

export const NAMES = [
  "decision",
  "explain",
  "helper",
  "size",
  "upstream",
  "cold",
  "warm",
  "overload",
  "memory",
] as const;

/** Where and when it was measured. */
export interface Run {
  readonly node: string;
  readonly cpu: string;
  readonly cpus: number;
  /** Servers had a core of their own. */
  readonly pinned: boolean;
  readonly date: string;
  /** How often each thing was measured. */
  readonly runs: number;
}

export type Kept<N extends Name> = Run & { readonly result: Results[N] };

const FOLDER = new URL("./results/", import.meta.url);

export function keep<N extends Name>(name: N, kept: Kept<N>): void {
  mkdirSync(FOLDER, { recursive: true });
  // Five digits are more than any of it is sure of; the rest would only be another line of each diff.
  const short = (_: string, value: unknown) =>
    typeof value === "number" && !Number.isInteger(value) ? Number(value.toPrecision(5)) : value;
  writeFileSync(new URL(`${name}.json`, FOLDER), `${JSON.stringify(kept, short, 2)}\n`);
}

/** @throws Error where that benchmark has not been run here */
export function kept<N extends Name>(name: N): Kept<N> {
  return JSON.parse(readFileSync(new URL(`${name}.json`, FOLDER), "utf8")) as Kept<N>;
}

export type AllKept = { readonly [N in Name]: Kept<N> };

export function allKept(): AllKept {
  return Object.fromEntries(NAMES.map((name) => [name, kept(name)])) as unknown as AllKept;
}
