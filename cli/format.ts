/** Which form an answer is written in: `--format`, or `--json` for the one. */

import { UsageError } from "./command.ts";

/** Undefined where neither is given. @throws UsageError */
export function formatOf<F extends string>(
  { format, json }: { readonly format?: string; readonly json?: boolean },
  formats: readonly F[],
): F | "json" | undefined {
  if (format === undefined) return json === true ? "json" : undefined;
  const known = formats.find((one) => one === format);
  if (known === undefined) throw new UsageError(`--format is one of ${formats.join(", ")}`);
  return known;
}
