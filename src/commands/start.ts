/** `docket start`: runs the bot until it is told to stop, or can't go on. */
import type { Command } from "commander";
import type { Bot } from "../bot.ts";
import { systemClock } from "../clock.ts";
import { loadConfig } from "../config/loadConfig.ts";
import { prepareHandlers } from "../config/prepareHandlers.ts";
import { ExitCode, formatProblem } from "../errors.ts";
import { createRegistry } from "../handlers/registry.ts";
import { supervise } from "../lifecycle.ts";
import { createLogger } from "../logging.ts";
import { recoveryKeyWords } from "../session/recoveryHandover.ts";
import { defaultConfigFile, type CommandContext, type CommandResult, type RunCommand } from "./command.ts";

export function addStart(program: Command, context: CommandContext, run: RunCommand): void {
  program
    .command("start")
    .summary("run the bot")
    .description(
      "Runs the bot until SIGTERM or SIGINT; a second signal ends it at once. SIGHUP rereads the configuration, like `docket reload`. " +
        "Logs JSON lines to standard output. " +
        "A homeserver that does not answer is waited for; a token that is refused ends the process with exit code 77.",
    )
    .option(
      "-c, --config <file>",
      "the configuration file; relative paths in it start at its folder",
      defaultConfigFile,
    )
    .action((options: { config: string }) => run(() => start(options.config, context)));
}

/** @throws what ended the bot, after it was stopped as cleanly as it still could be */
async function start(configFile: string, context: CommandContext): Promise<CommandResult> {
  const readRules = async () => {
    const config = await loadConfig(configFile, context);
    return { config, registry: createRegistry(await prepareHandlers(config, context.stepKinds)) };
  };
  // A signal that comes before there is a bot is not lost.
  const made = Promise.withResolvers<Bot>();
  const ended = Promise.withResolvers<void>();
  context.onHangUp(
    () =>
      void supervise(
        made.promise.then((bot) => bot.reload()),
        ended.reject,
      ),
  );
  const rules = await readRules();
  const log = createLogger(rules.config.log, context.stdout);
  for (const warning of rules.config.warnings)
    log.warn({ problem: formatProblem(warning) }, "the configuration deserves a second look");

  const signal = context.stopSignal();
  // Loaded only here: the crypto library and the SDK take a second that no other command needs.
  const { createBot } = await import("../bot.ts");
  const bot = createBot(rules, {
    clock: systemClock,
    log,
    onFailure: ended.reject,
    onFatal: (error) => context.endNow(error),
    readRules,
    setLogLevel: (level) => log.setLevel(level),
    showRecoveryKey: context.stderr.isTerminal === true ? (key) => context.stderr.write(recoveryKeyWords(key)) : null,
  });
  made.resolve(bot);
  signal.addEventListener("abort", () => ended.resolve(), { once: true });
  if (signal.aborted) ended.resolve();
  try {
    // Whichever comes first: a stop, or a failure, must not wait for a homeserver that is away.
    await Promise.race([bot.start().then(() => ended.promise), ended.promise]);
    log.info({}, "stopping");
  } finally {
    await bot.stop();
  }
  log.info({}, "stopped");
  return ExitCode.ok;
}
