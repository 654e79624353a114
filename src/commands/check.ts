/** `docket check`: is the configuration good, and what would the bot do with it? Touches no network and no data directory. */
import type { Command } from "commander";
import { loadConfig } from "../config/loadConfig.ts";
import type { Config } from "../config/config.ts";
import { prepareHandlers } from "../config/prepareHandlers.ts";
import { configJsonSchema } from "../config/schema.ts";
import { formatDuration, formatSize } from "../config/units.ts";
import { ConfigError, ExitCode, formatProblem } from "../errors.ts";
import { defaultConfigFile, type CommandContext, type CommandResult, type RunCommand } from "./command.ts";

interface CheckOptions {
  readonly config: string;
  readonly jsonSchema?: boolean;
}

export function addCheck(program: Command, context: CommandContext, run: RunCommand): void {
  program
    .command("check")
    .summary("check the configuration")
    .description(
      "Checks the configuration file and all that it names (secrets, schemas), prints every problem with its line, or what the bot would do. " +
        "Exits 0 when all is well and 78 when it is not.",
    )
    .option("-c, --config <file>", "the configuration file", defaultConfigFile)
    .option("--json-schema", "print the JSON Schema of the configuration, for editors, and check nothing")
    .action((options: CheckOptions) => run(() => check(options, context)));
}

async function check(options: CheckOptions, context: CommandContext): Promise<CommandResult> {
  if (options.jsonSchema === true) {
    context.stdout.write(`${JSON.stringify(configJsonSchema(context.stepKinds), null, 2)}\n`);
    return ExitCode.ok;
  }
  try {
    const config = await loadConfig(options.config, { stepKinds: context.stepKinds, env: context.env });
    await prepareHandlers(config, context.stepKinds);
    for (const warning of config.warnings) context.stderr.write(`warning: ${formatProblem(warning)}\n`);
    context.stdout.write(summary(config));
    return ExitCode.ok;
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    for (const problem of error.problems) context.stderr.write(`${formatProblem(problem)}\n`);
    const count = error.problems.length;
    context.stderr.write(`${count} ${count === 1 ? "problem" : "problems"} in ${options.config}\n`);
    return error.exitCode;
  }
}

function summary(config: Config): string {
  const { dialects, defaultLifetimeMs, maxLifetimeMs, unknownTypes } = config.responses;
  const lines = [
    `${config.file} is well. Docket would:`,
    `  act as ${config.account.user} on ${config.homeserver}`,
    `  keep its data in ${config.data.directory}, and stop with less than ${formatSize(config.limits.freeDiskBytes)} of free disk`,
    `  accept invites from ${config.invites.accept.length === 0 ? "nobody" : config.invites.accept.join(", ")}`,
    `  record ${config.record.types.length === 0 ? "nothing" : config.record.types.join(", ")}`,
    dialects.length === 0
      ? "  answer no status requests"
      : `  answer status requests in ${dialects.join(", ")}, within ${formatDuration(defaultLifetimeMs)} or up to ${formatDuration(maxLifetimeMs)} where asked`,
    `  meet unknown types with: ${unknownTypes}`,
    ...config.handlers.map(
      ({ types, ordered, steps }) =>
        `  handle ${types.join(", ")}: ${steps.map(({ name }) => name).join(", then ")}${ordered ? " (in order)" : ""}`,
    ),
  ];
  if (config.handlers.length === 0) lines.push("  handle no event types");
  return `${lines.join("\n")}\n`;
}
