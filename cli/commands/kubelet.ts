/** `acr-broker kubelet`: the kubelet's image credential provider plugin. docs/clients/kubernetes.md */

import { BROKER_OPTIONS, brokerOptions, registryOf } from "../broker.ts";
import { command, EXIT, UsageError } from "../command.ts";
import { emptyResponse, providerResponse, readProviderRequest } from "../kubelet/api.ts";
import { GRANT_ANNOTATION, provide } from "../kubelet/provide.ts";
import { brokerFacts } from "../registries.ts";

export const kubelet = command({
  usage: "[--self-test --image IMAGE [--provider-config FILE]]",
  description: `
Answers the kubelet, which runs it for images that it is to pull: a CredentialProviderRequest on standard input
becomes a credential to pull exactly that image's repository. Where the kubelet sends the token of the pod's
service account, that is the identity, and its annotation ${GRANT_ANNOTATION} may name a grant to ask for
instead; else the node's own identity is found as by all other commands. An image of a host that is not the
broker's is answered without a credential.

With --self-test it goes the same way as the node, and shows what the kubelet would get, without the password.

Exit codes: 0 answered; 1 not: refused, malformed, another version of the API, the broker not reached.`,
  options: {
    ...BROKER_OPTIONS,
    registry: { type: "string", value: "NAME", help: "which, where several have the image's host" },
    "self-test": { type: "boolean", help: "show what the kubelet would get for --image" },
    image: { type: "string", value: "IMAGE", help: "with --self-test: HOST/<namespace>/<repository>[:TAG]" },
    "provider-config": {
      type: "string",
      value: "FILE",
      help: "with --self-test: the kubelet's CredentialProviderConfig, to be looked at too",
    },
  },
  mostPositionals: 0,
  ownExitCode: EXIT.no,
  examples: [
    "acr-broker kubelet --self-test --image acme-registry.cn-hangzhou.cr.aliyuncs.com/web/app:1",
    "acr-broker kubelet < request.json",
  ],
  async run({ options }, terminal) {
    const broker = brokerOptions(options, terminal);
    const registry = registryOf(options, terminal.environment);
    const { image, "provider-config": configFile } = options;
    if (options["self-test"] === true) {
      if (image === undefined)
        throw new UsageError("--self-test of which image? give --image HOST/<namespace>/<repository>");
      const { selfTest } = await import("../kubelet/self-test.ts");
      return (await selfTest({ image, configFile, registry, options: broker }, terminal)) ? EXIT.ok : EXIT.no;
    }
    const request = readProviderRequest(terminal.readStandardInput());
    if ("problem" in request) throw new UsageError(request.problem);
    const facts = await brokerFacts(broker, terminal.outside);
    const provided = await provide(request, broker, facts, registry);
    if (provided === undefined) terminal.tell("acr-broker: that image's host is none of the broker's\n");
    const answer = provided === undefined ? emptyResponse() : providerResponse(provided.host, provided.credentials);
    terminal.out(`${JSON.stringify(answer)}\n`);
    return EXIT.ok;
  },
});
