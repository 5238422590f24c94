/** What goes wrong with those whom the broker asks, by the names that docs/reliability.md gives it. */

import dns from "node:dns";
import type { Socket } from "node:net";
import type { Certificate } from "../certificates.ts";
import type { FaultProxy, Spoil } from "./proxy.ts";

/** In all that an upstream says here; it must not come out of the broker. */
export const CANARY = "CANARY-of-an-upstream";

export interface Struck {
  readonly proxy: FaultProxy;
  readonly certificates?: Readonly<Record<"foreign" | "expired" | "elsewhere", Certificate>>;
  /** Milliseconds that a clock is ahead: the upstream's, and the broker's. */
  readonly clocks: { theirs(ms: number): void; ours(ms: number): void };
}

export interface Fault {
  /** Whom it can befall. */
  readonly at: readonly ("STS" | "ACR" | "issuer" | "Redis")[];
  /** It ends only with a time limit. */
  readonly waits?: true;
  readonly tls?: true;
  /** Makes it so; what it answers ends it. */
  strike(struck: Struck): (() => void) | undefined;
}

const CLOUD = ["STS", "ACR"] as const;
const HTTP = [...CLOUD, "issuer"] as const;
const ALL = [...HTTP, "Redis"] as const;

const MINUTE = 60_000;
const page = (status: string, length?: number) => {
  const body = `<html>${CANARY}</html>`;
  return `HTTP/1.1 ${status}\r\ncontent-type: text/html\r\nconnection: close\r\ncontent-length: ${length ?? body.length}\r\n\r\n${body}`;
};
const THROTTLING = JSON.stringify({ Code: "Throttling.User", Message: CANARY, RequestId: "R-1" });
const throttled = `HTTP/1.1 400 Bad Request\r\ncontent-type: application/json\r\nconnection: close\r\ncontent-length: ${THROTTLING.length}\r\n\r\n${THROTTLING}`;
const answers =
  (text: string): Spoil =>
  (caller) =>
    void caller.end(text);

function spoils(at: Fault["at"], how: Spoil, { times, ...more }: { times?: number; waits?: true } = {}): Fault {
  return { at, ...more, strike: ({ proxy }) => void proxy.spoil(how, times) };
}

function clock(at: Fault["at"], whose: "theirs" | "ours", ms: number): Fault {
  return { at, strike: ({ clocks }) => void clocks[whose](ms) };
}

function certificate(which: "foreign" | "expired" | "elsewhere"): Fault {
  return {
    at: ALL,
    tls: true,
    strike: ({ proxy, certificates }) => void proxy.present(certificates?.[which] as Certificate),
  };
}

/** As fast as it is read, until the reader has enough of it. */
function flood(caller: Socket, status: string): void {
  const piece = CANARY.padEnd(16 * 1024, "x");
  caller.write(`HTTP/1.1 ${status}\r\ncontent-type: application/json\r\nconnection: close\r\n\r\n"`);
  const more = () => {
    while (!caller.destroyed && caller.write(piece)) {}
    if (!caller.destroyed) caller.once("drain", more);
  };
  more();
}

function drip(caller: Socket, first: string): void {
  caller.write(first);
  const timer = setInterval(() => caller.write("x"), 10);
  caller.once("close", () => clearInterval(timer));
}

export const FAULTS: Readonly<Record<string, Fault>> = {
  "nobody listens": { at: ALL, strike: ({ proxy }) => void proxy.shut() },
  "its name is not found": {
    at: ALL,
    strike({ proxy }) {
      const { lookup } = dns;
      // As Node's own fails; net.connect takes it from there for each connection.
      dns.lookup = ((_host: string, _options: object, callback: (error: Error) => void) =>
        process.nextTick(callback, Object.assign(new Error(CANARY), { code: "ENOTFOUND" }))) as typeof lookup;
      proxy.hangUp();
      return () => {
        dns.lookup = lookup;
      };
    },
  },
  "a certificate of another CA": certificate("foreign"),
  "a certificate that has expired": certificate("expired"),
  "a certificate for another host": certificate("elsewhere"),
  "the connection is reset": spoils(ALL, (caller) => caller.resetAndDestroy()),
  "the connection is reset in the answer": spoils(HTTP, (caller) => {
    caller.write(page("200 OK", 500), () => caller.resetAndDestroy());
  }),
  "it takes the question and says nothing": spoils(ALL, () => {}, { waits: true }),
  "it answers a byte at a time": spoils(
    HTTP,
    (caller) => drip(caller, "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 100000\r\n\r\n"),
    { waits: true },
  ),
  "it answers a byte at a time, and no line ends": spoils(["Redis"], (caller) => drip(caller, "+"), { waits: true }),
  "it answers a little late": spoils(ALL, (_, forward) => void setTimeout(forward, 20)),
  "the answer is cut off": spoils(HTTP, answers(page("200 OK", 500))),
  "the answer never ends": spoils(HTTP, (caller) => flood(caller, "200 OK")),
  "an error page never ends": spoils(HTTP, (caller) => flood(caller, "503 Service Unavailable")),
  "the answer is HTML": spoils(HTTP, answers(page("200 OK"))),
  "the answer is of another protocol": spoils(ALL, answers(`220 ${CANARY} ESMTP\r\n`)),
  "it sends us elsewhere": spoils(
    HTTP,
    answers(
      `HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:9/${CANARY}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n`,
    ),
  ),
  "two error pages, then it is well": spoils(CLOUD, answers(page("503 Service Unavailable")), { times: 2 }),
  "an error page each time": spoils(HTTP, answers(page("503 Service Unavailable"))),
  "it is asked too often": spoils(CLOUD, answers(throttled)),
  "it answers 429": spoils(["issuer"], answers(page("429 Too Many Requests"))),
  "its clock is 20 minutes ahead": clock(["STS", "issuer"], "theirs", 20 * MINUTE),
  "its clock is 20 minutes behind": clock(["STS", "issuer"], "theirs", -20 * MINUTE),
  "the broker's clock is 10 minutes ahead": clock(["STS"], "ours", 10 * MINUTE),
  "the broker's clock is 10 minutes behind": clock(["STS"], "ours", -10 * MINUTE),
};
