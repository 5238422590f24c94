/** What can be checked of every page: links lead somewhere, and what is shown to be copied is of its language. */

import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { posix } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";
import { parseAllDocuments } from "yaml";
import { blocksOf, pages } from "../markdown.ts";

const ROOT = fileURLToPath(new URL("../../", import.meta.url));
const all = pages();

const FENCED = /^( *)```.*?^\1```$/gms;

/** The page without its code, in which brackets are no links. */
function prose(text: string): string {
  return text.replaceAll(FENCED, "").replaceAll(/`[^`\n]*`/g, "code");
}

/** GitHub's anchors of its headings: lower case, spaces as hyphens, nothing but letters, digits, `-` and `_`. */
function anchorsOf(text: string): Set<string> {
  const seen = new Map<string, number>();
  const anchors = new Set<string>();
  for (const [, heading = ""] of text.replaceAll(FENCED, "").matchAll(/^#+ (.*)$/gm)) {
    const plain = heading.replaceAll(/\[([^\]]*)\]\([^)]*\)/g, "$1").toLowerCase();
    const slug = plain.replaceAll(/[^\p{L}\p{N}\-_ ]/gu, "").replaceAll(" ", "-");
    const times = seen.get(slug) ?? 0;
    seen.set(slug, times + 1);
    anchors.add(times === 0 ? slug : `${slug}-${times}`);
  }
  return anchors;
}

describe.each([...all])("%s", (file, text) => {
  test("has nothing to copy that would fetch a stranger's package: npx only with --no-install", () => {
    const lines = blocksOf(text).flatMap((block) => block.text.split("\n"));
    expect(lines.filter((line) => /\bnpx (?:acr-|docker-credential-)/.test(line))).toEqual([]);
  });

  test("has no link that leads nowhere", () => {
    const dead = [...prose(text).matchAll(/\]\((?!https?:|mailto:)([^)#\s]*)(?:#([^)\s]*))?\)/g)].filter(
      ([, path = "", anchor]) => {
        const target = path === "" ? file : posix.join(posix.dirname(file), path);
        if (!existsSync(ROOT + target)) return true;
        return anchor !== undefined && !anchorsOf(all.get(target) ?? "").has(anchor);
      },
    );
    expect(dead.map(([link]) => link)).toEqual([]);
  });

  test("its YAML and JSON can be read, and its shell has no slip", () => {
    const blocks = blocksOf(text);
    expect(blocks.length * 2).toBe((text.match(/^ *```/gm) ?? []).length);
    for (const { language, name, text: shown } of blocks) {
      const where = `${file}: ${language} ${name}\n${shown}`;
      if (language === "yaml") {
        for (const document of parseAllDocuments(shown)) expect(document.errors, where).toEqual([]);
      } else if (language === "json") {
        expect(() => JSON.parse(shown), where).not.toThrow();
      } else if (language === "sh") {
        expect(spawnSync("bash", ["-n"], { input: shown, encoding: "utf8" }).stderr, where).toBe("");
      }
    }
  });
});

const callers = [...all].filter(([file]) => /^docs\/callers\/(?!README)/.test(file));

test.each(callers)("%s ends in a setup to copy, and the index has it", (file, text) => {
  expect([...text.matchAll(/^## (.*)$/gm)].at(-1)?.[1]).toBe("Set it up");
  expect(text.endsWith("\n```\n")).toBe(true);
  const name = posix.basename(file);
  expect(all.get("docs/callers/README.md")).toContain(`[${name}](${name})`);
});
