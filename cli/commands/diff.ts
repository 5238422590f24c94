/** `acr-broker diff`: who gains and who loses what between two policies. */

import type { BrokerConfig } from "../../shared/config/config.ts";
import { colours } from "../colours.ts";
import { command, EXIT, type Terminal, UsageError } from "../command.ts";
import { plural } from "../plural.ts";
import { readPolicy } from "../policy-cache.ts";
import { type Change, type Direction, together } from "../policy-diff/change.ts";
import { denialChanges, grantChanges } from "../policy-diff/grants.ts";
import { surroundingChanges } from "../policy-diff/surroundings.ts";
import { JSON_OPTION, policyFile } from "../policy-file.ts";

export const diff = command({
  usage: "OLD NEW",
  description: `
Compares two policies by what they give, grant by grant. A line begins with + where callers gain, with - where
they lose, with ! where it is both or cannot be told, with = where nobody gets more or less; so it can stand in
a pull request as a diff. What another grant also gives is not looked at.

Exit codes: 0 no difference in rights; 1 a difference; 2 no answer (wrong usage, or a policy that cannot be used).`,
  options: { json: JSON_OPTION },
  mostPositionals: 2,
  examples: ["acr-broker diff broker.old.yaml broker.yaml"],
  async run({ options, positionals: [old, now] }, terminal) {
    if (old === undefined || now === undefined) throw new UsageError("diff takes two policies: OLD NEW");
    const files: Files = { old: policyFile(old, terminal), now: policyFile(now, terminal) };
    const [before, after] = [await readPolicy(files.old, terminal), await readPolicy(files.now, terminal)];
    const changes = policyChanges(before, after);
    terminal.out(
      options.json === true
        ? `${JSON.stringify(report(changes, files, before, after))}\n`
        : changes.map((change) => changeText(change, files, terminal)).join("") + summary(changes, files),
    );
    return sameRights(changes) ? EXIT.ok : EXIT.no;
  },
});

interface Files {
  readonly old: string;
  readonly now: string;
}

function policyChanges(old: BrokerConfig, now: BrokerConfig): Change[] {
  return [
    ...grantChanges(old.grants, now.grants),
    ...denialChanges(old.denials, now.denials),
    ...surroundingChanges(old, now),
  ];
}

function sameRights(changes: readonly Change[]): boolean {
  return changes.every(({ direction }) => direction === "same");
}

/** At the beginning of a line, as code review services colour a diff. */
const SIGNS: Readonly<Record<Direction, string>> = { widened: "+", narrowed: "-", both: "!", same: "=" };
const WORDS: Readonly<Record<Direction, string>> = {
  widened: "wider",
  narrowed: "narrower",
  both: "wider and narrower",
  same: "the same rights",
};

function changeText(change: Change, files: Files, { colour }: Terminal): string {
  const { bold, dim, green, red, yellow } = colours(colour.out);
  const paint = { widened: green, narrowed: red, both: yellow, same: dim };
  const { subject, name, kind, direction, details, oldLine, newLine } = change;
  const place =
    newLine !== undefined ? `${files.now}:${newLine}` : oldLine !== undefined ? `${files.old}:${oldLine}` : "";
  const head = `${SIGNS[direction]} ${bold(subject === name || subject === "setting" ? name : `${subject} ${name}`)} ${kind}: ${WORDS[direction]}`;
  return [
    paint[direction](head) + (place && dim(` (${place})`)),
    ...details.map((detail) =>
      paint[detail.direction](`${SIGNS[detail.direction]}     ${detail.field}: ${detail.text}`),
    ),
    "",
  ].join("\n");
}

function summary(changes: readonly Change[], { old, now }: Files): string {
  if (sameRights(changes)) return `${now} gives the same rights as ${old}\n`;
  const count = (direction: Direction) => changes.filter((change) => change.direction === direction).length;
  return `${now} against ${old}: ${plural(changes.length, "change")}, ${count("widened")} wider, ${count("narrowed")} narrower, ${count("both")} both or not to be told\n`;
}

function report(changes: readonly Change[], files: Files, old: BrokerConfig, now: BrokerConfig): object {
  return {
    old: { file: files.old, policy_digest: old.digest },
    new: { file: files.now, policy_digest: now.digest },
    same_rights: sameRights(changes),
    direction: together(changes.map(({ direction }) => ({ field: "", text: "", direction }))),
    changes: changes.map(({ subject, name, kind, direction, details, oldLine, newLine }) => ({
      subject,
      name,
      kind,
      direction,
      old_line: oldLine,
      new_line: newLine,
      details,
    })),
  };
}
