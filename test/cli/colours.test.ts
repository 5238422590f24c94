/** What a terminal is shown of what others wrote. */

import { expect, test } from "vitest";
import { colours, printable } from "../../cli/colours.ts";

test("lines, tabs and our own colours are shown as they are", () => {
  const { bold, red, green, yellow, dim } = colours(true);
  const text = `${bold("a")}\t${red("b")}\n${green("c")}${yellow("d")}${dim("é 中")}\n`;
  expect(printable(text)).toBe(text);
});

test.each([
  ["moves the cursor", "\u001b[2A"],
  ["hides what follows", "\u001b[8m"],
  ["sets the title", "\u001b]0;x\u0007"],
  ["goes back in the line", "x\r"],
  ["is such a sequence in one character", "\u009b31m"],
  ["reverses what follows", "\u202e"],
])("what %s is not", (_, text) => {
  expect(printable(text)).not.toMatch(/[^\P{Cc}\n\t]|\p{Cf}/u);
});
