/** `acr-broker doctor`: why does it not work, from where the caller stands. Issues nothing and changes nothing. */

import {
  BROKER_OPTIONS,
  brokerOf,
  brokerOptions,
  isAskedFor,
  REQUEST_OPTIONS,
  registryOf,
  requestOf,
} from "../broker.ts";
import { colours } from "../colours.ts";
import { command, EXIT, type Terminal } from "../command.ts";
import { brokerExam } from "../doctor/broker-steps.ts";
import { dockerSteps, registrySteps } from "../doctor/docker-steps.ts";
import type { Step } from "../doctor/step.ts";
import { JSON_OPTION } from "../policy-file.ts";
import type { BrokerFacts } from "../registries.ts";
import { hideSecrets } from "../secrets.ts";

/** One try is enough for it. */
const { deadline: _, ...REACHED } = BROKER_OPTIONS;

export const doctor = command({
  usage: "[--scope SCOPE... | --grant NAME] [--json]",
  description: `
Goes the caller's way to a credential step by step: the url, the broker and its certificate, the clock, the
identity that is found, its audience, what the broker says of it, whether it would issue what is asked for,
where docker looks for a login, and whether the registry answers from here. Each step says what it found, and
where that is wrong what to change. Nothing is issued, and no token is shown: of a JWT iss, sub, aud and exp.

Exit codes: 0 all well, warnings may be; 1 a step has failed; 2 wrong usage.`,
  options: { ...REACHED, ...REQUEST_OPTIONS, json: JSON_OPTION },
  mostPositionals: 0,
  examples: ["acr-broker doctor", "acr-broker doctor --scope repository:web/app:pull,push --json"],
  async run({ options }, terminal) {
    const { audience, functionCompute } = brokerOptions(options, terminal);
    const base = new URL(brokerOf(options, terminal).url);
    const request = isAskedFor(options, terminal) ? requestOf(options, terminal) : undefined;
    const exam = brokerExam({ base, audience, functionCompute, outside: terminal.outside });
    const steps: Step[] = [];
    const tell = (more: readonly Step[]) => {
      steps.push(...more);
      if (options.json !== true) terminal.out(more.map((step) => line(step, terminal)).join(""));
    };

    tell([{ step: "url", outcome: "ok", says: base.href }]);
    const { steps: reached, found } = await exam.reach();
    tell(reached);
    const { steps: identified, source } = await exam.identity(found);
    tell(identified);
    if (source === undefined || found === undefined)
      tell([{ step: "whoami", outcome: "skipped", says: "needs the broker and an identity" }]);
    else {
      tell([await exam.whoami(source)]);
      tell([request === undefined ? NOTHING_ASKED : await exam.explain(source, request)]);
    }
    const registries = Object.entries(registriesOf(found, registryOf(options, terminal.environment)));
    tell(
      dockerSteps(
        registries.flatMap(([, hosts]) => hosts),
        terminal,
      ),
    );
    for (const [name, hosts] of registries) tell(await registrySteps(name, hosts, terminal.outside));

    const failed = steps.filter(({ outcome }) => outcome === "failed").length;
    if (options.json === true)
      terminal.out(hideSecrets(`${JSON.stringify({ url: base.href, ok: failed === 0, steps })}\n`));
    return failed === 0 ? EXIT.ok : EXIT.no;
  },
});

const NOTHING_ASKED: Step = {
  step: "explain",
  outcome: "skipped",
  says: "nothing was asked for",
  change: "give --scope or --grant to see whether it would be issued",
};

function registriesOf(found: BrokerFacts | undefined, wanted: string | undefined): BrokerFacts["registries"] {
  const registries = found?.registries ?? {};
  const one = wanted === undefined ? undefined : registries[wanted];
  return wanted === undefined || one === undefined ? registries : { [wanted]: one };
}

function line({ step, outcome, says, change }: Step, { colour }: Terminal): string {
  const { green, yellow, red, dim } = colours(colour.out);
  const paint = { ok: green, warning: yellow, failed: red, skipped: dim }[outcome];
  const printable = (text: string) => hideSecrets(text.replace(/\p{Cc}+/gu, " "));
  const more = change === undefined ? "" : `${" ".repeat(19)}${printable(change)}\n`;
  return `${paint(outcome.padEnd(8))} ${step.padEnd(9)} ${printable(says)}\n${more}`;
}
