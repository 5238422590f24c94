/** `acr-broker key new`: an API key for its holder, and what broker.yaml keeps of it. Writes no file and reads none. */

import { cidr } from "../../shared/config/values.ts";
import { API_KEY_NAME, newApiKey } from "../../shared/identity/api-key.ts";
import { command, EXIT, UsageError } from "../command.ts";

const DEFAULT_DAYS = 90;
/** Whoever wants a key for longer than a year wants it forgotten; broker.yaml takes any date. */
const MOST_DAYS = 366;
const DAY_MS = 86_400_000;

export const newKey = command({
  usage: "--name NAME [--days DAYS] [--cidr NETWORK]... [--json]",
  description: `
Makes an API key of 256 random bits. The key goes to standard output, this one time: nobody can show it
again. What belongs into broker.yaml, which has the key's SHA-256 and never the key, goes to standard
error. Writes no file.

Exit codes: 0 made; 2 wrong usage.`,
  options: {
    name: { type: "string", value: "NAME", help: "whose key it is, as in api_keys: a-z, 0-9 and -, at most 63" },
    days: { type: "string", value: "DAYS", help: `how long it works, 1 to ${MOST_DAYS}; default ${DEFAULT_DAYS}` },
    cidr: { type: "string", multiple: true, value: "NETWORK", help: "works from there only; may be given again" },
    json: { type: "boolean", help: "all of it as one JSON object on standard output" },
  },
  mostPositionals: 0,
  examples: [
    "acr-broker key new --name nightly-2027 > nightly.key",
    "acr-broker key new --name nightly-2027 --days 30 --cidr 10.0.0.0/8 --json",
  ],
  run({ options }, terminal) {
    const name = checkedName(options.name);
    const days = checkedDays(options.days);
    const cidrs = options.cidr ?? [];
    for (const network of cidrs) {
      const complaint = cidr(network);
      if (complaint !== undefined) throw new UsageError(`--cidr ${complaint}`);
    }
    const now = terminal.now();
    const { key, sha256, last4 } = newApiKey(name, terminal.random);
    const entry = {
      sha256,
      expires: toTheSecond(new Date(now.getTime() + days * DAY_MS)),
      ...(cidrs.length === 0 ? {} : { cidrs }),
      created: toTheSecond(now),
      last4,
    };
    if (options.json === true) {
      terminal.out(`${JSON.stringify({ name, key, api_keys: { [name]: entry } })}\n`);
    } else {
      terminal.out(`${key}\n`);
      terminal.tell(yaml(name, entry));
    }
    return EXIT.ok;
  },
});

function checkedName(name: string | undefined): string {
  if (name === undefined) throw new UsageError("key new needs --name NAME: whose key it is");
  if (!API_KEY_NAME.test(name)) {
    throw new UsageError(
      `--name ${JSON.stringify(name)} is no name; write lower-case letters, digits and -, 63 at most, beginning with a letter or digit`,
    );
  }
  return name;
}

function checkedDays(written: string | undefined): number {
  const days = written === undefined ? DEFAULT_DAYS : /^\d{1,4}$/.test(written) ? Number(written) : 0;
  if (days < 1 || days > MOST_DAYS) throw new UsageError(`--days is a whole number, 1 to ${MOST_DAYS}`);
  return days;
}

function toTheSecond(date: Date): string {
  return date.toISOString().replace(/\.\d+Z$/, "Z");
}

/** Words as comments, so that all of it is YAML. Quoted: digits alone would be a number. */
function yaml(name: string, entry: Readonly<Record<string, string | readonly string[]>>): string {
  const lines = Object.entries(entry).map(([field, value]) => `    ${field}: ${JSON.stringify(value)}\n`);
  return `# The key is on standard output, and nowhere else. In broker.yaml, under api_keys:
  ${JSON.stringify(name)}:
${lines.join("")}# and in the grants that it opens: api_key: ${JSON.stringify(name)}
`;
}
