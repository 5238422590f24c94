/**
 * Bytes that two readers could take for different requests: smuggling (RFC 9112 section 11.2), splitting, pipelining. What stands behind
 * a request on one connection is a request of its own, with its own identity or none. The first request is `whoami`, which issues nothing.
 */

import { type Attack, ask, FIELDS, JSON_TYPE, OK, type Refusal, refused } from "./attack.ts";
import type { Attacker } from "./attacker.ts";
import { type Written, written } from "./socket.ts";

const BODY = JSON.stringify(FIELDS);
const LENGTH = Buffer.byteLength(BODY);
const NOBODY: Refusal = { status: 401, code: "missing_credentials" };
/** Of Node's parser, which has no problem document. */
const BROKEN: Refusal = { status: 400 };

/** Asks for a credential with no identity at all; must never be answered as the one before it. */
const smuggled = (more: Written = {}) => written({ headers: [JSON_TYPE], body: BODY, ...more }).toString("latin1");

const first = (a: Attacker, request: Written = {}) =>
  ask(a.sign(a.claims({ note: undefined })), {
    method: "GET",
    target: "/v1/whoami",
    body: "",
    more: true,
    ...request,
  }).toString("latin1");

const several = (answers: readonly Refusal[], cases: Readonly<Record<string, Attack["send"]>>): Attack[] =>
  Object.entries(cases).map(([rule, send]) => ({ rule, send, answers }));

/** A sound request for a credential with other framing; refused whole. */
const framed = (headers: readonly (readonly [string, string])[], body: string) => (a: Attacker) =>
  ask(a.sign(), { headers: [JSON_TYPE, ...headers], body });

/** A whole request written out, each line as it stands. */
const lines = (a: Attacker, ...rest: readonly string[]) => [`Authorization: Bearer ${a.sign()}`, ...rest].join("\r\n");
const literal = (make: (a: Attacker) => string) => (a: Attacker) => Buffer.from(make(a), "latin1");

const chunked = (body: string) => `${body.length.toString(16)}\r\n${body}\r\n0\r\n\r\n`;

export const wire: Attack[] = [
  ...several([BROKEN], {
    "CL.TE: a length and chunks": framed(
      [
        ["Content-Length", "5"],
        ["Transfer-Encoding", "chunked"],
      ],
      `0\r\n\r\n${smuggled()}`,
    ),
    "TE.CL: chunks and a length": framed(
      [
        ["Transfer-Encoding", "chunked"],
        ["Content-Length", "4"],
      ],
      chunked(smuggled()),
    ),
    "TE.TE: chunked twice": framed(
      [
        ["Transfer-Encoding", "chunked"],
        ["Transfer-Encoding", "identity"],
      ],
      `0\r\n\r\n${smuggled()}`,
    ),
    "a coding that only looks like chunked": framed([["Transfer-Encoding", "xchunked"]], chunked(BODY)),
    "chunked, and something behind it": framed([["Transfer-Encoding", "chunked, identity"]], chunked(BODY)),
    "chunked in quotes": framed([["Transfer-Encoding", '"chunked"']], chunked(BODY)),
    "chunked behind a vertical tab": framed([["Transfer-Encoding", "\u000bchunked"]], chunked(BODY)),
    "a space before the colon of Transfer-Encoding": framed([["Transfer-Encoding ", "chunked"]], chunked(BODY)),
    "a space before the colon of Content-Length": framed([["Content-Length ", String(LENGTH)]], BODY),
    "a tab before the colon": framed([["Content-Length\t", String(LENGTH)]], BODY),
    "two lengths": framed(
      [
        ["Content-Length", "0"],
        ["Content-Length", String(LENGTH)],
      ],
      BODY,
    ),
    "two equal lengths": framed(
      [
        ["Content-Length", String(LENGTH)],
        ["Content-Length", String(LENGTH)],
      ],
      BODY,
    ),
    "a list of lengths": framed([["Content-Length", `${LENGTH}, ${LENGTH}`]], BODY),
    "a length with a sign": framed([["Content-Length", `+${LENGTH}`]], BODY),
    "a negative length": framed([["Content-Length", "-1"]], BODY),
    "a hexadecimal length": framed([["Content-Length", "0x10"]], BODY),
    "a length with a fraction": framed([["Content-Length", `${LENGTH}.0`]], BODY),
    "a length beyond all integers": framed([["Content-Length", "99999999999999999999999"]], BODY),
    "an empty length": framed([["Content-Length", ""]], BODY),
    "a length with a letter behind it": framed([["Content-Length", `${LENGTH}x`]], BODY),
    "a chunk whose size is none": framed([["Transfer-Encoding", "chunked"]], `zz\r\n${BODY}\r\n0\r\n\r\n`),
    "a chunk whose size has a sign": framed([["Transfer-Encoding", "chunked"]], `-1\r\n${BODY}\r\n0\r\n\r\n`),
    "a chunk whose size is 0x": framed(
      [["Transfer-Encoding", "chunked"]],
      `0x${LENGTH.toString(16)}\r\n${BODY}\r\n0\r\n\r\n`,
    ),
    "a chunk whose size is beyond all integers": framed(
      [["Transfer-Encoding", "chunked"]],
      `fffffffffffffffff\r\n${BODY}\r\n0\r\n\r\n`,
    ),
    "a chunk that is longer than it says": framed([["Transfer-Encoding", "chunked"]], `3\r\n${BODY}\r\n0\r\n\r\n`),
    "a chunk with a line feed alone": framed(
      [["Transfer-Encoding", "chunked"]],
      `${LENGTH.toString(16)}\n${BODY}\n0\n\n`,
    ),
    "a chunk extension with a line feed in it": framed(
      [["Transfer-Encoding", "chunked"]],
      `${LENGTH.toString(16)};a=\n${BODY}\r\n0\r\n\r\n`,
    ),
    "a header that is folded": literal(
      (a) =>
        `POST /v1/token HTTP/1.1\r\nHost: b\r\n${lines(a, "X-Folded: a", " Transfer-Encoding: chunked")}\r\nConnection: close\r\n\r\n`,
    ),
    "a folded line before all headers": literal((a) => `POST /v1/token HTTP/1.1\r\n Host: b\r\n${lines(a)}\r\n\r\n`),
    "lines that end in a line feed alone": literal((a) => `POST /v1/token HTTP/1.1\nHost: b\n${lines(a)}\n\n`),
    "lines that end in a carriage return alone": literal((a) => `POST /v1/token HTTP/1.1\rHost: b\r${lines(a)}\r\r`),
    "a header that ends in a carriage return alone": literal(
      (a) => `POST /v1/token HTTP/1.1\r\nHost: b\r\nX-A: b\rX-C: d\r\n${lines(a)}\r\n\r\n`,
    ),
    "a header that ends in a line feed alone": literal(
      (a) =>
        `POST /v1/token HTTP/1.1\r\nHost: b\r\nX-A: b\nContent-Length: ${LENGTH}\r\n${lines(a)}\r\nConnection: close\r\n\r\n${BODY}`,
    ),
    "a NUL in a header": framed([["X-A", "a\u0000b"]], BODY),
    "a NUL in a header's name": framed([["X-\u0000A", "b"]], BODY),
    "an escape in a header": framed([["X-A", "a\u001b[2Jb"]], BODY),
    "a header without a colon": literal((a) => `POST /v1/token HTTP/1.1\r\nHost: b\r\nX-A\r\n${lines(a)}\r\n\r\n`),
    "a header without a name": framed([["", "x"]], BODY),
    "a header's name with a space in it": framed([["X A", "x"]], BODY),
    "a header's name with a bracket in it": framed([["X(A)", "x"]], BODY),
    "no host": literal((a) => `POST /v1/token HTTP/1.1\r\n${lines(a)}\r\nConnection: close\r\n\r\n`),
    "an identity behind the end of the headers": (a) =>
      literal(
        () =>
          `POST /v1/token HTTP/1.1\r\nHost: b\r\nConnection: close\r\nContent-Length: 0\r\n\r\nAuthorization: Bearer ${a.sign()}\r\n\r\n`,
      )(a),
    "a version of 9.9": literal((a) => `POST /v1/token HTTP/9.9\r\nHost: b\r\n${lines(a)}\r\n\r\n`),
    "a version in small letters": literal((a) => `POST /v1/token http/1.1\r\nHost: b\r\n${lines(a)}\r\n\r\n`),
    "HTTP/2 without asking": literal((a) => `PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n${a.canary}`),
    "a TLS handshake": literal((a) => `\u0016\u0003\u0001\u0002\u0000\u0001\u0000\u0001\u00fc\u0003\u0003${a.canary}`),
    "a PROXY line": literal(
      (a) => `PROXY TCP4 10.0.0.1 10.0.0.1 1 1\r\nPOST /v1/token HTTP/1.1\r\nHost: b\r\n${lines(a)}\r\n\r\n`,
    ),
    "a method in small letters": literal((a) => `post /v1/token HTTP/1.1\r\nHost: b\r\n${lines(a)}\r\n\r\n`),
    "a method that is none": literal((a) => `EVIL /v1/token HTTP/1.1\r\nHost: b\r\n${lines(a)}\r\n\r\n`),
    "a space before the method": literal((a) => ` POST /v1/token HTTP/1.1\r\nHost: b\r\n${lines(a)}\r\n\r\n`),
    "a space in the path": literal((a) => `POST /v1/token x HTTP/1.1\r\nHost: b\r\n${lines(a)}\r\n\r\n`),
    "a NUL in the path": literal((a) => `POST /v1/\u0000token HTTP/1.1\r\nHost: b\r\n${lines(a)}\r\n\r\n`),
    "a path that is none": literal((a) => `POST v1/token HTTP/1.1\r\nHost: b\r\n${lines(a)}\r\n\r\n`),
  }),
  ...several([{ status: 431 }], {
    "headers of 33 KiB": framed([["X-Long", "x".repeat(33_000)]], BODY),
    "a token of 33 KiB": (a) => ask(`${a.canary}${"x".repeat(33_000)}`),
    "a path of 33 KiB": (a) => ask(a.sign(), { target: `/v1/token?${"x".repeat(33_000)}` }),
    "one header's name of 33 KiB": framed([["X".repeat(33_000), "x"]], BODY),
    "headers without end": framed(
      Array.from({ length: 1900 }, (_, n) => [`X-Header-${n}`, "value"] as const),
      BODY,
    ),
  }),
  ...several([OK, NOBODY], {
    "pipelined: the second has no identity": (a) => first(a) + smuggled(),
    "pipelined: the second has an empty Authorization": (a) =>
      first(a) + smuggled({ headers: [JSON_TYPE, ["Authorization", ""]] }),
    "pipelined: the second asks for the exchange": (a) => first(a) + smuggled({ target: "/v1/explain" }),
    "pipelined: another request in a chunk of the first": (a) =>
      first(a, { method: "GET", headers: [["Transfer-Encoding", "chunked"]], body: chunked(smuggled()) }) + smuggled(),
    "a body of GET is not read as the next request": (a) =>
      first(a, { headers: [["Content-Length", String(smuggled().length)]], body: smuggled() }) + smuggled(),
    "a chunk extension hides nothing": (a) =>
      first(a, { headers: [["Transfer-Encoding", "chunked"]], body: `0;x=${"y".repeat(100)}\r\n\r\n` }) + smuggled(),
    "a trailer is no header of the next": (a) =>
      first(a, {
        headers: [["Transfer-Encoding", "chunked"]],
        body: `0\r\nAuthorization: Bearer ${a.sign()}\r\n\r\n`,
      }) + smuggled(),
    "empty lines before the second": (a) => `${first(a)}\r\n\r\n${smuggled()}`,
    "Connection names Authorization": (a) =>
      first(a, { headers: [["Connection", "keep-alive, authorization"]] }) + smuggled(),
  }),
  ...several([{ status: 404, code: "not_found" }, NOBODY], {
    "a refused first is nobody's excuse": (a) => first(a, { target: "/none" }) + smuggled(),
  }),
  ...several([NOBODY, NOBODY, NOBODY], {
    "three without identity": () => smuggled({ more: true }) + smuggled({ more: true }) + smuggled(),
  }),
  ...refused(401, "missing_credentials", {
    "a trailer with the identity": () =>
      written({
        headers: [JSON_TYPE, ["Transfer-Encoding", "chunked"], ["Trailer", "Authorization"]],
        body: `${chunked(BODY).slice(0, -2)}Authorization: Bearer x\r\n\r\n`,
      }),
  }),
  ...several([{ status: 403, code: "access_denied" }], {
    "an absolute target for another host": (a) =>
      ask(a.sign(), {
        target: "http://evil.example/v1/token",
        body: JSON.stringify({ ...FIELDS, scope: ["repository:secret/vault:pull"] }),
      }),
  }),
  ...several([{ status: 100 }, { status: 403, code: "access_denied" }], {
    "Expect: 100-continue": (a) =>
      ask(a.sign(), {
        headers: [JSON_TYPE, ["Expect", "100-continue"]],
        body: JSON.stringify({ ...FIELDS, scope: ["repository:secret/vault:pull"] }),
      }),
  }),
  ...several([{ status: 417 }], {
    "an expectation that is none": (a) => ask(a.sign(), { headers: [JSON_TYPE, ["Expect", "evil"]] }),
  }),
  ...several([{ status: 400, code: "invalid_request" }], {
    // Node reads both as HTTP/1.1; nothing is asked for here, and nothing would be gained if it were.
    "a version of 2.0": literal((a) => `POST /v1/token HTTP/2.0\r\nHost: b\r\n${lines(a)}\r\n\r\n`),
    "no version": literal((a) => `POST /v1/token\r\nHost: b\r\n${lines(a)}\r\n\r\n`),
  }),
  // Node drops what stands behind it on the connection.
  ...several([OK], {
    "Upgrade to h2c": (a) =>
      first(a, {
        headers: [
          ["Connection", "close, Upgrade, HTTP2-Settings"],
          ["Upgrade", "h2c"],
          ["HTTP2-Settings", "AAMAAABkAARAAAAAAAIAAAAA"],
        ],
      }) + smuggled(),
    "Upgrade to a web socket": (a) =>
      first(a, {
        headers: [
          ["Connection", "close, Upgrade"],
          ["Upgrade", "websocket"],
          ["Sec-WebSocket-Key", "AAAAAAAAAAAAAAAAAAAAAA=="],
          ["Sec-WebSocket-Version", "13"],
        ],
      }) + smuggled(),
  }),
  ...several([], {
    CONNECT: (a) => ask(a.sign(), { method: "CONNECT", target: "100.100.100.200:80" }),
  }),
];

/** For what is beyond the grant, so that it is refused also where Host or target are read in some harmless way. */
const BEYOND = JSON.stringify({ ...FIELDS, scope: ["repository:secret/vault:pull"] });
const DENIED: Refusal = { status: 403, code: "access_denied" };
/** The listener's own refusal. */
const NAMELESS: Refusal = { status: 400, code: "invalid_request" };
const LOST: Refusal = { status: 404, code: "not_found" };
const beyond =
  (request: Written) =>
  (a: Attacker): Buffer =>
    ask(a.sign(), { body: BEYOND, ...request });
const eachHost = (values: readonly string[]) =>
  Object.fromEntries(values.map((host) => [`host ${JSON.stringify(host).slice(0, 40)}`, beyond({ host })]));
const eachTarget = (values: readonly string[]) =>
  Object.fromEntries(values.map((target) => [`target ${target}`, beyond({ target })]));

export const hosts: Attack[] = [
  ...several(
    [{ ...NAMELESS, or: DENIED }],
    eachHost([
      ...[
        "evil.example:99999",
        "a, b",
        "user@b",
        "b/path",
        "",
        "[::1",
        "b:80:80",
        "b b",
        "b?x",
        "b#x",
        "b\\x",
        "%00",
        "b%2f",
      ],
      ...["\u00fc", "127.0.0.1:9000@evil", "b:-1", "b/../v1/token", "evil.example/v1/whoami?"],
    ]),
  ),
  ...several(
    [{ ...DENIED, or: NAMELESS }],
    eachHost(["evil.example", "[::1]", "..", "0", "*", "100.100.100.200", "localhost:6379", "x".repeat(5000)]),
  ),
  ...several([{ ...DENIED, or: NAMELESS }], {
    "two hosts": beyond({ headers: [["Host", "a"], ["Host", "b"], JSON_TYPE] }),
    "no host, in HTTP/1.0": literal(
      (a) =>
        `POST /v1/token HTTP/1.0\r\n${lines(a, "Content-Type: application/json", `Content-Length: ${Buffer.byteLength(BEYOND)}`)}\r\n\r\n${BEYOND}`,
    ),
    ...eachTarget([
      ...["/v1/%74oken", "/%76%31/token", "/v1/./token", "/v1/x/../token", "/v1/%2e/token", "/v1/x/%2e%2e/token"],
      ...["/v1/token?", "/v1/token#x", "/v1/token?#", "/v1/token?&&&", "https://b/v1/token"],
    ]),
  }),
  ...several([{ ...NAMELESS, or: LOST }], eachTarget(["*", "ftp://b/v1/token", "/v1\\token"])),
  ...several(
    [BROKEN],
    eachTarget(["http:/v1/token", "http:v1/token", "javascript:x", "b:80", "/\u00e9", "/v1/token\u00a0"]),
  ),
  ...several([{ ...LOST, or: NAMELESS }], eachTarget(["http://b", "//evil/v1/token", "///v1/token", "/v1/token/%2e"])),
  ...refused(
    400,
    "invalid_request",
    eachTarget(["/v1/token??a", "/v1/token?%", "/v1/token?=x", "/v1/token?scope", "/v1/token?registry=%zz"]),
  ),
  ...refused(415, "unsupported_media_type", {
    "two types": beyond({ headers: [JSON_TYPE, ["Content-Type", "text/plain"]] }),
    "one type twice": beyond({ headers: [JSON_TYPE, JSON_TYPE] }),
    "a body that is said to be compressed, and is not": beyond({ headers: [JSON_TYPE, ["Content-Encoding", "gzip"]] }),
    "a body that is said to be compressed twice": beyond({
      headers: [JSON_TYPE, ["Content-Encoding", "identity, gzip"]],
    }),
  }),
  ...several([{ ...NAMELESS, or: DENIED }], eachTarget(["http://user:pw@b/v1/token", "http://user@b/v1/token"])),
];
