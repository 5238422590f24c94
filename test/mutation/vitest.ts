/**
 * What the tests import as "vitest" while code is mutated: it remembers them, and runs those asked for as often as asked. Vitest loads
 * every file anew for each mutant, which takes a thousand times as long as the tests do. Its assertions are vitest's own.
 */

import { chai, JestAsymmetricMatchers, JestChaiExpect, JestExtend } from "@vitest/expect";

type Work = (...args: never[]) => unknown;

interface Suite {
  readonly parent: Suite | undefined;
  readonly name: string;
  readonly children: (Suite | Test)[];
  readonly hooks: Readonly<Record<"beforeAll" | "afterAll" | "beforeEach" | "afterEach", (() => unknown)[]>>;
}

interface Test {
  /** Its names from the file on, which tell it from all others. */
  readonly id: string;
  readonly run: () => unknown;
}

export interface Outcome {
  readonly id: string;
  readonly milliseconds: number;
  readonly failure?: string;
}

const newSuite = (name: string, parent?: Suite): Suite => ({
  parent,
  name,
  children: [],
  hooks: { beforeAll: [], afterAll: [], beforeEach: [], afterEach: [] },
});

let current = newSuite("");
const files: Suite[] = [];

/** What is said while `load` runs is of the file. */
export async function inFile(name: string, load: () => Promise<unknown>): Promise<void> {
  current = newSuite(name);
  files.push(current);
  await load();
}

function within(name: string, fill: () => void): void {
  const suite = newSuite(name, current);
  current.children.push(suite);
  current = suite;
  fill();
  current = suite.parent as Suite;
}

function remember(name: string, options: { timeout?: number } | Work, work?: Work): void {
  // Tests that were given more time than others go through so many cases that a run on each mutant would take hours.
  if (typeof options !== "function" && options.timeout !== undefined) return;
  const run = (typeof options === "function" ? options : work) as () => unknown;
  const names = [name];
  for (let suite: Suite | undefined = current; suite !== undefined; suite = suite.parent) names.unshift(suite.name);
  current.children.push({ id: `${names.join(" > ")} ${current.children.length}`, run });
}

const rows =
  (declare: (name: string, work: () => unknown) => void) =>
  (table: readonly unknown[]) =>
  (name: string, work: Work): void => {
    const spread = table.every(Array.isArray);
    for (const row of table) declare(name, () => work(...((spread ? row : [row]) as never[])));
  };

export const describe = Object.assign(within, {
  each: rows(within),
  /** What hangs on a program that may not be there is left out: one would be started for each mutant. */
  skipIf: () => () => {},
});
export const test = Object.assign(remember, { each: rows(remember) });
export const beforeAll = (work: () => unknown) => current.hooks.beforeAll.push(work);
export const afterAll = (work: () => unknown) => current.hooks.afterAll.push(work);
export const beforeEach = (work: () => unknown) => current.hooks.beforeEach.push(work);
export const afterEach = (work: () => unknown) => current.hooks.afterEach.push(work);

chai.use(JestExtend);
chai.use(JestChaiExpect);
chai.use(JestAsymmetricMatchers);
export const expect = chai.expect;

/** Of files that have a module replaced, which is not done here: their tests that rest on it fail without any mutant, and are to be forgotten. */
const replacing = new Set<string>();
export const vi = {
  mock: () => replacing.add(current.name),
  hoisted: <Made>(make: () => Made): Made => make(),
  fn: <Original>(original: Original): Original => original,
  mocked: <Original>(original: Original): Original => original,
  clearAllMocks: () => {},
};

const testsOf = (suite: Suite): Test[] =>
  suite.children.flatMap((child) => ("children" in child ? testsOf(child) : [child]));

/** Runs those of `wanted`, or all but what is to be forgotten, up to the first that fails where `bail`. */
export async function runTests(options: {
  readonly wanted: ReadonlySet<string> | undefined;
  readonly bail: boolean;
  readonly before: (id: string) => void;
  readonly after: () => void;
}): Promise<Outcome[]> {
  const outcomes: Outcome[] = [];
  const done = () => options.bail && outcomes.some(({ failure }) => failure !== undefined);
  const isWanted = (one: Test) => options.wanted?.has(one.id) ?? true;

  async function one({ id, run }: Test, around: readonly Suite[]): Promise<void> {
    const start = performance.now();
    options.before(id);
    const failure = await failureOf(async () => {
      for (const { hooks } of around) for (const hook of hooks.beforeEach) await hook();
      try {
        await run();
      } finally {
        for (const { hooks } of around.toReversed()) for (const hook of hooks.afterEach) await hook();
      }
    });
    options.after();
    outcomes.push({ id, milliseconds: performance.now() - start, ...(failure === undefined ? {} : { failure }) });
  }

  async function all(suite: Suite, outer: readonly Suite[]): Promise<void> {
    const wanted = testsOf(suite).filter(isWanted);
    if (wanted.length === 0 || done()) return;
    const around = [...outer, suite];
    const failure = await failureOf(async () => {
      for (const hook of suite.hooks.beforeAll) await hook();
    });
    if (failure !== undefined) {
      outcomes.push(...wanted.map(({ id }) => ({ id, milliseconds: 0, failure })));
    } else {
      for (const child of suite.children) {
        if (done()) break;
        if ("children" in child) await all(child, around);
        else if (isWanted(child)) await one(child, around);
      }
    }
    for (const hook of suite.hooks.afterAll) await failureOf(async () => hook());
  }

  for (const file of files) await all(file, []);
  if (options.wanted !== undefined) return outcomes;
  const ofReplaced = ({ id, failure }: Outcome) =>
    failure !== undefined && [...replacing].some((file) => id.startsWith(`${file} > `));
  return outcomes.filter((outcome) => !ofReplaced(outcome));
}

async function failureOf(work: () => Promise<unknown>): Promise<string | undefined> {
  try {
    await work();
    return undefined;
  } catch (error) {
    return String(error).slice(0, 500) || "it threw";
  }
}
