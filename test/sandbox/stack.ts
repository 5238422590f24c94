/** The three processes of the demo and of `npm run dev`: sandbox cloud, issuer, and the built broker. */

import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import { type BrokerProcess, type BrokerProcessOptions, sandboxPolicy, startBrokerProcess } from "./broker-process.ts";

export interface Stack {
  readonly cloudUrl: string;
  /** host:port of the sandbox's registry. */
  readonly registryHost: string;
  readonly issuerUrl: string;
  readonly broker: BrokerProcess;
  stop(): Promise<void>;
}

/** Ports: 0 is any free one. `onLine` sees what the broker logs. */
export async function startStack(
  ports: { broker: number; cloud: number; issuer: number },
  onLine: (line: string) => void = () => {},
): Promise<Stack> {
  const children: ChildProcess[] = [];
  const stopChildren = () => Promise.all(children.map(end));
  try {
    const [cloud, issuer] = await Promise.all([
      serve<{ url: string; host: string; keys: BrokerProcessOptions["keys"] }>("cloud", ports.cloud, children),
      serve<{ url: string }>("issuer", ports.issuer, children),
    ]);
    const policy = sandboxPolicy({ cloudUrl: cloud.url, issuerUrl: issuer.url, registryHost: cloud.host });
    const broker = await startBrokerProcess({ policy, port: ports.broker, keys: cloud.keys, onLine });
    return {
      cloudUrl: cloud.url,
      registryHost: cloud.host,
      issuerUrl: issuer.url,
      broker,
      stop: async () => {
        await broker.stop();
        await stopChildren();
      },
    };
  } catch (error) {
    await stopChildren();
    throw error;
  }
}

async function serve<Ready>(role: string, port: number, children: ChildProcess[]): Promise<Ready> {
  const child = fork(fileURLToPath(new URL("./serve.ts", import.meta.url)), [role, String(port)], {
    execArgv: ["--import", "tsx"],
  });
  children.push(child);
  const ended = once(child, "exit").then(([code]) => {
    throw new Error(`the sandbox's ${role} ended with ${code}`);
  });
  ended.catch(() => {}); // only its end before it is ready is an error
  const [message] = (await Promise.race([once(child, "message"), ended])) as [Ready & { failed?: string }];
  if (message.failed !== undefined) throw new Error(`the sandbox's ${role} did not start: ${message.failed}`);
  return message;
}

async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const exited = once(child, "exit");
  child.disconnect();
  await exited;
}
