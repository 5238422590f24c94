/** ANSI colours, or none; and nothing else that a terminal would act on. */

type Paint = (text: string) => string;

export function colours(wanted: boolean): Readonly<Record<"bold" | "dim" | "red" | "green" | "yellow", Paint>> {
  const paint =
    (begin: number, end: number): Paint =>
    (text) =>
      wanted ? `\u001b[${begin}m${text}\u001b[${end}m` : text;
  return { bold: paint(1, 22), dim: paint(2, 22), red: paint(31, 39), green: paint(32, 39), yellow: paint(33, 39) };
}

/** What a caller chose, as part of one line: not even a line's end or a colour is left in it, and it is no longer than 200 characters. */
export function onOneLine(text: string): string {
  const safe = text.replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu, "?");
  return safe.length > 200 ? `${safe.slice(0, 199)}…` : safe;
}

/**
 * What others wrote (names of files, fields of a docker config) with nothing in it that moves the cursor, hides or reverses text,
 * or sets a terminal's title. Lines and `colours` stay.
 */
export function printable(text: string): string {
  return text.replace(/\p{Cc}\[(?:1|2|22|31|32|33|39)m|[^\P{Cc}\n\t]|\p{Cf}/gu, (found) =>
    found.startsWith("\u001b[") ? found : "?",
  );
}
