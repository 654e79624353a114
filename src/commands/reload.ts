/** `docket reload`: has the running bot reread its configuration, and says what that changed. */
import type { Command } from "commander";
import { z } from "zod";
import { dataDirectoryOf } from "../config/dataDirectory.ts";
import { ExitCode, formatProblem } from "../errors.ts";
import { askBot } from "../ops/controlClient.ts";
import type { ReloadOutcome } from "../ops/reloader.ts";
import { defaultConfigFile, noBotRuns, type CommandContext, type CommandResult, type RunCommand } from "./command.ts";

const problems = z.array(
  z.object({
    file: z.string(),
    line: z.nullable(z.number()),
    column: z.nullable(z.number()),
    path: z.string(),
    message: z.string(),
    hint: z.string().exactOptional(),
  }),
);
const OUTCOME: z.ZodType<ReloadOutcome> = z.discriminatedUnion("kind", [
  z.object({
    kind: z.literal("reloaded"),
    changes: z.object({ live: z.array(z.string()), restart: z.array(z.string()) }),
    warnings: problems,
  }),
  z.object({ kind: z.literal("refused"), problems }),
]);

export function addReload(program: Command, context: CommandContext, run: RunCommand): void {
  program
    .command("reload")
    .summary("have the running bot reread its configuration")
    .description(
      "Has the bot that runs on the configuration's data directory reread its file, as SIGHUP does, and prints what changed and what needs a restart. " +
        "A file with mistakes changes nothing. Exits 0 when it was reloaded, 78 with every problem when it was not, 2 when no bot runs there.",
    )
    .option("-c, --config <file>", "the configuration file of the bot", defaultConfigFile)
    .action((options: { config: string }) => run(() => reload(options.config, context)));
}

async function reload(config: string, context: CommandContext): Promise<CommandResult> {
  const directory = await dataDirectoryOf(config, context);
  const reply = await askBot(directory, "POST", "/reload", OUTCOME);
  if (reply === null) return noBotRuns(directory, config, context);
  const outcome = reply.answer;
  if (outcome.kind === "refused") {
    for (const problem of outcome.problems) context.stderr.write(`${formatProblem(problem)}\n`);
    context.stderr.write("Not reloaded: what was read before still counts.\n");
    return ExitCode.configuration;
  }
  for (const warning of outcome.warnings) context.stderr.write(`warning: ${formatProblem(warning)}\n`);
  const { live, restart } = outcome.changes;
  const changed = live.length === 0 ? "Nothing else has changed." : `Changed: ${live.join(", ")}.`;
  context.stdout.write(`Reloaded; the handlers and the files they use were read anew. ${changed}\n`);
  if (restart.length > 0)
    context.stdout.write(`Changed too, and counts from the next start on: ${restart.join(", ")}.\n`);
  return ExitCode.ok;
}
