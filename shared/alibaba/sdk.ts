/**
 * Loads the vendor's SDK when it is first needed: it is most of the bundle, and a health check or a refusal never needs it.
 * Both packages are CommonJS with `exports.default`, which Node, esbuild and Vitest each wrap differently.
 */

import type { Readable } from "node:stream";

type StsModule = typeof import("@alicloud/sts20150401");
type CoreModule = typeof import("@alicloud/openapi-core");
type BaseModule = typeof import("@darabonba/typescript");

/** Of an answer. Some 3 KiB are usual, most of it the session's token or the password. */
const LARGEST_BYTES = 64 * 1024;
/** From its first byte: as long as one attempt may take (call.ts). */
const LONGEST_READ_MS = 3_000;

interface Sdk {
  readonly Sts: StsModule["default"];
  readonly AssumeRoleRequest: StsModule["AssumeRoleRequest"];
  readonly OpenApi: CoreModule["default"];
  readonly util: CoreModule["$OpenApiUtil"];
  /** Options of one call: its time, and nothing else of the vendor's own, no retries of its making, no proxy. */
  within(limitMs: number): Parameters<InstanceType<CoreModule["default"]>["callApi"]>[2];
}

let loaded: Promise<Sdk> | undefined;

export function loadSdk(): Promise<Sdk> {
  loaded ??= (async () => {
    const vendor = await import("./vendor.ts");
    const sts = commonJs<StsModule>(vendor.sts);
    const core = commonJs<CoreModule>(vendor.core);
    // The vendor reads any answer, of whatever status, by way of this function, and as much as comes.
    commonJs<BaseModule>(vendor.base).Stream.readAsBytes = readBounded;
    return {
      Sts: sts.default,
      AssumeRoleRequest: sts.AssumeRoleRequest,
      OpenApi: core.default,
      util: core.$OpenApiUtil,
      within: (limitMs) => ({ readTimeout: limitMs, connectTimeout: limitMs }) as ReturnType<Sdk["within"]>,
    };
  })();
  return loaded;
}

/** @throws Error with `code`, as Node's own; leaving the loop closes the connection */
async function readBounded(answer: Readable): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  stopVendorsTimer(answer);
  const limit = setTimeout(() => answer.destroy(), LONGEST_READ_MS);
  try {
    for await (const chunk of answer) {
      bytes += chunk.byteLength;
      if (bytes > LARGEST_BYTES) throw Object.assign(new Error("too large"), { code: "AnswerTooLarge" });
      chunks.push(chunk);
    }
  } finally {
    clearTimeout(limit);
  }
  return Buffer.concat(chunks);
}

/**
 * The vendor's HTTP client leaves its timer on where it does not read the answer itself. For three seconds each call would stay in memory,
 * tokens and all; and the timer of one takes away that of the next over the same connection. From here on ours counts.
 */
function stopVendorsTimer(answer: Readable & { readonly socket?: object | null }): void {
  const socket = answer.socket as Record<symbol, NodeJS.Timeout | null> | null | undefined;
  if (!socket) return;
  const name = Object.getOwnPropertySymbols(socket).find(({ description }) => description === "TIMER::READ_TIMER");
  if (name === undefined) return;
  clearTimeout(socket[name] ?? undefined);
  socket[name] = null;
}

/** `module.exports` of a CommonJS module, however it was imported. */
function commonJs<Module>(module: object): Module {
  const inner = (module as { default?: unknown }).default;
  return (typeof inner === "object" && inner !== null ? inner : module) as Module;
}
