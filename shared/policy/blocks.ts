/**
 * Blocks: who or what gets nothing from now on, whatever the policy gives. One entry is one line of text, so that it can be written
 * by hand into a set of Redis, a file or an environment variable. How the list comes here is functions/broker/blocks.ts.
 * Pure. Decision: docs/decisions/0006-blocks.md
 */

import { type Decision, decide, type RightsRequest } from "./decision.ts";
import type { Grant, Policy, Principal } from "./grant.ts";
import type { GrantIndex } from "./grant-index.ts";
import { quote } from "./scope.ts";

/** `member`: of an issuer that a template stands for, one of the many; all of them where it is left out. */
export type Block =
  | { readonly kind: "all" }
  | { readonly kind: "issuer"; readonly issuer: string; readonly member?: string }
  | { readonly kind: "subject" | "token"; readonly issuer: string; readonly member?: string; readonly value: string }
  | { readonly kind: "grant" | "api-key"; readonly name: string };

/** A name of broker.yaml. */
const NAME = /^[a-z0-9][a-z0-9-]{0,62}$/;

const FORMS =
  "write all, none, issuer NAME, subject ISSUER SUBJECT, token ISSUER JTI, grant NAME or api-key NAME, names as in the policy";

/** What one entry says; `none` says nothing, which is not the same as no list. Blanks around it do not count; all within a subject or a jti does. */
export function parseBlock(entry: string): { readonly block: Block | undefined } | { readonly problem: string } {
  const text = entry.trim();
  const refused = (why: string) => ({ problem: `${quote(text)} ${why}; ${FORMS}` });
  // biome-ignore lint/suspicious/noControlCharactersInRegex: no identity has them, and a terminal would hide them.
  if (/[\u0000-\u001f\u007f]/.test(text)) return refused("has a control character in it");
  const [, kind = "", name = "", rest = ""] = /^(\S+)(?: +(\S+)(?: +(.+))?)?$/.exec(text) ?? [];
  switch (kind) {
    case "none":
    case "all":
      if (name !== "") return refused(`has something behind ${kind}`);
      return { block: kind === "all" ? { kind } : undefined };
    case "grant":
    case "api-key":
      return NAME.test(name) && rest === "" ? { block: { kind, name } } : refused(`is not ${kind} and one name`);
    case "issuer":
    case "subject":
    case "token": {
      const [, issuer = "", member] = /^([^/]+)(?:\/(.+))?$/.exec(name) ?? [];
      if (!NAME.test(issuer)) return refused(`does not name an issuer behind ${kind}`);
      const whose = member === undefined ? { issuer } : { issuer, member };
      if (kind === "issuer")
        return rest === "" ? { block: { kind, ...whose } } : refused("has something behind the name");
      return rest === ""
        ? refused("lacks what stands behind the issuer's name")
        : { block: { kind, ...whose, value: rest } };
    }
    default:
      return refused("is no block");
  }
}

/** An entry that stands against a request. */
export interface Against {
  readonly entry: string;
  readonly kind: Block["kind"];
}

/** Whom a block can be about. */
export type Blockable = Principal & { readonly tokenId?: string };

export interface BlockList {
  /** The entry that stands against the caller, if one does. */
  against(principal: Blockable): Against | undefined;
  /** Those that are not blocked: the same list where none is. */
  unblocked(grants: readonly Grant[]): readonly Grant[];
  /** Who is told to blocked callers. */
  readonly askWhom: string;
}

export const ASK_THE_OPERATOR = "the broker's operator";

export function blockList(entries: ReadonlyMap<string, Block>, askWhom: string = ASK_THE_OPERATOR): BlockList {
  const exact = new Map<string, Against>();
  const beginnings: { readonly whose: string; readonly begins: string; readonly entry: string }[] = [];
  const grantNames = new Set<string>();
  for (const [entry, block] of entries) {
    if (block.kind === "grant") grantNames.add(block.name);
    else if (block.kind === "subject" && block.value.endsWith("*")) {
      beginnings.push({ whose: sourceName(block), begins: block.value.slice(0, -1), entry });
    } else exact.set(keyOf(block), { entry, kind: block.kind });
  }
  const kept = new WeakMap<readonly Grant[], readonly Grant[]>();

  return {
    askWhom,
    against(principal) {
      if (entries.size === 0) return undefined;
      const { source, member, subject, tokenId } = principal;
      const all = exact.get(key("all"));
      if (!("issuer" in source)) return all ?? exact.get(key("api-key", source.apiKey));
      const names = member === undefined ? [source.issuer] : [source.issuer, sourceName({ ...source, member })];
      for (const name of names) {
        const whole = exact.get(key("issuer", name)) ?? exact.get(key("subject", name, subject));
        const one = whole ?? (tokenId === undefined ? undefined : exact.get(key("token", name, tokenId)));
        if (one !== undefined) return one;
        const begun = beginnings.find(({ whose, begins }) => whose === name && subject.startsWith(begins));
        if (begun !== undefined) return { entry: begun.entry, kind: "subject" };
      }
      return all;
    },
    unblocked(grants) {
      if (grantNames.size === 0) return grants;
      const known = kept.get(grants) ?? grants.filter(({ name }) => !grantNames.has(name));
      // The same list each time: the index of grants is made once for each.
      kept.set(grants, known);
      return known;
    },
  };
}

export const NO_BLOCKS: BlockList = blockList(new Map());

/** As `decide`, of a policy without the blocked grants; whoever is blocked is denied, whatever he asks for. */
export function decideUnblocked(
  blocks: BlockList,
  principal: Blockable,
  request: RightsRequest,
  policy: Policy,
  find?: (grants: readonly Grant[]) => GrantIndex,
): Decision {
  const { askWhom } = blocks;
  const against = blocks.against(principal);
  if (against !== undefined) return { outcome: "deny", reason: { kind: "blocked", against, askWhom } };
  const grants = blocks.unblocked(policy.grants);
  const isAskedForBlocked = "grant" in request && blocks.unblocked([request.grant]).length === 0;
  if (grants === policy.grants && !isAskedForBlocked) return decide(principal, request, policy, find);
  const decision = isAskedForBlocked ? undefined : decide(principal, request, { ...policy, grants }, find);
  if (decision?.outcome === "allow") return decision;
  // Told to nobody but those who would have it without the block.
  const otherwise = decide(principal, request, policy, find);
  if (otherwise.outcome === "deny") return otherwise;
  return { outcome: "deny", reason: { kind: "blocked", against: blockOfGrants(blocks, otherwise.grants), askWhom } };
}

/** What stands against the caller, or against a grant that the decision rests on. */
export function blockOf(blocks: BlockList, principal: Blockable, grants: readonly Grant[]): Against | undefined {
  const against = blocks.against(principal);
  if (against !== undefined || blocks.unblocked(grants).length === grants.length) return against;
  return blockOfGrants(blocks, grants);
}

/** Of grants among which one is blocked. */
function blockOfGrants(blocks: BlockList, grants: readonly Grant[]): Against {
  const { name } = grants.find((grant) => blocks.unblocked([grant]).length === 0) as Grant;
  return { entry: `grant ${name}`, kind: "grant" };
}

/** What a blocked caller is told: that, and whom to ask; nothing of what else is blocked. */
export function blockedDetail(kind: Block["kind"], askWhom: string): string {
  return `${WHAT_IS_BLOCKED[kind]} blocked for now, whatever the policy gives; ask ${askWhom}`;
}

const WHAT_IS_BLOCKED: Readonly<Record<Block["kind"], string>> = {
  all: "all that this broker gives is",
  issuer: "all callers of your token's issuer are",
  subject: "you are",
  token: "this token is",
  "api-key": "this API key is",
  grant: "the grant that would give this is",
};

function keyOf(block: Exclude<Block, { kind: "grant" }>): string {
  if ("name" in block) return key(block.kind, block.name);
  if ("value" in block) return key(block.kind, sourceName(block), block.value);
  return "issuer" in block ? key(block.kind, sourceName(block)) : key(block.kind);
}

function key(...parts: readonly string[]): string {
  return JSON.stringify(parts);
}

function sourceName({ issuer, member }: { readonly issuer: string; readonly member?: string }): string {
  return member === undefined ? issuer : `${issuer}/${member}`;
}
