/** A fixed number of requests, so many at a time: as fast as the server answers, and how long each answer took. */

import { type Connection, openConnection } from "./connection.ts";

export interface Load {
  readonly port: number;
  /** Each is sent once, in this order. */
  readonly requests: readonly Buffer[];
  /** As many connections, each with one request under way. */
  readonly inFlight: number;
  /** That each answer must have. */
  readonly status: number;
}

export interface LoadResult {
  readonly seconds: number;
  /** Of each answer, in the order of the requests. */
  readonly milliseconds: readonly number[];
}

/** @throws Error on the first answer of another status */
export async function load({ port, requests, inFlight, status }: Load): Promise<LoadResult> {
  const connections = await Promise.all(Array.from({ length: inFlight }, () => openConnection(port)));
  const milliseconds = new Array<number>(requests.length).fill(0);
  let next = 0;
  async function work({ ask }: Connection): Promise<void> {
    for (let index = next++; index < requests.length; index = next++) {
      const begun = performance.now();
      const answer = await ask(requests[index] as Buffer);
      milliseconds[index] = performance.now() - begun;
      if (answer.status !== status) throw new Error(`answered ${answer.status}, not ${status}: ${answer.body}`);
    }
  }
  try {
    const begun = performance.now();
    await Promise.all(connections.map(work));
    return { seconds: (performance.now() - begun) / 1000, milliseconds };
  } finally {
    for (const connection of connections) connection.close();
  }
}
