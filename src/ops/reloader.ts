/**
 * Rereads the configuration while the bot runs. Guarantees: one reload at a time; a file with any mistake changes nothing; what can't
 * change without a restart is named and stays as it was started with; no reload ends the bot.
 */
import type { Config } from "../config/config.ts";
import { configChanges, type ConfigChanges } from "../config/configChanges.ts";
import { ConfigError, DocketError, formatProblem, type ConfigProblem } from "../errors.ts";
import type { Logger } from "../logging.ts";
import type { Vitals } from "../vitals.ts";

/** Also the answer of the control socket. */
export type ReloadOutcome =
  | { readonly kind: "reloaded"; readonly changes: ConfigChanges; readonly warnings: readonly ConfigProblem[] }
  | { readonly kind: "refused"; readonly problems: readonly ConfigProblem[] };

export interface ReloaderPorts<Rules extends { readonly config: Config }> {
  /** What the process was started with. */
  readonly started: Rules;
  /** Reads and prepares everything anew. @throws ConfigError */
  readonly read: () => Promise<Rules>;
  /** From now on these count. */
  readonly apply: (rules: Rules) => void;
  readonly vitals: Vitals;
  readonly log: Logger;
  /** Told of what the bot can't go on after. */
  readonly onFailure: (error: unknown) => void;
}

export class Reloader<Rules extends { readonly config: Config }> {
  private readonly ports: ReloaderPorts<Rules>;
  private current: Rules;
  private last: Promise<unknown> = Promise.resolve();

  constructor(ports: ReloaderPorts<Rules>) {
    this.ports = ports;
    this.current = ports.started;
  }

  /** Waits for the one before. Never rejects. */
  reload(): Promise<ReloadOutcome> {
    const next = this.last.then(() => this.once());
    this.last = next.catch(() => undefined);
    return next;
  }

  private async once(): Promise<ReloadOutcome> {
    const { started, read, apply, vitals, log, onFailure } = this.ports;
    let rules: Rules;
    try {
      rules = await read();
    } catch (error) {
      return this.refuse(error);
    }
    const changes = configChanges(started.config, this.current.config, rules.config);
    const { warnings } = rules.config;
    this.current = rules;
    try {
      apply(rules);
    } catch (error) {
      // The rules count already; what could not act on them is not known to be whole.
      onFailure(error);
      return this.refuse(error);
    }
    for (const warning of warnings)
      log.warn({ problem: formatProblem(warning) }, "the configuration deserves a second look");
    log.info({ changed: changes.live }, "the configuration was reloaded");
    if (changes.restart.length > 0)
      log.warn({ changed: changes.restart }, "these changes count from the next start on");
    vitals.note("reload", null);
    vitals.note(
      "restart",
      changes.restart.length === 0
        ? null
        : `Changed in the configuration, and counts from the next start on: ${changes.restart.join(", ")}.`,
    );
    return { kind: "reloaded", changes, warnings };
  }

  private refuse(error: unknown): ReloadOutcome {
    const { started, vitals, log } = this.ports;
    const problems = error instanceof ConfigError ? error.problems : [unexpected(started.config.file, error)];
    for (const problem of problems)
      log.error({ problem: formatProblem(problem) }, "the configuration was not reloaded");
    vitals.note(
      "reload",
      "The configuration file has mistakes and was not reloaded: what was read before still counts. `docket check` lists them.",
    );
    return { kind: "refused", problems };
  }
}

/** The text of an unknown error may quote what was being read. */
function unexpected(file: string, error: unknown): ConfigProblem {
  const message =
    error instanceof DocketError
      ? `${error.message} (${error.code})`
      : "it could not be read, for a reason that is a bug";
  return { file, line: null, column: null, path: "", message };
}
