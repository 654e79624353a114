/** What commands for people show of the log: warnings and errors, as sentences. */
import type { Logger, LogFields } from "../logging.ts";
import { printable } from "../protocol/printable.ts";
import type { TextSink } from "./command.ts";

/** @param output usually standard error */
export function plainLogger(output: TextSink): Logger {
  const write = ({ problem, waitMs }: LogFields, message: string): void => {
    const more = typeof problem === "string" ? `: ${problem}` : "";
    const wait = typeof waitMs === "number" ? ` (in ${Math.ceil(waitMs / 1000)} s)` : "";
    output.write(`docket: ${printable(`${message}${wait}${more}`)}\n`);
  };
  return { debug() {}, info() {}, warn: write, error: write };
}
