/**
 * The RAM role of the ECS instance that this runs on, from the metadata service in security-hardened mode: a token is fetched with PUT
 * first, which a request that somebody else makes the machine send (SSRF) cannot do.
 * https://www.alibabacloud.com/help/en/ecs/user-guide/view-instance-metadata
 */

import { IdentityError } from "../errors.ts";
import { type Answer, exchange, isPassing, jsonObject } from "../http.ts";
import { type RamKeySource, readSessionKeys, sessionKeys } from "./keys.ts";

/** On the same host: it answers at once, or this is no ECS instance. */
const PEER = { name: "the metadata service", timeoutMs: 1_000 };
const TOKEN_SECONDS = "60";

export interface EcsRoleOptions {
  /** Left out: the instance's role, as the metadata service names it. */
  readonly role?: string;
  readonly metadataUrl?: string;
}

export function ecsRole({ role, metadataUrl = "http://100.100.100.200" }: EcsRoleOptions = {}): RamKeySource {
  return sessionKeys("the RAM role of this ECS instance", async ({ signal, outside }) => {
    const ask = async (path: string, init: RequestInit): Promise<Answer> => {
      const answer = await exchange(PEER, new URL(`/latest/${path}`, metadataUrl), init, signal, outside);
      if (answer.status === 200) return answer;
      // 404: the instance has no role, or not this one.
      const why = answer.status === 404 ? "; has the instance a RAM role?" : "";
      throw new IdentityError("identity_failed", `${PEER.name} gave no keys (status ${answer.status})${why}`, {
        status: answer.status,
        retryable: isPassing(answer.status),
      });
    };
    const ttl = { "x-aliyun-ecs-metadata-token-ttl-seconds": TOKEN_SECONDS };
    const { text: session } = await ask("api/token", { method: "PUT", headers: ttl });
    const init = { headers: { "x-aliyun-ecs-metadata-token": session.trim() } };
    const roles = "meta-data/ram/security-credentials/";
    const name = role ?? (await ask(roles, init)).text.trim();
    if (!/^[A-Za-z0-9._-]{1,64}$/.test(name)) {
      throw new IdentityError("identity_failed", `${PEER.name} named no role; has the instance one?`);
    }
    const keys = readSessionKeys(jsonObject(await ask(roles + name, init)));
    if (keys === undefined)
      throw new IdentityError("identity_failed", `${PEER.name} gave no keys for the role ${name}`);
    return keys;
  });
}
