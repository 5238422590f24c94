/**
 * The short way to a credential that is kept: a caller that asks again what it was given before, with the same token, gets it
 * without being read, decided and written out anew. What is kept of a question is only what cannot change while that holds which is
 * asked each time: the token's times and its key, the list of blocks, the rates of caller, grant and address, the credential's own
 * life, and whether it is to be renewed. Where any of these says something else than before, and for whatever is new here or
 * goes wrong, the request goes the whole way, which answers as if there were no other.
 *
 * Never kept: tokens whose uses are counted (`replay` other than `off`), decisions in which time has a part, refusals. A broker with a
 * shadow policy has no short way, and one with another policy has another. Signed identities and API keys are no tokens, and not
 * known here.
 */

import { decisionEvent, failureFacts, issuedFacts } from "../../shared/audit/decision-event.ts";
import { type DecisionEvent, type Log, lasting, type Outcome } from "../../shared/audit/log.ts";
import type { BrokerConfig, Registry } from "../../shared/config/config.ts";
import type { Identity, KnownToken } from "../../shared/identity/identify.ts";
import { principalName } from "../../shared/identity/principal.ts";
import type { Issuer } from "../../shared/issuing/issue.ts";
import { type BlockList, decideUnblocked } from "../../shared/policy/blocks.ts";
import { holds } from "../../shared/policy/condition.ts";
import { mayApply } from "../../shared/policy/decision.ts";
import type { Denial, Grant, Principal } from "../../shared/policy/grant.ts";
import { isHolder } from "../../shared/policy/grant-index.ts";
import { recent } from "../../shared/recent.ts";
import type { Blocks } from "./blocks.ts";
import type { Arriving } from "./client-address.ts";
import { type Answer, ownHeaders, ReadyAnswer } from "./http/answer.ts";
import { type App, type Connection, ORIGIN } from "./http/listener.ts";
import type { Limits } from "./limits.ts";
import { problem } from "./problem.ts";
import { readBody } from "./request-body.ts";
import { rightsRequest } from "./rights-request.ts";
import { type Health, leave } from "./routes/health.ts";
import { type Format, type TokenRequest, tokenRequest } from "./token-request.ts";
import { type Granted, secondsLeft, tokenResponse } from "./token-response.ts";

/** Some 6 KB each, most of it the answer and the event. */
const MOST_KEPT = 1_000;
/** Characters of a body: more is rare, and would take memory. */
const LONGEST_BODY = 1_000;

export interface ShortWayParts {
  readonly config: BrokerConfig;
  readonly identity: Pick<Identity, "known">;
  readonly blocks: Pick<Blocks, "known">;
  readonly limits: Pick<Limits, "pass">;
  readonly issuer: Pick<Issuer, "fromMemory">;
  readonly health: Health;
  /** The request's id, and where it comes from. */
  readonly identify: (request: Arriving) => { readonly requestId: string; readonly address: string | undefined };
  /** Records that a request was answered; the same as of all others. */
  readonly answered: Answered;
  readonly log: Log;
  /** The policy's file, for the record. */
  readonly file: string | undefined;
  /** @throws BrokerError not_ready */
  readonly written: () => Promise<void>;
  readonly now: () => Date;
  /** Stands in what is kept where each request's id will stand: a text that nobody can guess. */
  readonly mark: string;
}

export type Answered = (
  request: {
    readonly requestId: string;
    readonly method: string;
    readonly path: string;
    readonly status: number;
    /** In ms since the epoch. */
    readonly begunAt: number;
  },
  error?: Error,
) => void;

/** A question that was answered, with all of the answer but the request's id and the time. */
interface Kept {
  /** Under which it was decided. */
  readonly list: BlockList;
  readonly caller: string;
  readonly grants: readonly Grant[];
  /** Whether what was issued is what would be given out now; counts it as given out. */
  isCurrent(): boolean;
  readonly event: DecisionEvent;
  /** All of the event that is the same each time, and what was issued. */
  readonly facts: Outcome;
  /** Of the credential, in ms since the epoch. */
  readonly expiresAt: number;
  respond(requestId: string, now: Date): Response;
}

/** Answers `POST` of `path` where it can, and has `otherwise` answer all else. */
export function shortWay(path: string, parts: ShortWayParts, otherwise: App): App {
  const { config, identity, blocks, limits, issuer, health, identify, answered, log, file, written, now, mark } = parts;
  const url = ORIGIN + path;
  const kept = recent<Kept>(MOST_KEPT);
  const hangsOnTime = timesOf(config);

  /** What the whole way would answer from memory; undefined where it would do more. @throws BrokerError as it does */
  function learn(
    token: KnownToken,
    address: string | undefined,
    asked: TokenRequest,
    list: BlockList,
  ): Kept | undefined {
    const principal = token.principal(address);
    if (principal === undefined) return undefined;
    const wanted = rightsRequest(asked, principal, config);
    const decision = decideUnblocked(list, principal, wanted, config);
    if (decision.outcome === "deny") return undefined;
    const { rights, grants } = decision;
    if (hangsOnTime(principal, rights.registry)) return undefined;
    const caller = principalName(principal);
    const look = issuer.fromMemory({ ...asked, decision, caller });
    const issued = look();
    if (issued === undefined) return undefined;
    const { credential } = issued;
    const asking = { requestId: mark, clientAddress: address, file };
    const event = decisionEvent(asking, principal, wanted, decision, config.digest);
    const { event: _event, version: _version, request_id: _id, ...same } = event;
    const { lifetime_seconds: _left, ...facts } = issuedFacts(issued, now());
    const granted = {
      credential,
      registry: config.registries.get(rights.registry) as Registry,
      scopes: rights.scopes,
      grants: grants.map(({ name }) => name),
    };
    return {
      list,
      caller,
      grants,
      isCurrent: () => look()?.credential === credential,
      event,
      facts: lasting({ ...same, ...facts }),
      expiresAt: credential.expiresAt.getTime(),
      respond: responder(asked.format, granted, mark),
    };
  }

  /** What is kept of the question, if all that may have changed since is as it was; counted as asked. */
  function find(token: KnownToken, address: string | undefined, request: Request, body: string): Kept | undefined {
    const list = blocks.known();
    if (list === undefined) return undefined;
    // No two alike: but for the body, none of these has an end of line in it.
    const key = `${token.id}\n${address}\n${request.headers.get("content-type")}\n${body}`;
    const before = kept.get(key);
    const isSame = before !== undefined && before.list === list && token.principal(address) && before.isCurrent();
    const question = isSame ? before : learn(token, address, tokenRequest(request, body), list);
    if (question === undefined || !limits.pass(question.caller, question.grants, address)) return undefined;
    if (!isSame) kept.set(key, question);
    return question;
  }

  async function answerKnown(token: KnownToken, request: Request, connection: Connection): Promise<Response> {
    const begunAt = now().getTime();
    connection.begunAt = begunAt;
    health.inFlight++;
    try {
      const header = (name: string) => request.headers.get(name) ?? undefined;
      const { requestId, address } = identify({ req: { header }, env: connection });
      const question = await readBody(connection)
        .then((body) => (body.length > LONGEST_BODY ? undefined : find(token, address, request, body)))
        .catch(() => undefined); // the whole way finds the same, and refuses it
      if (question === undefined) return otherwise(request, connection);
      const { event, facts, expiresAt, respond } = question;
      const told = { requestId, method: "POST", path, begunAt };
      const time = now().getTime();
      const own = {
        event: event.event,
        version: event.version,
        request_id: requestId,
        lifetime_seconds: Math.floor((expiresAt - time) / 1000),
        duration_ms: time - begunAt,
      };
      log(own as DecisionEvent, facts);
      try {
        await written();
      } catch (error) {
        log({ ...event, request_id: requestId }, { ...failureFacts(error), duration_ms: now().getTime() - begunAt });
        const response = problem(error, requestId);
        answered({ status: response.status, ...told }, error as Error);
        for (const [name, value] of Object.entries(ownHeaders(requestId))) response.headers.set(name, value);
        return response;
      }
      answered({ status: 200, ...told });
      return respond(requestId, now());
    } finally {
      leave(health);
    }
  }

  return (request, connection) => {
    const token = request.method === "POST" && request.url === url ? identity.known(bearer(request)) : undefined;
    const isRepeatable = token?.issuer.replay === "off";
    return isRepeatable ? answerKnown(token, request, connection) : otherwise(request, connection);
  };
}

/** Only as most clients write it; the whole way knows the other ways. */
function bearer({ headers }: Request): string {
  const authorization = headers.has("x-acr-broker-authorization") ? null : headers.get("authorization");
  return authorization?.startsWith("Bearer ") ? authorization.slice("Bearer ".length) : "";
}

/** Writes the answer as token-response.ts does, and again only when `expires_in` has become another: once a second. */
function responder(format: Format, granted: Omit<Granted, "requestId" | "now">, mark: string): Kept["respond"] {
  let written: { left: number; fields: string[]; text: string[] } | undefined;
  return (requestId, now) => {
    const left = secondsLeft({ now, credential: granted.credential });
    if (written?.left !== left) {
      const { body, headers } = tokenResponse(format, { ...granted, requestId: mark, now }) as unknown as Answer;
      written = { left, fields: headers.flat(), text: (body as string).split(mark) };
    }
    const { fields, text } = written;
    const own = Object.entries(ownHeaders(requestId)).flat();
    return new ReadyAnswer(text.join(requestId), 200, [...fields, ...own]) as unknown as Response;
  };
}

/** Whether time has a part in what the caller may get in the registry: by a grant or a denial with times that is for it but for those. */
function timesOf({ grants, denials }: BrokerConfig): (principal: Principal, registry: string) => boolean {
  const hasTimes = ({ limits = [] }: Grant | Denial) => limits.some(({ kind }) => kind === "time");
  let timed: { grants: Grant[]; denials: Denial[] } | undefined;
  return (principal, registry) => {
    timed ??= { grants: grants.filter(hasTimes), denials: denials.filter(hasTimes) };
    return (
      timed.grants.some(
        (grant) =>
          grant.registry === registry &&
          isHolder(principal, grant) &&
          grant.when.every((condition) => holds(condition, principal.claims)),
      ) || timed.denials.some((denial) => denial.registry === registry && mayApply(denial, principal))
    );
  };
}
