/** A difference between two policies, and which way it goes: seen from the callers, who gain or lose. */

import { type Given, givesAll } from "../../shared/config/grant-order.ts";

/** `both`: some gain and some lose, or it cannot be told. `same`: nobody gets more or less by it. */
export type Direction = "widened" | "narrowed" | "both" | "same";

export interface Detail {
  readonly field: string;
  readonly direction: Direction;
  /** What was and what is, for a person. */
  readonly text: string;
}

export interface Change {
  readonly subject: "grant" | "denial" | "ceiling" | "issuer" | "registry" | "api key" | "setting";
  readonly name: string;
  readonly kind: "added" | "removed" | "changed" | "renamed";
  readonly direction: Direction;
  readonly details: readonly Detail[];
  /** Of a grant or denial, in the file of each policy. */
  readonly oldLine?: number;
  readonly newLine?: number;
}

export function together(details: readonly Detail[]): Direction {
  const ways = new Set(details.map(({ direction }) => direction).filter((direction) => direction !== "same"));
  if (ways.size === 0) return "same";
  return ways.size === 1 ? ([...ways][0] as Direction) : "both";
}

/** What limits callers widens when it shrinks. */
export function reversed(direction: Direction): Direction {
  return direction === "widened" ? "narrowed" : direction === "narrowed" ? "widened" : direction;
}

export function changed(field: string, was: unknown, is: unknown, direction: Direction): Detail[] {
  const [before, after] = [inText(was), inText(is)];
  return before === after ? [] : [{ field, direction, text: `${before} → ${after}` }];
}

function inText(value: unknown): string {
  if (value === undefined) return "nothing";
  return typeof value === "string" ? value : JSON.stringify(value);
}

/** Of more and less, where each is a set of texts. */
export function setChange(field: string, was: readonly string[], is: readonly string[]): Detail[] {
  return [
    ...is
      .filter((one) => !was.includes(one))
      .map((one): Detail => ({ field, direction: "widened", text: `now ${one}` })),
    ...was
      .filter((one) => !is.includes(one))
      .map((one): Detail => ({ field, direction: "narrowed", text: `no longer ${one}` })),
  ];
}

/** Scopes that the one side gives and the other does not cover. */
export function scopeChange(field: string, was: readonly Given[], is: readonly Given[]): Detail[] {
  return [
    ...notCovered(is, was).map((text): Detail => ({ field, direction: "widened", text: `now ${text}` })),
    ...notCovered(was, is).map((text): Detail => ({ field, direction: "narrowed", text: `no longer ${text}` })),
  ];
}

function notCovered(less: readonly Given[], more: readonly Given[]): string[] {
  return less.flatMap((given) => {
    const actions = given.actions.filter((action) => !more.some((pattern) => givesAll(pattern, given, action)));
    return actions.length === 0 ? [] : [givenText(given, actions)];
  });
}

export function givenText(given: Given, actions: readonly string[] = given.actions): string {
  const name =
    "text" in given ? given.text.replace(/:[^:]*$/, "") : `repository:${given.namespace}/${given.repository}`;
  return `${name}:${actions.join(",")}`;
}
