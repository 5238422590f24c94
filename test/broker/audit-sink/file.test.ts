/** Lines at the end of a real file: moved, cut short, torn, full, gone, and a FIFO. */

import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import {
  appendFileSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Readable } from "node:stream";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { fileSink } from "../../../functions/broker/audit-sink/file.ts";
import type { Put } from "../../../shared/audit/sink.ts";

let folder: string;
let path: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "audit-"));
  path = join(folder, "audit.jsonl");
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

/** Kept as long as this process: like a broker's, its file is never closed, and Node complains of one that is forgotten. */
const opened: Put[] = [];

function open(file: string): Put {
  const put = fileSink(file);
  opened.push(put);
  return put;
}

/** Reads on until it has read just that, of equal letters one. */
async function readUntil(reader: ChildProcess & { readonly stdout: Readable }, expected: string): Promise<void> {
  let read = "";
  for await (const chunk of reader.stdout.iterator({ destroyOnReturn: false })) {
    read = `${read}${chunk}`.replaceAll(/x+/g, "x");
    if (read === expected) return;
    expect(expected.startsWith(read), read).toBe(true);
  }
  throw new Error(`it ended after ${read}`);
}

const content = (file = path) => readFileSync(file, "utf8");

describe("a file", () => {
  test("is there from the start, for its owner and its group, and has what was put behind what it had", async () => {
    const put = open(path);
    expect([await put(""), content(), statSync(path).mode & 0o777]).toEqual([undefined, "", 0o640 & ~process.umask()]);
    expect([await put("a\n"), await put("b\nc\n"), content()]).toEqual([undefined, undefined, "a\nb\nc\n"]);
    await open(path)("d\n");
    expect(content()).toBe("a\nb\nc\nd\n");
  });

  test("that was moved away gets no more, and a new one has its name", async () => {
    const put = open(path);
    await put("a\n");
    renameSync(path, `${path}.1`);
    await put("b\n");
    expect([content(`${path}.1`), content()]).toEqual(["a\n", "b\n"]);
  });

  test("that was copied and cut short goes on from its beginning", async () => {
    const put = open(path);
    await put("a\n");
    truncateSync(path);
    await put("b\n");
    expect(content()).toBe("b\n");
  });

  test("that was deleted is made again, and nothing is written to the one without a name", async () => {
    const put = open(path);
    await put("a\n");
    rmSync(path);
    expect([await put("b\n"), content()]).toEqual([undefined, "b\n"]);
  });

  test("that ends within a line, as of a machine that stopped, does not get the next line into that", async () => {
    writeFileSync(path, 'a\n{"event":"deci');
    const put = open(path);
    await put("b\n");
    await put("c\n");
    expect(content()).toBe('a\n{"event":"deci\nb\nc\n');
  });

  test("is shared by two without a line that is lost or torn", async () => {
    const puts = [open(path), open(path)];
    const line = (who: number, count: number) => `${who}-${count}-${"x".repeat(1_000)}\n`;
    await Promise.all(
      puts.map(async (put, who) => {
        for (let count = 0; count < 20; count++) await put(line(who, count));
      }),
    );
    const expected = [0, 1].flatMap((who) => Array.from({ length: 20 }, (_, count) => line(who, count)));
    expect(
      content()
        .split(/(?<=\n)/)
        .sort(),
    ).toEqual(expected.sort());
  });
});

describe("what cannot be written is told, and the next is tried", () => {
  test("a full disk", async () => {
    const put = open("/dev/full");
    expect([await put(""), await put("a\n"), await put("b\n")]).toEqual([undefined, "ENOSPC", "ENOSPC"]);
  });

  test("a folder that is gone, until it is back; it is not made, since it may be a mount that is missing", async () => {
    const inner = join(folder, "mount");
    const put = open(join(inner, "audit.jsonl"));
    expect(await put("")).toBe("ENOENT");
    mkdirSync(inner);
    expect(await put("a\n")).toBeUndefined();
    rmSync(inner, { recursive: true });
    expect(await put("b\n")).toBe("ENOENT");
    mkdirSync(inner);
    expect([await put("c\n"), content(join(inner, "audit.jsonl"))]).toEqual([undefined, "c\n"]);
  });

  test("a folder in its place", async () => {
    expect(await open(folder)("a\n")).toBe("EISDIR");
  });

  test("a disk with room for half a line; when there is more again, the next line does not continue that half", async () => {
    // No file of this process may be longer, which is seen as a disk is that fills up.
    const limit = (bytes: string) => execFileSync("prlimit", ["--pid", String(process.pid), `--fsize=${bytes}:`]);
    const put = open(path);
    await put("a\n");
    try {
      limit("5");
      expect(await put("bcdefgh\n")).toBe("EFBIG");
    } finally {
      limit("unlimited");
    }
    expect([await put("i\n"), content()]).toEqual([undefined, "a\nbcd\ni\n"]);
  });

  test("a file that may not be written", async () => {
    // Not even by root.
    expect(await open("/sys/kernel/notes")("a\n")).toMatch(/^(EACCES|EROFS)$/);
  });
});

describe("a FIFO", () => {
  beforeEach(() => {
    execFileSync("mkfifo", [path]);
  });

  test("gives its reader the lines", async () => {
    const reader = spawn("cat", [path], { stdio: ["ignore", "pipe", "inherit"] });
    const put = open(path);
    while ((await put("")) !== undefined);
    expect([await put("a\n"), await put("b\n")]).toEqual([undefined, undefined]);
    await readUntil(reader, "a\nb\n");
    reader.kill();
    await once(reader, "close");
  });

  test("that nobody reads is told so at once, and holds nothing", async () => {
    const put = open(path);
    expect([await put(""), await put("a\n")]).toEqual(["ENXIO", "ENXIO"]);
  });

  test("whose reader has gone, or does not read on, is told so at once; a line after a torn one begins anew", async () => {
    const reader = spawn("sh", ["-c", 'exec 3<"$0"; read go; exec cat <&3', path], {
      stdio: ["pipe", "pipe", "inherit"],
    });
    const put = open(path);
    while ((await put("")) !== undefined);
    const long = `${"x".repeat(150_000)}\n`;
    expect(await put(long)).toBe("EAGAIN");
    reader.stdin.write("go\n");
    while ((await put("b\n")) !== undefined);
    await readUntil(reader, "x\nb\n");
    reader.kill("SIGKILL");
    await once(reader, "close");
    expect(["EPIPE", "ENXIO"]).toContain(await put("c\n"));
  });
});

test("what others append between stays", async () => {
  const put = open(path);
  await put("a\n");
  appendFileSync(path, "theirs\n");
  await put("b\n");
  expect(content()).toBe("a\ntheirs\nb\n");
});
