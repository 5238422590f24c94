/**
 * A token of the job's, asked for with the broker's audience; a new one each time.
 * https://docs.github.com/en/actions/reference/security/oidc#methods-for-requesting-the-oidc-token
 */

import { IdentityError } from "../errors.ts";
import { exchange, isPassing, isPrivate, jsonObject } from "../http.ts";
import type { IdentitySource } from "./identity.ts";

const PEER = { name: "GitHub's token service" };

export function githubActions(): IdentitySource {
  return {
    name: "GitHub Actions",
    async token({ audience, outside, signal }) {
      const [address, requestToken] = [
        outside.environment("ACTIONS_ID_TOKEN_REQUEST_URL"),
        outside.environment("ACTIONS_ID_TOKEN_REQUEST_TOKEN"),
      ];
      if (address === undefined || requestToken === undefined) {
        throw new IdentityError(
          "no_identity",
          "GitHub gives this job no token; add permissions: { id-token: write } to it",
        );
      }
      if (!URL.canParse(address) || !isPrivate(new URL(address))) {
        throw new IdentityError("identity_failed", "ACTIONS_ID_TOKEN_REQUEST_URL is no https address");
      }
      const url = new URL(address);
      url.searchParams.set("audience", await audience());
      const headers = { authorization: `Bearer ${requestToken}`, accept: "application/json" };
      const answer = await exchange(PEER, url, { headers }, signal, outside);
      const value = answer.status === 200 ? jsonObject(answer)?.["value"] : undefined;
      if (typeof value === "string") return value;
      throw new IdentityError("identity_failed", `${PEER.name} gave no token (status ${answer.status})`, {
        status: answer.status,
        retryable: isPassing(answer.status) || answer.status >= 500,
      });
    },
  };
}
