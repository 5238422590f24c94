/** Stryker's plugins for `npm run mutation`: what runs the tests, and what leaves the words of messages as they are. */

import { readdirSync } from "node:fs";
import { register } from "node:module";
import { resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { INSTRUMENTER_CONSTANTS, type InstrumenterContext } from "@stryker-mutator/api/core";
import { declareClassPlugin, declareValuePlugin, PluginKind } from "@stryker-mutator/api/plugin";
import {
  type DryRunResult,
  DryRunStatus,
  determineHitLimitReached,
  type MutantRunOptions,
  type MutantRunResult,
  type TestRunner,
  TestStatus,
  toMutantRunResult,
} from "@stryker-mutator/api/test-runner";

type Vitest = typeof import("./vitest.ts");

const FOLDERS = ["test/policy", "test/identity"];
/** It starts programs. */
const LEFT_OUT = "test/identity/wycheproof.test.ts";

function shared(): InstrumenterContext {
  const all = globalThis as unknown as Record<string, InstrumenterContext>;
  all[INSTRUMENTER_CONSTANTS.NAMESPACE] ??= {};
  return all[INSTRUMENTER_CONSTANTS.NAMESPACE] as InstrumenterContext;
}

class InProcess implements TestRunner {
  /** What the mutated code reads and counts in. */
  readonly #mutants: InstrumenterContext = shared();
  #vitest: Vitest | undefined;

  capabilities() {
    return { reloadEnvironment: false };
  }

  async init(): Promise<void> {
    const own = pathToFileURL(resolve("test/mutation/vitest.ts")).href;
    const hook = `export const resolve = (name, context, next) => name === "vitest" ? { url: ${JSON.stringify(own)}, format: "module", shortCircuit: true } : next(name, context);`;
    register(`data:text/javascript,${encodeURIComponent(hook)}`);
    this.#vitest = (await import(own)) as Vitest;
    for (const folder of FOLDERS)
      for (const name of readdirSync(folder)) {
        const file = `${folder}/${name}`;
        if (!name.endsWith(".test.ts") || file === LEFT_OUT) continue;
        await this.#vitest.inFile(file, () => import(pathToFileURL(resolve(file)).href));
      }
  }

  async dryRun(): Promise<DryRunResult> {
    const result = await this.#run(undefined, false);
    // What some test runs, too, is tested by that one. Else Stryker would run all tests on what is run while they are loaded.
    const { static: loading = {}, perTest = {} } = this.#mutants.mutantCoverage ?? {};
    for (const hits of Object.values(perTest)) for (const mutant of Object.keys(hits)) delete loading[mutant];
    return result;
  }

  async mutantRun({ activeMutant, hitLimit, testFilter, disableBail }: MutantRunOptions): Promise<MutantRunResult> {
    this.#mutants.activeMutant = activeMutant.id;
    this.#mutants.hitCount = 0;
    if (hitLimit === undefined) delete this.#mutants.hitLimit;
    else this.#mutants.hitLimit = hitLimit;
    const result = await this.#run(testFilter && new Set(testFilter), !disableBail);
    return toMutantRunResult(determineHitLimitReached(this.#mutants.hitCount, hitLimit) ?? result);
  }

  async #run(wanted: ReadonlySet<string> | undefined, bail: boolean): Promise<DryRunResult> {
    const outcomes = await (this.#vitest as Vitest).runTests({
      wanted,
      bail,
      before: (id) => {
        this.#mutants.currentTestId = id;
      },
      after: () => {
        delete this.#mutants.currentTestId;
      },
    });
    return {
      status: DryRunStatus.Complete,
      ...(this.#mutants.mutantCoverage && { mutantCoverage: this.#mutants.mutantCoverage }),
      tests: outcomes.map(({ id, milliseconds, failure }) => ({
        id,
        name: id,
        timeSpentMs: milliseconds,
        ...(failure === undefined
          ? { status: TestStatus.Success }
          : { status: TestStatus.Failed, failureMessage: failure }),
      })),
    };
  }
}

/** Of Babel's nodes, what is read here: its types are no part of Stryker's. */
type Node =
  | { readonly type: "StringLiteral"; readonly value: string }
  | { readonly type: "TemplateLiteral"; readonly quasis: readonly { readonly value: { readonly raw: string } }[] }
  | { readonly type: "other" };

export const strykerPlugins = [
  declareClassPlugin(PluginKind.TestRunner, "in-process", InProcess),
  declareValuePlugin(PluginKind.Ignore, "words", {
    /** Strings with a space in them: tests may quote them, and they decide nothing. */
    shouldIgnore(path) {
      const { node } = path as unknown as { node: Node };
      const texts =
        node.type === "StringLiteral"
          ? [node.value]
          : node.type === "TemplateLiteral"
            ? node.quasis.map(({ value }) => value.raw)
            : [];
      return texts.some((text) => text.includes(" ")) ? "the words of a message" : undefined;
    },
  }),
];
