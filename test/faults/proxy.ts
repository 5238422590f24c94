/** Stands between the broker and one of those whom it asks, on a free port of localhost, and spoils what passes by it. Counts what it was asked. */

import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Socket } from "node:net";
import { createServer as createTlsServer, type Server as TlsServer } from "node:tls";
import type { Certificate } from "../certificates.ts";

/** What becomes of something that was asked: does with the connection as it likes. `forward` passes it on after all. */
export type Spoil = (caller: Socket, forward: () => void) => void;

export interface FaultProxy {
  readonly port: number;
  /** Since the last `reset`: connections begun, and pieces of requests that came over them. */
  seen(): { readonly connections: number; readonly asked: number };
  reset(): void;
  /** When nobody is connected. */
  deserted(): Promise<void>;
  /** Of the next `times` that are asked; of connections that are open, too. */
  spoil(how: Spoil, times?: number): void;
  /** Another certificate from the next connection on; those that are open end. */
  present(certificate: Certificate): void;
  /** Nobody listens any more, and connections that are open end. */
  shut(): void;
  /** Connections that are open end. */
  hangUp(): void;
  close(): Promise<void>;
}

export async function startProxy(upstreamPort: number, certificate?: Certificate): Promise<FaultProxy> {
  let [connections, asked, left] = [0, 0, 0];
  let how: Spoil = (_, forward) => forward();
  const open = new Set<Socket>();
  const waiting: (() => void)[] = [];

  function serve(caller: Socket): void {
    open.add(caller);
    const upstream = connect({ host: "127.0.0.1", port: upstreamPort });
    const end = () => {
      caller.destroy();
      upstream.destroy();
      open.delete(caller);
      if (open.size === 0) for (const resolve of waiting.splice(0)) resolve();
    };
    for (const socket of [caller, upstream]) socket.on("error", end);
    caller.on("close", end);
    upstream.on("close", () => caller.end());
    upstream.on("data", (data) => caller.write(data));
    caller.on("data", (data) => {
      asked++;
      const forward = () => void upstream.write(data);
      if (left-- > 0) how(caller, forward);
      else forward();
    });
  }

  const tls = certificate === undefined ? undefined : createTlsServer(certificate, serve);
  const server = tls ?? createServer(serve);
  server.on("connection", () => connections++);
  server.on("tlsClientError", () => {});
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const hangUp = () => {
    for (const socket of open) socket.destroy();
  };

  return {
    port: (server.address() as AddressInfo).port,
    seen: () => ({ connections, asked }),
    reset() {
      connections = 0;
      asked = 0;
    },
    deserted: () => new Promise((resolve) => (open.size === 0 ? resolve() : waiting.push(resolve))),
    spoil(spoiling, times = Number.POSITIVE_INFINITY) {
      how = spoiling;
      left = times;
    },
    present(other) {
      (tls as TlsServer).setSecureContext(other);
      hangUp();
    },
    shut() {
      server.close();
      hangUp();
    },
    hangUp,
    async close() {
      const closed = server.listening && once(server, "close");
      server.close();
      hangUp();
      await closed;
    },
  };
}
