/** What the configuration needs to know of a step kind; the kinds themselves are above this room and are passed in. */
import type { z } from "zod";

export interface StepKindSchema<Prepared = unknown> {
  readonly name: string;
  /** One line, for the JSON Schema. */
  readonly description: string;
  /** True where the step vouches for the record: its types must be selected for it. */
  readonly needsRecord?: boolean;
  /** Accepts `undefined` where the step may be written as a bare name. */
  readonly options: z.ZodType;
  /**
   * Compiles schemas, reads files.
   * @param options what `this.options` returned
   * @param baseDirectory absolute; relative paths in the options start here
   * @throws Error with a message for the operator
   */
  prepare(options: unknown, baseDirectory: string): Promise<Prepared>;
}
