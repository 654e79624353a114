/** Runs a device operation for a command: in the bot, if one runs on the data directory, and else here, on a session of its own. */
import { systemClock } from "../clock.ts";
import { loadConfig } from "../config/loadConfig.ts";
import { Cancelled, ExitCode, type ExitCode as Code } from "../errors.ts";
import { Database } from "../journal/database.ts";
import { ownerOf } from "../journal/ownership.ts";
import { unpark } from "../journal/parking.ts";
import type { DeviceOperation, Talk } from "../ops/device/deviceOperation.ts";
import { runInBot } from "../ops/device/runInBot.ts";
import { printableLines } from "../protocol/printable.ts";
import type { CommandContext } from "./command.ts";
import { plainLogger } from "./plainLogger.ts";

export type DeviceOutcome<Result> =
  | { readonly kind: "done"; readonly result: Result }
  /** What went wrong has been written to standard error. */
  | { readonly kind: "failed"; readonly exitCode: Code };

/**
 * @param configFile as people gave it
 * @param talk what the operation says and asks; its `signal` is the command's (`context.stopSignal()`)
 * @throws ConfigError | DataDirectoryRefused | ServerUnreachable | ServerRefused | StoreFailed | Cancelled; what the operation throws
 */
export async function onDevice<Input, Report, Result, Question, Reply>(
  operation: DeviceOperation<Input, Report, Result, Question, Reply>,
  input: Input,
  configFile: string,
  talk: Talk<Report, Question, Reply>,
  context: CommandContext,
): Promise<DeviceOutcome<Result>> {
  const config = await loadConfig(configFile, context);
  const byBot = await runInBot(config.data.directory, operation, input, talk);
  if (byBot?.kind === "done") return byBot;
  if (byBot !== null) {
    context.stderr.write(`docket: ${printableLines(byBot.message)} (${byBot.code})\n`);
    return { kind: "failed", exitCode: knownExitCode(byBot.exitCode) };
  }
  // Loaded only here: the crypto library and the SDK take a second that asking the bot does not need.
  const { openSession } = await import("../session/openSession.ts");
  const log = plainLogger(context.stderr);
  const database = Database.open(config.data.directory);
  try {
    const session = await openSession(database, config, {
      clock: systemClock,
      log,
      signal: talk.signal,
      role: ownerOf(database)?.role ?? null,
      patience: "once",
      onFatal: (error) => context.endNow(error),
      onNewSessions: (sessions) => database.transaction(() => unpark(database, sessions)),
    });
    try {
      await session.start();
      const result = await operation.run(
        { session, isSyncing: false, database, config, clock: systemClock, log },
        input,
        { ...talk, ask: (question) => unlessStopped(talk.ask(question), talk.signal) },
      );
      return { kind: "done", result };
    } finally {
      await session.stop();
    }
  } finally {
    database.close();
  }
}

/** Who is asked may never answer: a terminal, or a pipe that stays open. */
async function unlessStopped<Reply>(reply: Promise<Reply>, signal: AbortSignal): Promise<Reply> {
  const { promise, reject } = Promise.withResolvers<never>();
  const stop = (): void => reject(new Cancelled("The command was stopped before there was an answer."));
  if (signal.aborted) stop();
  else signal.addEventListener("abort", stop, { once: true });
  try {
    return await Promise.race([reply, promise]);
  } finally {
    signal.removeEventListener("abort", stop);
  }
}

function knownExitCode(code: number): Code {
  return Object.values(ExitCode).find((known) => known === code) ?? ExitCode.bug;
}
