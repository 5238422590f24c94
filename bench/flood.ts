/**
 * Requests at a steady rate, whether or not the server keeps up with it, as from callers who do not know of one another. How long an
 * answer took counts from when its request was due: one that had to wait for the sender, or for a connection, waited all the same
 * (to leave that out is "coordinated omission").
 */

import { type Connection, openConnection, requestBytes } from "./connection.ts";

/** One after the other. */
export interface Phase {
  readonly perSecond: number;
  readonly seconds: number;
}

/** Of each request, in the order in which they were due; times in ms. */
export interface FloodResult {
  /** Since the beginning. */
  readonly due: Float64Array;
  readonly status: Uint16Array;
  readonly took: Float64Array;
}

/** By each at its beginning: one that sends nothing for ten seconds is closed. */
const FIRST = requestBytes("GET", "/healthz");
/** Opened so many at a time: more may wait for a listening socket than it lets wait. */
const AT_ONCE = 100;

/** Their connections: as many as there can be requests under way. */
export class Callers {
  readonly #free: Connection[] = [];
  readonly #all: Connection[] = [];

  private constructor(readonly port: number) {}

  static async connect(port: number, count: number): Promise<Callers> {
    const callers = new Callers(port);
    while (callers.#all.length < count) {
      const more = Math.min(AT_ONCE, count - callers.#all.length);
      const opened = await Promise.all(Array.from({ length: more }, () => openConnection(port)));
      await Promise.all(opened.map(({ ask }) => ask(FIRST)));
      callers.#all.push(...opened);
    }
    callers.#free.push(...callers.#all);
    return callers;
  }

  /** As fast as the server answers, so many at a time; requests a second. */
  async closedLoop(next: () => Buffer, count: number, atOnce: number): Promise<number> {
    let left = count;
    const begun = performance.now();
    const work = async ({ ask }: Connection) => {
      while (left-- > 0) await ask(next());
    };
    await Promise.all(this.#free.slice(0, atOnce).map(work));
    return count / ((performance.now() - begun) / 1000);
  }

  /** Resolves with the last answer. @throws Error where a connection breaks */
  flood(next: () => Buffer, phases: readonly Phase[]): Promise<FloodResult> {
    const due = Float64Array.from(dueTimes(phases));
    const { length } = due;
    const result: FloodResult = { due, status: new Uint16Array(length), took: new Float64Array(length) };
    return new Promise((resolve, reject) => {
      const begun = performance.now();
      let sent = 0;
      let answered = 0;
      const send = (index: number, connection: Connection) => {
        connection.ask(next()).then(({ status }) => {
          result.status[index] = status;
          result.took[index] = performance.now() - begun - (due[index] as number);
          this.#free.push(connection);
          if (++answered === length) resolve(result);
        }, reject);
      };
      const turn = () => {
        while (sent < length && (due[sent] as number) <= performance.now() - begun) {
          const connection = this.#free.pop();
          if (connection === undefined) break;
          send(sent++, connection);
        }
        if (sent < length) setImmediate(turn);
      };
      turn();
    });
  }

  close(): void {
    for (const connection of this.#all) connection.close();
  }
}

function* dueTimes(phases: readonly Phase[]): Generator<number> {
  let from = 0;
  for (const { perSecond, seconds } of phases) {
    for (let index = 0; index < perSecond * seconds; index++) yield from + (index * 1000) / perSecond;
    from += seconds * 1000;
  }
}
