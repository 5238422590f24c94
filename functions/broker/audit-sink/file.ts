/**
 * Audit events at the end of a file, which others may move away or cut short meanwhile (logrotate), or into a FIFO. A regular file
 * has them on its disk when they count as taken: over NFS a write that fails is only told then, and an instance that ends takes what
 * is in memory with it.
 */

import { type BigIntStats, constants } from "node:fs";
import type { FileHandle } from "node:fs/promises";
import type { Put } from "../../../shared/audit/sink.ts";

/** Without waiting: else the open of a FIFO that nobody reads, and each write to one that is full, would hold a thread for good. */
const APPEND = constants.O_WRONLY | constants.O_APPEND | constants.O_CREAT | constants.O_NONBLOCK;
/** Of its group are those that ship logs. */
const MODE = 0o640;
const LINE_END = 10;

interface Opened {
  readonly file: FileHandle;
  readonly is: BigIntStats;
}

/** Loaded where it is needed: a start that needs none of it would have a millisecond for it. */
const files = () => import("node:fs/promises");

/** Its folder is not made: where a mount is missing that would fill the disk beneath. */
export function fileSink(path: string): Put {
  let opened: Opened | undefined;
  /** It may end within a line, which the next must not continue. */
  let isTorn = false;

  async function close(): Promise<void> {
    const { file } = opened ?? {};
    opened = undefined;
    await file?.close().catch(() => {});
  }

  /** The file that has this name now. */
  async function current(): Promise<Opened> {
    const { open, stat } = await files();
    if (opened !== undefined) {
      const there = await stat(path, { bigint: true }).catch(() => undefined);
      if (there?.ino === opened.is.ino && there.dev === opened.is.dev) return opened;
      await close();
    }
    const file = await open(path, APPEND, MODE);
    opened = { file, is: await file.stat({ bigint: true }) };
    if (opened.is.isFile()) isTorn = await endsWithinLine(path, Number(opened.is.size));
    return opened;
  }

  return async (text) => {
    try {
      const { file, is } = await current();
      if (text === "") return undefined;
      const whole = isTorn ? `\n${text}` : text;
      isTorn = true;
      await file.appendFile(whole);
      if (is.isFile()) await file.datasync();
      isTorn = false;
      return undefined;
    } catch (error) {
      const { code = "it cannot be written" } = error as NodeJS.ErrnoException;
      // Of a FIFO that is full: to its reader the end of the last writer is the end.
      if (code !== "EAGAIN") await close();
      return code;
    }
  };
}

async function endsWithinLine(path: string, size: number): Promise<boolean> {
  if (size === 0) return false;
  const file = await (await files()).open(path);
  try {
    const { buffer, bytesRead } = await file.read(Buffer.alloc(1), 0, 1, size - 1);
    return bytesRead === 1 && buffer[0] !== LINE_END;
  } finally {
    await file.close();
  }
}
