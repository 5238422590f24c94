/** What tests read out of the documentation. */

import { readdirSync, readFileSync } from "node:fs";

export interface Block {
  readonly language: string;
  /** What stands behind the language: which one of a page's blocks it is, or the file that it goes into. */
  readonly name: string;
  readonly text: string;
}

/** Its fenced blocks, those within lists without their indentation. */
export function blocksOf(markdown: string): Block[] {
  const found = markdown.matchAll(/^( *)```([a-z]+) ?(.*)\n((?:.*\n)*?)\1```$/gm);
  return [...found].map(([, indentation = "", language = "", name = "", text = ""]) => ({
    language,
    name,
    text: text.replaceAll(new RegExp(`^${indentation}`, "gm"), ""),
  }));
}

const ROOT = new URL("../", import.meta.url);

/** Every page of the repository, by its path in it. */
export function pages(): ReadonlyMap<string, string> {
  const files = ["", "docs/"].flatMap((folder) =>
    readdirSync(new URL(folder, ROOT), { recursive: folder !== "", encoding: "utf8" })
      .filter((file) => file.endsWith(".md"))
      .map((file) => folder + file),
  );
  return new Map(files.sort().map((file) => [file, readFileSync(new URL(file, ROOT), "utf8")]));
}
