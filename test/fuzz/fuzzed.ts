/** A property that is run for a moment by the tests and for as long as one likes by `npm run fuzz`, which keeps the inputs that break it. */

import { readFileSync, writeFileSync } from "node:fs";
import fc from "fast-check";

export interface Fuzzed {
  readonly name: string;
  /** What the tests run. */
  readonly runs: number;
  /** Runs it on kept inputs first; answers how often it ran, and the smallest input found that breaks it. */
  run(parameters: { numRuns: number; limitMs?: number }): Promise<{ runs: number; broken?: Broken }>;
}

export interface Broken {
  readonly property: string;
  /** JSON as it is, so that it can be kept and read. */
  readonly input: unknown;
  /** Finds it again as long as the property's generators are the same. */
  readonly seed: number;
  readonly error: string;
}

const KEPT = new URL("kept.json", import.meta.url);

/** What once broke a property, found by whatever means; each is tried again by every run. */
export function kept(): readonly { readonly property: string; readonly input: unknown }[] {
  return JSON.parse(readFileSync(KEPT, "utf8"));
}

export function keep({ property, input }: Broken): void {
  writeFileSync(KEPT, `${JSON.stringify([...kept(), { property, input }], null, 2)}\n`);
}

/** Inputs must come through JSON unchanged; `check` throws where one breaks the rule. */
export function fuzzed<Input>(
  name: string,
  runs: number,
  inputs: fc.Arbitrary<Input>,
  check: (input: Input) => void | Promise<void>,
): Fuzzed {
  return {
    name,
    runs,
    async run({ numRuns, limitMs }) {
      const examples = kept()
        .filter(({ property }) => property === name)
        .map(({ input }): [Input] => [input as Input]);
      const property = fc.asyncProperty(inputs, async (input) => check(input));
      const {
        failed,
        counterexample,
        seed,
        errorInstance,
        numRuns: runs,
      } = await fc.check(property, {
        numRuns: numRuns + examples.length,
        examples,
        ...(limitMs === undefined ? {} : { interruptAfterTimeLimit: limitMs }),
      });
      if (!failed || counterexample === null) return { runs };
      const broken = { property: name, input: counterexample[0], seed, error: String(errorInstance) };
      return { runs, broken };
    },
  };
}
