/** The action's post step: removes the login that its main step made, whatever became of the job. */

import { rmSync } from "node:fs";
import { fail, say, state } from "./runner.ts";

const folder = state("folder");
if (folder !== "") {
  try {
    rmSync(folder, { recursive: true, force: true });
    say("the login is removed");
  } catch {
    fail(`${folder} could not be removed; the login in it ends by itself within the hour`);
  }
}
