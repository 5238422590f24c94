/** ANSI colours, or none. */

type Paint = (text: string) => string;

export function colours(wanted: boolean): Readonly<Record<"bold" | "dim" | "red" | "green" | "yellow", Paint>> {
  const paint =
    (begin: number, end: number): Paint =>
    (text) =>
      wanted ? `\u001b[${begin}m${text}\u001b[${end}m` : text;
  return { bold: paint(1, 22), dim: paint(2, 22), red: paint(31, 39), green: paint(32, 39), yellow: paint(33, 39) };
}
