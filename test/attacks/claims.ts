/** Tokens that are rightly signed and say what they should not: an issuer's own key in an attacker's hand. */

import { type Attack, ask, refused, tokens } from "./attack.ts";
import { type Attacker, AUDIENCE, type Facts, PINNED } from "./attacker.ts";

const now = () => Math.floor(Date.now() / 1000);
const claiming = (changed: () => Facts) => (a: Attacker) => a.sign(a.claims(changed()));
/** JSON in a claim's place that JSON.stringify would not write. */
const literally = (claim: string, text: string) => (a: Attacker) =>
  a.sign(JSON.stringify(a.claims({ [claim]: "@" })).replace(`"${claim}":"@"`, `"${claim}":${text}`));

const named = (values: readonly unknown[], claim: string) =>
  Object.fromEntries(
    values.map((value) => [`${claim} of ${JSON.stringify(value)?.slice(0, 70)}`, claiming(() => ({ [claim]: value }))]),
  );

export const required = tokens(401, "invalid_token", {
  ...Object.fromEntries(
    ["iss", "sub", "aud", "exp", "iat"].map((claim) => [`no ${claim}`, claiming(() => ({ [claim]: undefined }))]),
  ),
  ...Object.fromEntries(
    ["iss", "sub", "exp", "iat"].map((claim) => [`${claim} of null`, claiming(() => ({ [claim]: null }))]),
  ),
  "all claims by way of the prototype": (a) => a.sign(`{"__proto__":${JSON.stringify(a.claims())}}`),
  "iss by way of the prototype": (a) =>
    a.sign(JSON.stringify(a.claims({ iss: undefined })).replace("{", `{"__proto__":{"iss":"${PINNED}"},`)),
  "no claims at all": (a) => a.sign("{}"),
});

export const times = [
  ...tokens(401, "invalid_token", {
    "exp in quotes": claiming(() => ({ exp: String(now() + 60) })),
    "exp as a date": claiming(() => ({ exp: new Date(Date.now() + 60_000).toISOString() })),
    ...named([true, [4102444800], { $date: 4102444800 }, ""], "exp"),
    "exp beyond all numbers": literally("exp", "1e400"),
    "exp far in the future": claiming(() => ({ exp: 4102444800 })),
    "exp of a number that no integer is": literally("exp", "1e300"),
    "exp in milliseconds": claiming(() => ({ exp: Date.now() + 60_000 })),
    "a life a second longer than the issuer may give": claiming(() => ({ exp: now() + 3602, iat: now() })),
    "nbf to come": claiming(() => ({ nbf: now() + 3600 })),
    "nbf in quotes": claiming(() => ({ nbf: String(now()) })),
    "nbf of null": claiming(() => ({ nbf: null })),
    "nbf beyond all numbers": literally("nbf", "1e400"),
    "iat to come": claiming(() => ({ iat: now() + 120, exp: now() + 300 })),
    "iat in quotes": claiming(() => ({ iat: String(now()) })),
    "iat below all numbers": literally("iat", "-1e400"),
    ...named([true, [], {}], "iat"),
  }),
  ...tokens(401, "token_expired", {
    "exp of zero": claiming(() => ({ exp: 0 })),
    "exp before all dates": literally("exp", "-1e300"),
    "iat before all dates": literally("iat", "-8.65e12"),
    "exp before the epoch": claiming(() => ({ exp: -1 })),
    "exp with a fraction, past": claiming(() => ({ exp: now() - 120.5 })),
    "exp past the skew by a second": claiming(() => ({ iat: now() - 300, nbf: now() - 300, exp: now() - 61 })),
    "iat so long ago that the issuer cannot have meant now": claiming(() => ({ iat: now() - 86_400, exp: now() + 60 })),
    "iat before the epoch": claiming(() => ({ iat: -1 })),
  }),
];

export const audiences = tokens(401, "invalid_audience", {
  ...named(
    [
      "https://other.example",
      `${AUDIENCE}/`,
      ` ${AUDIENCE}`,
      `${AUDIENCE}\n`,
      `${AUDIENCE}\u0000`,
      AUDIENCE.toUpperCase(),
      AUDIENCE.replace("https", "http"),
      AUDIENCE.replace("acr", "аcr"),
      `${AUDIENCE},https://other.example`,
      `${AUDIENCE} https://other.example`,
      "*",
      "",
      null,
      1,
      true,
      [],
      [AUDIENCE, "https://other.example"],
      ["https://other.example", AUDIENCE],
      [AUDIENCE, AUDIENCE],
      [[AUDIENCE]],
      [null],
      { 0: AUDIENCE, length: 1 },
      { aud: AUDIENCE },
    ],
    "aud",
  ),
  "three hundred audiences": claiming(() => ({ aud: Array.from({ length: 300 }, (_, n) => `a${n}`) })),
});

export const issuers = [
  ...tokens(401, "untrusted_issuer", {
    ...named(
      [
        `${PINNED}/`,
        `${PINNED}//`,
        ` ${PINNED}`,
        `${PINNED} `,
        `${PINNED}\u0000`,
        `${PINNED}\n`,
        PINNED.toUpperCase(),
        "https://Pinned.example",
        "HTTPS://pinned.example",
        "http://pinned.example",
        "https://pinned.example:443",
        "https://pinned.example:8443",
        "https://pinned.example.",
        "https://user@pinned.example",
        "https://pinned.example@evil.example",
        "https://pinned.example.evil.example",
        "https://evil.example/https://pinned.example",
        "https://evil.example?https://pinned.example",
        "https://evil.example#https://pinned.example",
        "https://pinned.example?",
        "https://pinned.example#",
        "https://pinned.example/.",
        "https://pinned.example/second/..",
        "https://pinned.example/second/",
        "https://pinned.example/%73econd",
        "https://pinnеd.example",
        "https://xn--pinnd-9of.example",
        "https://pinned。example",
        "https:/\\pinned.example",
        "https:pinned.example",
        "//pinned.example",
        "pinned.example",
        "",
        "null",
        "pinned",
        "__proto__",
        "constructor",
        "http://100.100.100.200/latest/meta-data/",
        "http://169.254.169.254/",
        "http://127.0.0.1/",
        "http://[::1]/",
        "http://2130706433/",
        "http://0/",
        "http://localhost:6379/",
        "file:///etc/passwd",
        "gopher://127.0.0.1:6379/_INFO",
        "data:application/json,{}",
        "javascript:1",
      ],
      "iss",
    ),
    "iss of the trap": (a) => a.sign(a.claims({ iss: `${a.hostile.origin}/trap/issuer` })),
    "iss of the cloud": (a) => a.sign(a.claims({ iss: a.cloud.url })),
    "iss of the cloud, with the API in it": (a) => a.sign(a.claims({ iss: `${a.cloud.url}/?Action=AssumeRole#` })),
  }),
  ...tokens(401, "invalid_token", named([1, true, [PINNED], { iss: PINNED }, []], "iss")),
];

/** Sound in form, and nobody whom a grant is for. */
export const strangers: Attack[] = [
  ...refused(403, "access_denied", {
    ...Object.fromEntries(
      [
        "JOB",
        "job ",
        " job",
        "job\n",
        "job\u0000",
        "job\u200b",
        "jоb",
        "job\r\nevent: x",
        "job\u001b[2J",
        "*",
        "j*",
        "job/..",
        "__proto__",
        "constructor",
        "job,other",
        "\u202ejob",
        "\ud83d",
      ].map((sub) => [`sub of ${JSON.stringify(sub)}`, (a: Attacker) => ask(a.sign(a.claims({ sub })))]),
    ),
    ...Object.fromEntries(
      [
        "refs/heads/main-evil",
        "refs/heads/mai",
        "x/refs/heads/main",
        "refs/heads/main\n",
        "refs/heads/MAIN",
        "refs/heads/*",
        "refs/heads/main\u0000",
        "",
        ["refs/heads/main"],
        { any_of: ["refs/heads/main"] },
        { toString: "refs/heads/main" },
        null,
        true,
        0,
      ].map((ref) => [`ref of ${JSON.stringify(ref)}`, (a: Attacker) => ask(a.sign(a.claims({ ref })))]),
    ),
    "a ref by way of the prototype": (a) =>
      ask(a.sign(JSON.stringify(a.claims({ ref: undefined })).replace("{", '{"__proto__":{"ref":"refs/heads/main"},'))),
    ...Object.fromEntries(
      [
        "refs/heads/rel-1/evil",
        "refs/heads/rel",
        "x/refs/heads/rel-1",
        "refs/heads/rel-1:x",
        "refs/heads/rel-1@x",
        "refs/heads/REL-1",
        "refs/heads/xrel-1",
      ].map((ref) => [
        `a pattern's star against ${JSON.stringify(ref)}`,
        (a: Attacker) => ask(a.sign(a.claims({ sub: "release", ref }))),
      ]),
    ),
    ...Object.fromEntries(
      [
        "*",
        "web/*",
        "../web",
        "web/../web",
        "web/app:push,pull",
        "we*",
        "WEB",
        "web\u0000",
        "",
        "web?",
        "${team}",
        " web",
        "{web}",
        ["web"],
        { 0: "web" },
        null,
        1,
      ].map((team) => [
        `a team of ${JSON.stringify(team)} in a scope's place`,
        (a: Attacker) => ask(a.sign(a.claims({ sub: "team", team }))),
      ]),
    ),
    "no team in a scope's place": (a) => ask(a.sign(a.claims({ sub: "team" }))),
  }),
  ...tokens(401, "invalid_token", named(["", 1, true, ["job"], { sub: "job" }], "sub")),
];
