/**
 * Loads the vendor's SDK when it is first needed: it is most of the bundle, and a health check or a refusal never needs it.
 * Both packages are CommonJS with `exports.default`, which Node, esbuild and Vitest each wrap differently.
 */

type StsModule = typeof import("@alicloud/sts20150401");
type CoreModule = typeof import("@alicloud/openapi-core");

interface Sdk {
  readonly Sts: StsModule["default"];
  readonly AssumeRoleRequest: StsModule["AssumeRoleRequest"];
  readonly OpenApi: CoreModule["default"];
  readonly util: CoreModule["$OpenApiUtil"];
  /** No options of the vendor's own: no retries of its making, no proxy. */
  readonly noOptions: Parameters<InstanceType<CoreModule["default"]>["callApi"]>[2];
}

let loaded: Promise<Sdk> | undefined;

export function loadSdk(): Promise<Sdk> {
  loaded ??= (async () => {
    const vendor = await import("./vendor.ts");
    const sts = commonJs<StsModule>(vendor.sts);
    const core = commonJs<CoreModule>(vendor.core);
    return {
      Sts: sts.default,
      AssumeRoleRequest: sts.AssumeRoleRequest,
      OpenApi: core.default,
      util: core.$OpenApiUtil,
      noOptions: {} as Sdk["noOptions"],
    };
  })();
  return loaded;
}

/** `module.exports` of a CommonJS module, however it was imported. */
function commonJs<Module>(module: object): Module {
  const inner = (module as { default?: unknown }).default;
  return (typeof inner === "object" && inner !== null ? inner : module) as Module;
}
