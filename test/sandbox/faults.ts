/**
 * How the stand-in cloud is made to misbehave: scripted failures, and the rate limit of AssumeRole.
 */
import type { IncomingMessage, ServerResponse } from "node:http";
import { ApiError } from "./answer.ts";

export type ApiName = "AssumeRole" | "GetCallerIdentity" | "GetAuthorizationToken";

/** An answer of the test's own, a body that is not the API's, a late but true answer, no answer, a broken connection. */
export type Fault =
  | { readonly status: number; readonly code: string; readonly message?: string }
  | { readonly status: number; readonly body: string }
  | { readonly delayMs: number }
  | "hang"
  | "reset";

export interface Faults {
  /** Answers what takes back those of them that have not struck. */
  add(api: ApiName, fault: Fault, times: number): () => void;
  /**
   * Carries out the next failure scripted for this API. Returns how the request ended, or undefined to go on with it.
   * Throws the ApiError that was asked for.
   */
  strike(api: string, request: IncomingMessage, response: ServerResponse): Promise<string | undefined>;
}

export function createFaults(): Faults {
  interface Scripted {
    readonly api: string;
    readonly fault: Fault;
  }
  let scripted: Scripted[] = [];
  return {
    add(api, fault, times) {
      const added = Array.from({ length: times }, (): Scripted => ({ api, fault }));
      scripted.push(...added);
      return () => {
        scripted = scripted.filter((one) => !added.includes(one));
      };
    },
    async strike(api, request, response) {
      const index = scripted.findIndex((one) => one.api === api);
      const fault = index < 0 ? undefined : scripted.splice(index, 1)[0]?.fault;
      if (fault === undefined || fault === "hang") return fault;
      if (fault === "reset") {
        request.socket.resetAndDestroy();
        return fault;
      }
      if ("delayMs" in fault) {
        await new Promise((resolve) => setTimeout(resolve, fault.delayMs));
        return undefined;
      }
      if ("code" in fault) throw new ApiError(fault.status, fault.code, fault.message ?? "Told to fail by the test.");
      response.writeHead(fault.status, { "content-type": "text/html" }).end(fault.body);
      return "body";
    },
  };
}

/** Throws `Throttling.User` beyond the rate: AssumeRole is limited by account, its users and roles counted together. */
export function createThrottle(perSecond: number | undefined): (accountId: string, now: Date) => void {
  const recent = new Map<string, number[]>();
  return (accountId, now) => {
    if (perSecond === undefined) return;
    const calls = (recent.get(accountId) ?? []).filter((at) => at > now.getTime() - 1000);
    if (calls.length >= perSecond) {
      throw new ApiError(400, "Throttling.User", "Request was denied due to user flow control.");
    }
    recent.set(accountId, [...calls, now.getTime()]);
  };
}
