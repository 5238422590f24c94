/**
 * `npm run wycheproof -- PATH`: the JWS vectors of Project Wycheproof (https://github.com/C2SP/wycheproof), which are no part
 * of this repository, through the production path: taken apart, the key set filtered, the key selected, the signature verified.
 * PATH is a checkout, or its folder testvectors_v1.
 *
 * Exits 0 where all that must be rejected was; 1 where something was accepted that must not be; 2 where the run proves nothing,
 * because vectors are missing or not one valid signature was accepted.
 */

import { existsSync, readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { BrokerError } from "../../shared/error.ts";
import { verifyText } from "./verify-text.ts";

interface Vector {
  readonly tcId: number;
  readonly comment: string;
  readonly result: "valid" | "invalid" | "acceptable";
  /** An object where it is in JSON serialization, which must be rejected. */
  readonly jws?: unknown;
  readonly jwe?: unknown;
}

type Key = Readonly<Record<string, unknown>>;

interface VectorFile {
  readonly numberOfTests: number;
  readonly testGroups: readonly {
    /** One key, or a set; symmetric keys have no public part. */
    readonly public?: Key;
    readonly private?: Key;
    readonly tests: readonly Vector[];
  }[];
}

interface Outcome {
  readonly vector: Vector;
  /** Why it was refused; undefined where it was accepted. */
  readonly refusal: string | undefined;
}

/** The run would prove nothing: what is missing. */
class Unproved extends Error {}

function vectorFiles(path: string): string[] {
  const inside = join(path, "testvectors_v1");
  const folder = existsSync(inside) ? inside : path;
  const isFolder = statSync(folder, { throwIfNoEntry: false })?.isDirectory() ?? false;
  const files = isFolder ? readdirSync(folder).filter((name) => /^json_web_\w+_test\.json$/.test(name)) : [];
  if (files.length === 0) {
    throw new Unproved(`there is no json_web_*_test.json in ${folder}; give the path of a checkout of C2SP/wycheproof`);
  }
  return files.map((name) => join(folder, name));
}

function readVectors(file: string): VectorFile {
  try {
    return JSON.parse(readFileSync(file, "utf8")) as VectorFile;
  } catch {
    throw new Unproved(`${file} is not JSON; fetch it again`);
  }
}

async function run(file: string): Promise<Outcome[]> {
  const { numberOfTests, testGroups } = readVectors(file);
  const outcomes: Outcome[] = [];
  for (const group of testGroups) {
    const key = group.public ?? group.private ?? {};
    const keys = (Array.isArray(key["keys"]) ? key["keys"] : [key]) as readonly Key[];
    for (const vector of group.tests) outcomes.push({ vector, refusal: await refusal(vector, keys) });
  }
  if (outcomes.length !== numberOfTests) {
    throw new Unproved(`${file} says that it has ${numberOfTests} vectors, and has ${outcomes.length}; fetch it again`);
  }
  const strange = outcomes.find(({ vector }) => !["valid", "invalid", "acceptable"].includes(vector.result));
  if (strange !== undefined) {
    throw new Unproved(`${file}: the result of vector ${strange.vector.tcId} is none that this script knows`);
  }
  return outcomes;
}

async function refusal(vector: Vector, keys: readonly Key[]): Promise<string | undefined> {
  const given = vector.jws ?? vector.jwe;
  if (given === undefined) throw new Unproved(`vector ${vector.tcId} has neither jws nor jwe`);
  const text = typeof given === "string" ? given : JSON.stringify(given);
  try {
    await verifyText(text, keys);
    return undefined;
  } catch (error) {
    // Anything else would be a fault of ours, and no refusal.
    if (!(error instanceof BrokerError) || error.code !== "invalid_token") throw error;
    return reason(vector, keys, error.message.replace("the token was not accepted: ", ""));
  }
}

/** In words that several vectors share. */
function reason({ jwe }: Vector, keys: readonly Key[], message: string): string {
  if (jwe !== undefined) return "encryption is not offered";
  const symmetric = /signed with "(HS\d+)"/.exec(message)?.[1];
  if (symmetric !== undefined) return `symmetric: ${symmetric} is not offered`;
  if (!message.includes("not among the usable keys")) return message;
  return `no usable key: it is for ${keys.map(({ kty, use, alg }) => [kty, use, alg].filter(Boolean).join(" ")).join(", ")}`;
}

type Print = (line: string) => void;

function report(file: string, outcomes: readonly Outcome[], print: Print): void {
  const of = (result: Vector["result"]) => outcomes.filter(({ vector }) => vector.result === result);
  const count = (some: readonly Outcome[], accepted: boolean) =>
    some.filter(({ refusal }) => (refusal === undefined) === accepted).length;
  const [invalid, valid, acceptable] = [of("invalid"), of("valid"), of("acceptable")];
  print(`${file}: ${outcomes.length} vectors`);
  print(`  must be rejected: ${invalid.length}, of which ${count(invalid, false)} were`);
  print(`  valid: ${valid.length}, of which ${count(valid, true)} were accepted`);
  const reasons = new Map<string, number[]>();
  for (const { vector, refusal } of valid) {
    if (refusal !== undefined) reasons.set(refusal, [...(reasons.get(refusal) ?? []), vector.tcId]);
  }
  for (const [why, ids] of reasons) print(`    refused: ${ids.length}, ${why} (${ids.join(", ")})`);
  for (const { vector, refusal } of acceptable) {
    print(`  acceptable: ${vector.tcId} ${vector.comment}: ${refusal ?? "accepted"}`);
  }
  for (const { vector, refusal } of invalid) {
    if (refusal === undefined) print(`  ACCEPTED, AND MUST NOT BE: ${vector.tcId} ${vector.comment}`);
  }
}

async function runAll(path: string | undefined, print: Print): Promise<0 | 1> {
  if (path === undefined) throw new Unproved("give the path of a checkout: npm run wycheproof -- PATH");
  const all: Outcome[] = [];
  for (const file of vectorFiles(path)) {
    const outcomes = await run(file);
    report(file, outcomes, print);
    all.push(...outcomes);
  }
  const accepted = all.filter(({ refusal }) => refusal === undefined);
  const wrong = accepted.filter(({ vector }) => vector.result === "invalid").length;
  print(`${all.length} vectors run, ${wrong} accepted that must be rejected`);
  if (wrong > 0) return 1;
  if (!all.some(({ vector }) => vector.result === "invalid")) throw new Unproved("no vector had to be rejected");
  if (!accepted.some(({ vector }) => vector.result === "valid")) {
    throw new Unproved("not one valid signature was accepted, so that rejecting the others says nothing");
  }
  return 0;
}

/** Runs what is at `path`; answers the exit code. */
export async function wycheproof(path: string | undefined, print: Print): Promise<0 | 1 | 2> {
  try {
    return await runAll(path, print);
  } catch (error) {
    if (!(error instanceof Unproved)) throw error;
    print(`nothing is proved: ${error.message}`);
    return 2;
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  process.exitCode = await wycheproof(process.argv[2], console.log);
}
