/** `docket health`: how is the bot that runs on this data directory? Asks it over its control socket. */
import type { Command } from "commander";
import { z } from "zod";
import { dataDirectoryOf } from "../config/dataDirectory.ts";
import { ExitCode, ServerUnreachable } from "../errors.ts";
import { askBot } from "../ops/controlClient.ts";
import { checkNames } from "../ops/healthChecks.ts";
import type { HealthReport } from "../ops/readiness.ts";
import { defaultConfigFile, noBotRuns, type CommandContext, type CommandResult, type RunCommand } from "./command.ts";

interface HealthOptions {
  readonly config: string;
  readonly json?: boolean;
}

const NOT_READY = 1;
const check = z.object({ ok: z.boolean(), since: z.number(), problem: z.nullable(z.string()) });
export const HEALTH: z.ZodType<HealthReport> = z.object({
  ready: z.boolean(),
  since: z.number(),
  phase: z.enum(["starting", "running", "stopping"]),
  problem: z.nullable(z.string()),
  checks: z.object({ syncing: check, decrypting: check, writing: check, sending: check }),
  notes: z.array(z.string()),
});

export function addHealth(program: Command, context: CommandContext, run: RunCommand): void {
  program
    .command("health")
    .summary("ask the running bot how it is")
    .description(
      "Asks the bot that runs on the configuration's data directory whether it syncs, decrypts, writes and sends, and prints a line for each. " +
        "Exits 0 when it is ready, 1 when it is not, 2 when no bot runs there.",
    )
    .option("-c, --config <file>", "the configuration file of the bot", defaultConfigFile)
    .option("--json", "print the report as JSON")
    .action((options: HealthOptions) => run(() => health(options, context)));
}

async function health({ config, json }: HealthOptions, context: CommandContext): Promise<CommandResult> {
  const directory = await dataDirectoryOf(config, context);
  try {
    const reply = await askBot(directory, "GET", "/readyz", HEALTH);
    if (reply === null) return noBotRuns(directory, config, context);
    const report = reply.answer;
    context.stdout.write(json === true ? `${JSON.stringify(report, null, 2)}\n` : inWords(report));
    return report.ready ? ExitCode.ok : NOT_READY;
  } catch (error) {
    // A bot that hangs is not ready.
    if (!(error instanceof ServerUnreachable)) throw error;
    context.stderr.write(`docket: ${error.message}\n`);
    return NOT_READY;
  }
}

function inWords({ ready, since, problem, checks, notes }: HealthReport): string {
  const lines = [`${ready ? "ready" : "NOT READY"} since ${at(since)}${problem === null ? "" : `: ${problem}`}`];
  for (const name of checkNames) {
    const check = checks[name];
    lines.push(
      `  ${name.padEnd(10)}  ${check.ok ? `ok since ${at(check.since)}` : `not since ${at(check.since)}: ${check.problem ?? ""}`}`,
    );
  }
  lines.push(...notes.map((note) => `  note: ${note}`));
  return `${lines.join("\n")}\n`;
}

function at(ms: number): string {
  return new Date(ms).toISOString();
}
