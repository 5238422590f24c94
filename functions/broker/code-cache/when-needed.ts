/**
 * For the build: what the vendor's SDK loads for things that are never asked of it here (dates, XML, WebSockets, proxies) is loaded when
 * something of it is first asked for, and not at once. It stays in the package, so nothing is lost where that does happen.
 */

export const VENDORS_CODE = /node_modules\/@(?:alicloud|darabonba)\/.*\.js$/;

export const RARELY_NEEDED = [
  "http-proxy-agent",
  "https-proxy-agent",
  "ini",
  "lodash",
  "moment",
  "socks-proxy-agent",
  "ws",
  "xml2js",
] as const;

/** As the TypeScript compiler writes an import; all that follows of it is `name.something`. */
const IMPORT = new RegExp(
  `^(var|const) (\\w+) = ((?:__import(?:Default|Star)\\()?require\\("(?:${RARELY_NEEDED.join("|")})"\\)\\)?);$`,
  "gm",
);

export function whenNeeded(code: string): string {
  return code.replace(
    IMPORT,
    (_, keyword: string, name: string, value: string) =>
      `${keyword} ${name} = new Proxy({}, { get: (made, key) => (made.it ??= ${value})[key] });`,
  );
}
