/**
 * What a single value of broker.yaml must look like. Each rule answers with what is wrong and what to write instead, or
 * with nothing. URLs are parsed and compared by part, never matched as a whole: an unanchored pattern over an issuer's URL
 * is how others were made to trust a stranger (Fulcio GHSA-59jp-pj84-45mr).
 */

import { isIPv4, isIPv6 } from "node:net";
import { filledWith, variablesIn } from "../identity/issuer-template.ts";
import { formatScope, parseScope, quote } from "../policy/scope.ts";
import { isScopeTemplate, parseScopeTemplate } from "../policy/scope-template.ts";

/** A value's complaint about itself, or nothing. */
export type Rule = (value: string) => string | undefined;

// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
const CONTROL_CHARACTER = /[\u0000-\u001f\u007f-\u009f\u2028\u2029]/;

/** What stands in an address before an @ or behind a ? may be a secret, and what is complained of ends up in a log. */
function shownAddress(value: string): string {
  return quote(value.replace(/^.*@/s, "…@").replace(/\?.*$/s, "?…"));
}

/** Text that is compared with a claim, letter by letter. */
const comparable: Rule = (value) => {
  if (value === "") return "is empty; write the value that the claim must have";
  if (CONTROL_CHARACTER.test(value)) return `${quote(value)} has a control character or line break in it; take it out`;
  if (value.trim() !== value) return `${quote(value)} begins or ends with white space; take it out`;
  // “ ” „ ‟ ‘ ’ ‚ ‛ « »: to YAML they are part of the text.
  if (/^[\u2018-\u201f\u00ab\u00bb]|[\u2018-\u201f\u00ab\u00bb]$/.test(value)) {
    return `${quote(value)} has quotes typed by a word processor around it; write straight quotes (")`;
  }
  return undefined;
};

export const exactValue: Rule = (value) => {
  if (value.includes("*") && comparable(value) === undefined) {
    return `${quote(value)} has a * in an exact value; write { glob: ${quote(value)} } if it is a pattern (* stays within one segment)`;
  }
  return comparable(value);
};

export const glob: Rule = (value) => {
  const complaint = comparable(value);
  if (complaint !== undefined) return complaint;
  if (!value.includes("*")) return `${quote(value)} has no * in it; write it as an exact value: ${quote(value)}`;
  if (value.includes("**")) {
    return `${quote(value)} has ** in it; * never crosses / : or @, so write one * for each segment, as in "a/*/*"`;
  }
  // Legal in a value, but whoever writes one in a pattern has another pattern language in mind.
  const foreign = /^!|[?[\]{}\\^$|]/.exec(value)?.[0];
  if (foreign !== undefined) {
    return `${quote(value)} has ${quote(foreign)} in it; only * is special here, so write the values out with any_of`;
  }
  return undefined;
};

export const claimName: Rule = (value) =>
  comparable(value) ??
  (/[\s*]/.test(value)
    ? `${quote(value)} is no claim's name; write the one claim that is meant, without * or spaces`
    : undefined);

export const audience: Rule = (value) => {
  if (value === "") return "is empty; write what callers put into their tokens, such as https://acr-broker.example.com";
  return /[\s*]/.test(value) || CONTROL_CHARACTER.test(value)
    ? `${quote(value)} has white space or a * in it; write it without: an audience is compared as it stands`
    : undefined;
};

/** One scope, written out. */
export const scope: Rule = (value) => {
  const parsed = parseScope(value);
  return "problem" in parsed ? parsed.problem : undefined;
};

/** One scope of a grant: written out, or with a claim's value in it. */
export const allowedScope: Rule = (value) => {
  if (!isScopeTemplate(value)) return scope(value);
  const parsed = parseScopeTemplate(value);
  return "problem" in parsed ? parsed.problem : undefined;
};

/** What two ways of writing the same scope have in common. */
export function sameScope(value: string): string {
  const parsed = parseScope(value);
  return "problem" in parsed ? value : formatScope(parsed.scope);
}

/** `https:`, or `http:` on this very machine (the sandbox); no user, query, fragment or pattern. */
export const url: Rule = (value) => {
  // The characters of RFC 3986 for host and path: URL() would quietly repair others, and `*` is one of them.
  const parsed = /^[a-z]+:\/\/[A-Za-z0-9.:[\]-]+(?:\/[A-Za-z0-9._~%!$&'()+,;=:@/-]*)?$/.test(value) && tryUrl(value);
  if (!parsed) {
    return `${shownAddress(value)} is not a plain URL; write https://host[:port][/path], without user, query, fragment or *`;
  }
  if (parsed.protocol === "https:" || (parsed.protocol === "http:" && isLoopback(parsed.hostname))) return undefined;
  return `${shownAddress(value)} is not https; http is for this machine alone (127.0.0.1, [::1], localhost)`;
};

/** A URL in whose path whole segments are `{variables}`; in no other spelling than URL()'s own, since `iss` is compared as it stands. */
export const issuerTemplate: Rule = (value) => {
  const filled = filledWith(value, "x");
  const complaint = url(filled);
  if (complaint !== undefined && (tryUrl(filled) === undefined || /[{}*?#@]/.test(filled))) {
    return `${shownAddress(value)} is no URL with variables; write https://host[:port]/path in which {name} (a-z, 0-9, _) is a whole segment of the path, without user, query, fragment or *`;
  }
  if (complaint !== undefined) return complaint;
  const variables = variablesIn(value);
  if (variables.length === 0) return `${quote(value)} has no variable; write it as issuer`;
  const twice = variables.find((one, index) => variables.indexOf(one) !== index);
  if (twice !== undefined) return `${quote(value)} has ${twice} twice; give each variable a name of its own`;
  const { href } = new URL(filled);
  if (href !== filled || /%|\/\//.test(filled.slice("https://".length))) {
    return `${quote(value)} has another spelling; write the host in lower case, without the scheme's own port, and no ., .., empty or %-encoded segment`;
  }
  return undefined;
};

/** A file's name in which `{instance}` may stand, and nothing else in braces. */
export const auditFile: Rule = (value) => {
  if (value === "") return "is empty; name the file that the audit events go to";
  if (CONTROL_CHARACTER.test(value)) return `${quote(value)} has a control character or line break in it; take it out`;
  return /[{}]/.test(value.replaceAll("{instance}", ""))
    ? `${quote(value)} has another brace in it than those of {instance}; write that, or none`
    : undefined;
};

/** A URL without a path. */
export const origin: Rule = (value) => {
  const complaint = url(value);
  if (complaint !== undefined) return complaint;
  return /^[a-z]+:\/\/[^/]+$/.test(value)
    ? undefined
    : `${quote(value)} has a path; write only the scheme, host and port`;
};

function tryUrl(value: string): URL | undefined {
  try {
    return new URL(value);
  } catch {
    return undefined;
  }
}

function isLoopback(hostname: string): boolean {
  return hostname === "localhost" || hostname === "[::1]" || (isIPv4(hostname) && hostname.startsWith("127."));
}

/** RFC 3339 with its zone written; a day that the month does not have would quietly become another. */
export const dateTime: Rule = (value) => {
  const [, day] = /^(\d{4}-\d\d-\d\d)T\d\d:\d\d:\d\d(?:\.\d{1,9})?(?:Z|[+-]\d\d:\d\d)$/.exec(value) ?? [];
  const midnight = new Date(`${day}T00:00:00Z`);
  const isDay = !Number.isNaN(midnight.getTime()) && midnight.toISOString().slice(0, 10) === day;
  return isDay && !Number.isNaN(Date.parse(value))
    ? undefined
    : "is not a date and time with its zone; write one like 2027-06-30T00:00:00Z";
};

/** `09:00-18:00`, of one day, or over midnight into the next: `22:00-06:00`. */
export const hours: Rule = (value) => {
  const parsed = parseHours(value);
  if (parsed === undefined) return `${quote(value)} is not a stretch of the day; write one like "09:00-18:00"`;
  return parsed.from === parsed.to
    ? `${quote(value)} ends when it begins; leave hours out for the whole day`
    : undefined;
};

/** Minutes since midnight; undefined where the text has another form. */
export function parseHours(value: string): { readonly from: number; readonly to: number } | undefined {
  const match = /^([01]\d|2[0-3]):([0-5]\d)-(?:([01]\d|2[0-3]):([0-5]\d)|(24):(00))$/.exec(value);
  if (match === null) return undefined;
  const [, fromHour, fromMinute, toHour = match[5], toMinute = match[6]] = match;
  return { from: Number(fromHour) * 60 + Number(fromMinute), to: Number(toHour) * 60 + Number(toMinute) };
}

/**
 * IANA's name of a time zone; abbreviations such as CST are several zones' at once, and Etc/GMT+8 is eight hours behind. Not by
 * Intl.supportedValuesOf: which of a zone's names it has (Asia/Kolkata or Asia/Calcutta) changes with Node's version.
 */
export const timeZone: Rule = (value) => {
  const isName = value === "UTC" || /^(?!Etc\/)(?!.*[A-Z]{3})[A-Z][A-Za-z]+(?:\/[A-Z][A-Za-z_-]+)+$/.test(value);
  return isName && isKnownZone(value)
    ? undefined
    : `${quote(value)} is no time zone's name; write one as in Asia/Shanghai, Europe/Berlin or UTC`;
};

/** Asking takes 0.1 ms, and thousands of grants may have the same. */
const knownZones = new Set<string>();

function isKnownZone(name: string): boolean {
  if (knownZones.has(name)) return true;
  try {
    new Intl.DateTimeFormat("en-US", { timeZone: name });
  } catch {
    return false;
  }
  knownZones.add(name);
  return true;
}

/** A registry's host, as it stands in front of an image's name. */
export const endpoint: Rule = (value) => {
  const [, host = "", port] = /^([a-z0-9.-]+)(?::(\d{1,5}))?$/.exec(value) ?? [];
  const labels = host.split(".");
  const isHost = host.length <= 253 && labels.every((label) => /^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/.test(label));
  const isPort = port === undefined || (Number(port) >= 1 && Number(port) <= 65535 && !port.startsWith("0"));
  return isHost && isPort
    ? undefined
    : `${shownAddress(value)} is not a registry's address; write host or host:port in lower case, without https:// or a path`;
};

/** One machine, by name or address; the port stands beside it. */
export const machine: Rule = (value) =>
  isIPv4(value) ||
  isIPv6(value) ||
  (/[a-z]/i.test(value) && endpoint(value.toLowerCase()) === undefined && !value.includes(":"))
    ? undefined
    : `${shownAddress(value)} is no host; write its name or address alone: the port, the user and TLS have fields of their own`;

/** A request header that holds one address, set by the operator's own gateway. */
export const addressHeader: Rule = (value) => {
  if (!/^[A-Za-z][A-Za-z0-9-]{0,62}$/.test(value)) {
    return `${quote(value)} is no header's name; write one such as X-Real-IP`;
  }
  // Lists to which anyone on the way may add, the caller first; which entry to believe is not documented for Function Compute.
  return /^(?:x-(?:original-)?forwarded-for|forwarded|via)$/i.test(value)
    ? `${quote(value)} is a list that the caller can begin; name one that your gateway sets to a single address, such as X-Real-IP`
    : undefined;
};

/** An IPv4 or IPv6 network, `10.0.0.0/8`: one whose host bits are set is more often a slip than meant. */
export const cidr: Rule = (value) => {
  const [, address = "", length = ""] = /^([0-9a-fA-F:.]+)\/(0|[1-9]\d{0,2})$/.exec(value) ?? [];
  const bits = isIPv4(address) ? 32 : isIPv6(address) && !address.includes(".") ? 128 : 0;
  if (bits === 0 || Number(length) > bits)
    return `${quote(value)} is not a network; write one like 10.0.0.0/8 or 2001:db8::/32`;
  const hostBits = (1n << BigInt(bits - Number(length))) - 1n;
  if (bits === 128 && addressNumber(address) >> 32n === 0xffffn) {
    return `${quote(value)} is IPv4 written as IPv6; write it like 10.0.0.0/8`;
  }
  if ((addressNumber(address) & hostBits) !== 0n) {
    return `${quote(value)} has bits set behind its first ${length}; write the network's own address, or /${bits} for one machine`;
  }
  return undefined;
};

function addressNumber(address: string): bigint {
  if (isIPv4(address)) return address.split(".").reduce((sum, byte) => (sum << 8n) | BigInt(byte), 0n);
  const [head = "", tail] = address.split("::");
  const groups = (text: string) => (text === "" ? [] : text.split(":"));
  const middle = tail === undefined ? [] : Array(8 - groups(head).length - groups(tail).length).fill("0");
  return [...groups(head), ...middle, ...groups(tail ?? "")].reduce(
    (sum, group) => (sum << 16n) | BigInt(`0x${group}`),
    0n,
  );
}
