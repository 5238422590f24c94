/** Signed Alibaba Cloud identities and API keys that are not what they say. */

import { credential, type Fields, signedWithRpc, timestamp } from "../identity/signing.ts";
import { OTHER_ACCOUNT } from "../sandbox/world.ts";
import { type Attack, ask, askExchange, refused, tokens } from "./attack.ts";
import { type Attacker, AUDIENCE } from "./attacker.ts";

type Spoil = (fields: Fields, attacker: Attacker) => Fields | string;
const spoiled = (spoil: Spoil) => (a: Attacker) => credential(spoil(a.signed(), a));
const changed = (fields: Fields) => spoiled((sound) => ({ ...sound, ...fields }));
const behind = (field: string, tail: string) =>
  spoiled((sound) => ({ ...sound, [field]: `${sound[field] ?? "x"}${tail}` }));
const before = (text: string) => spoiled((sound) => JSON.stringify(sound).replace("{", text));

const INJECTED = [
  "\r\nx-acs-action: AssumeRole",
  "\n",
  "\u0000",
  " ",
  ",Signature=0",
  "&Action=AssumeRole",
  "#",
  "%0d%0a",
  "\u2028",
  "ü",
];

export const identities: Attack[] = [
  ...tokens(401, "invalid_identity", {
    "an endpoint of the caller's": changed({ endpoint: "https://evil.example" }),
    "a host of the caller's": changed({ host: "sts.evil.example" }),
    "a URL of the caller's": changed({ url: "http://100.100.100.200/" }),
    "a path of the caller's": changed({ path: "/?Action=AssumeRole" }),
    "an action of the caller's": changed({ action: "AssumeRole" }),
    "an Action in the protocol's letters": changed({ Action: "AssumeRole" }),
    "a version of the caller's": changed({ version: "2014-01-01" }),
    "a method of the caller's": changed({ method: "GET" }),
    "a body of the caller's": changed({ body: "Action=AssumeRole" }),
    "headers of the caller's": changed({ headers: { "x-acs-action": "AssumeRole" } }),
    "a role of the caller's": changed({ RoleArn: "acs:ram::1234567890123456:role/acr-web" }),
    "a region of the caller's": changed({ region: "cn-evil" }),
    "an identity of the caller's": changed({ arn: "acs:ram::1234567890123456:user/tester" }),
    __proto__: before('{"__proto__":{"audience":"x"},'),
    "a field twice": before('{"audience":"https://other.example",'),
    "a field twice, once escaped": before('{"non\\u0063e":"0000000000000000",'),
    "no fields": () => credential("{}"),
    "a list": spoiled((sound) => JSON.stringify([sound])),
    text: () => credential('"text"'),
    "no JSON": () => credential("{"),
    "nesting without end": () => credential(`{"nonce":${"[".repeat(900)}${"]".repeat(900)}}`),
    "five kilobytes": changed({ security_token: "A".repeat(5000) }),
    nothing: () => "acs1.",
    padding: (a) => `${credential(a.signed())}=`,
    "a part more": (a) => `${credential(a.signed())}.e30`,
    "a byte order mark": spoiled((sound) => `\ufeff${JSON.stringify(sound)}`),
    ...Object.fromEntries(
      ["access_key_id", "security_token", "date", "nonce", "signature", "algorithm"].flatMap((field) =>
        INJECTED.slice(0, 7).map((tail) => [`${field} with ${JSON.stringify(tail)} behind it`, behind(field, tail)]),
      ),
    ),
    "a nonce of one letter": changed({ nonce: "1" }),
    "a nonce of a kilobyte": changed({ nonce: "1".repeat(1024) }),
    "a nonce that is a number": changed({ nonce: 1234567890123456 }),
    "a date that is none": changed({ date: "2026-02-30T00:00:00Z" }),
    "a date to come": (a) => credential(a.signed({ date: timestamp(300) })),
    "a date with a zone": spoiled((sound) => ({ ...sound, date: String(sound["date"]).replace("Z", "+08:00") })),
    "a signature of zeros": changed({ signature: "0".repeat(64) }),
    "a signature in capitals": spoiled((sound) => ({ ...sound, signature: String(sound["signature"]).toUpperCase() })),
    "an empty signature": changed({ signature: "" }),
    "a signature by nobody's key": (a) =>
      credential(a.signed({ keys: { accessKeyId: "LTAI5tNobodyNobody", accessKeySecret: a.canary } })),
    "a signature for AssumeRole": (a) => credential(a.signed({ action: "AssumeRole" })),
    "a signature for another host": (a) => credential(a.signed({ host: "sts.cn-shanghai.aliyuncs.com" })),
    "the other scheme's name": changed({ algorithm: "HMAC-SHA1" }),
    "a scheme that is none": changed({ algorithm: "none" }),
    "an older scheme's signature for another action": (a) =>
      credential(a.signed({ action: "AssumeRole" }, signedWithRpc)),
    "another's date under the signature": changed({ date: timestamp(-30) }),
    "another's nonce under the signature": changed({ nonce: "00000000-0000-0000-0000-000000000000" }),
    "another's key id under the signature": changed({ access_key_id: "LTAI5tNobodyNobody" }),
    "a token that the key does not have": changed({ security_token: "CAISevil" }),
    "an account that is not accepted": (a) =>
      credential(a.signed({ keys: a.cloud.userKeys(`acs:ram::${OTHER_ACCOUNT}:user/outsider`) })),
  }),
  ...tokens(401, "invalid_audience", {
    "another audience, rightly signed": (a) => credential(a.signed({ audience: "https://other.example" })),
    "our audience and a slash": (a) => credential(a.signed({ audience: `${AUDIENCE}/` })),
    "our audience and a parameter": changed({ audience: `${AUDIENCE}&Action=AssumeRole` }),
    "our audience and a header": changed({ audience: `${AUDIENCE}\r\nx-acs-action: AssumeRole` }),
    "our audience and a NUL": changed({ audience: `${AUDIENCE}\u0000` }),
    "our audience in capitals": changed({ audience: AUDIENCE.toUpperCase() }),
    "an empty audience": changed({ audience: "" }),
  }),
  ...tokens(401, "token_expired", {
    "an identity of five minutes ago": (a) => credential(a.signed({ date: timestamp(-300) })),
    "an identity of the last century": (a) => credential(a.signed({ date: "1999-12-31T23:59:59Z" })),
  }),
];

const flipped = (key: string, at: number) => {
  const digit = key.at(at) as string;
  return key.slice(0, at) + (digit === "0" ? "1" : "0") + (at === -1 ? "" : key.slice(at + 1));
};

export const apiKeys: Attack[] = [
  ...tokens(401, "invalid_api_key", {
    "a key of nobody's": (a) => a.apiKeys.unknown,
    "a key whose last digit is another": (a) => flipped(a.apiKeys.nightly, -1),
    "a key whose first digit is another": (a) => flipped(a.apiKeys.nightly, "abk_nightly_".length),
    "another key's secret": (a) => `abk_nightly_${a.apiKeys.boxed.split("_")[2]}`,
    "a secret under another key's name": (a) => `abk_old_${a.apiKeys.nightly.split("_")[2]}`,
    "half a key": (a) => a.apiKeys.nightly.slice(0, -32),
    "a key's beginning": () => "abk_nightly_",
    "a key without a secret": () => "abk_nightly",
    "a key without a name": (a) => `abk__${a.apiKeys.nightly.split("_")[2]}`,
    "a key in capitals": (a) => a.apiKeys.nightly.replace(/_[^_]+$/, (secret) => secret.toUpperCase()),
    "a name in capitals": (a) => a.apiKeys.nightly.replace("nightly", "NIGHTLY"),
    "a key and a digit": (a) => `${a.apiKeys.nightly}0`,
    "a key and a NUL's name": (a) => `${a.apiKeys.nightly}%00`,
    "a key twice": (a) => a.apiKeys.nightly + a.apiKeys.nightly,
    "two keys with a comma": (a) => `${a.apiKeys.nightly},${a.apiKeys.boxed}`,
    "a name that every object has": (a) => a.apiKeys.nightly.replace("nightly", "__proto__"),
    "a name that every object has, of allowed letters": (a) => a.apiKeys.nightly.replace("nightly", "constructor"),
    "a path for a name": (a) => a.apiKeys.nightly.replace("nightly", "../nightly"),
    "a wildcard for a name": (a) => a.apiKeys.nightly.replace("nightly", "*"),
    "a wildcard for a secret": () => "abk_nightly_*",
    "zeros for a secret": () => `abk_nightly_${"0".repeat(64)}`,
    "zeros for a secret nobody has": () => `abk_nobody_${"0".repeat(64)}`,
    "a digest for a secret": (a) => `abk_nightly_${a.canary.slice(6).padEnd(64, "0")}`,
    "a name of seven thousand letters": () => `abk_${"a".repeat(7000)}_${"0".repeat(64)}`,
    "seven thousand underscores": () => `abk_${"_".repeat(7000)}`,
    "seven thousand hyphens": () => `abk_a${"-".repeat(7000)}_`,
    "a key that has expired": (a) => a.apiKeys.old,
    "a key from where it may not be used": (a) => a.apiKeys.boxed,
  }),
  ...tokens(401, "invalid_token", {
    "a prefix in capitals": (a) => a.apiKeys.nightly.replace("abk_", "ABK_"),
    "a key in quotes": (a) => `"${a.apiKeys.nightly}"`,
    "a key behind a letter": (a) => `x${a.apiKeys.nightly}`,
  }),
  ...refused(403, "access_denied", {
    "a key for what its grant does not give": (a) =>
      ask(a.apiKeys.nightly, { body: '{"registry":"prod","scope":["repository:web/app:push"]}' }),
  }),
  ...refused(400, "unknown_grant", {
    "a key for another key's grant": (a) => ask(a.apiKeys.nightly, { body: '{"grant":"boxed"}' }),
  }),
  ...refused(400, "invalid_api_key", {
    "a key with a line's end behind it, exchanged": (a) => askExchange(`${a.apiKeys.nightly}\n`),
    "a key with a space before its end, exchanged": (a) => askExchange(`${a.apiKeys.nightly} `),
  }),
];
