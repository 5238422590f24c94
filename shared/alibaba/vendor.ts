/** The vendor's SDK, which `npm run build` makes a file of its own of: nothing of it is read before it is needed. */

import * as core from "@alicloud/openapi-core";
import * as sts from "@alicloud/sts20150401";
import * as base from "@darabonba/typescript";

export { base, core, sts };
