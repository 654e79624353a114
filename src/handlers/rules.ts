/** What the operator has said, with the handlers made ready: what a reload puts in the place of what was said before. */
import type { Config } from "../config/config.ts";
import type { Registry } from "./registry.ts";

export interface Rules {
  /** Checked. */
  readonly config: Config;
  readonly registry: Registry;
}
