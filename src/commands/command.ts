/** What every subcommand is given, and how one is plugged into the program. */
import type { Command } from "commander";
import type { ExitCode } from "../errors.ts";
import type { StepKind } from "../handlers/step.ts";

export interface TextSink {
  /** Writes text as it is; lines end with `\n`. */
  write(text: string): void;
  /** Whether a person looks at it as it comes. */
  readonly isTerminal?: boolean;
}

/** Standard input. */
export interface TextSource {
  /** A person sits there, and it is no pipe or file. */
  readonly isTerminal: boolean;
  /** All of it. @throws RangeError it is longer than `maxBytes` */
  text(maxBytes: number): Promise<string>;
  /** The next line; null at the end, or when the signal aborts. */
  line(signal: AbortSignal): Promise<string | null>;
  /** A line that a person types at the terminal without its being shown. @param prompt goes to standard error */
  hiddenLine(prompt: string): Promise<string>;
}

/** The outside world of a command: nothing else of the process is touched. */
export interface CommandContext {
  readonly stdout: TextSink;
  readonly stderr: TextSink;
  readonly stdin: TextSource;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly stepKinds: readonly StepKind[];
  /**
   * For commands that run long: from the first call on, SIGTERM and SIGINT abort the signal instead of ending the process (a second
   * one ends it at once), and so does the loss of standard output.
   */
  stopSignal(): AbortSignal;
  /** For commands that run long: from this call on, SIGHUP calls the listener instead of ending the process. */
  onHangUp(listener: () => void): void;
  /** Says what happened and ends the process at once, synchronously: nothing that runs goes on for even one more step. */
  endNow(error: Error): never;
}

/** A command's own results are 1 to 3. */
export type CommandResult = ExitCode | 1 | 2 | 3;

/**
 * Adds a subcommand to the program.
 * @param run registers what the subcommand does; call it from the subcommand's `action`, and return what it returns
 */
export type AddCommand = (program: Command, context: CommandContext, run: RunCommand) => void;
export type RunCommand = (work: () => Promise<CommandResult>) => Promise<void>;

export const defaultConfigFile = "./config.yaml";

const NO_BOT_RUNS = 2;

/** For commands that ask the running bot. */
export function noBotRuns(directory: string, configFile: string, { stderr }: CommandContext): CommandResult {
  stderr.write(
    `docket: no bot runs on ${directory}. Start it with: docket start --config ${configFile}. If it does run, --config names another one's file, or data.directory has changed since its start: then send it SIGHUP.\n`,
  );
  return NO_BOT_RUNS;
}
