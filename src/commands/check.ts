/** `docket check`: is the configuration good, and what would the bot do with it? Touches no data directory, and the network only when asked. */
import type { Command } from "commander";
import { systemClock } from "../clock.ts";
import { loadConfig } from "../config/loadConfig.ts";
import type { Config } from "../config/config.ts";
import { proxyFinder } from "../config/network.ts";
import { prepareHandlers } from "../config/prepareHandlers.ts";
import { configJsonSchema } from "../config/schema.ts";
import { formatDuration, formatSize } from "../config/units.ts";
import { ConfigError, ExitCode, formatProblem, ServerRefused } from "../errors.ts";
import { silentLogger } from "../logging.ts";
import { defaultConfigFile, type CommandContext, type CommandResult, type RunCommand } from "./command.ts";

interface CheckOptions {
  readonly config: string;
  readonly jsonSchema?: boolean;
  readonly online?: boolean;
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
    .option(
      "--online",
      "also ask the homeserver, once, whether it answers and whose the token is (exits 69 or 77 if not)",
    )
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
    if (options.online === true) context.stdout.write(await whoAnswers(config));
    return ExitCode.ok;
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    for (const problem of error.problems) context.stderr.write(`${formatProblem(problem)}\n`);
    const count = error.problems.length;
    context.stderr.write(`${count} ${count === 1 ? "problem" : "problems"} in ${options.config}\n`);
    return error.exitCode;
  }
}

/** @throws ServerUnreachable | ServerRefused | ConfigError, as a start would, but without its patience */
async function whoAnswers(config: Config): Promise<string> {
  const [{ DocketClient }, { connect }, { readSignedIn, storedAccessToken }] = await Promise.all([
    import("../matrix/client.ts"),
    import("../session/connect.ts"),
    import("../session/accessToken.ts"),
  ]);
  const homeserver = new DocketClient({
    homeserverUrl: config.homeserver,
    network: config.network,
    tokenProvider: storedAccessToken(config),
    clock: systemClock,
    log: silentLogger,
  });
  try {
    const ports = { homeserver, clock: systemClock, log: silentLogger, signal: new AbortController().signal };
    const { userId, deviceId, versions } = await connect(config, { ...ports, patience: "once" });
    return `The homeserver answers (up to ${versions.versions.at(-1) ?? "no version of the specification"}). The token is for ${userId}, device ${deviceId}.\n`;
  } catch (error) {
    // Only the bot may exchange it: two who did would lose the sign-in.
    const isExpired = error instanceof ServerRefused && error.tokenRefused && config.account.token === null;
    if (!isExpired || readSignedIn(config).refreshToken === null) throw error;
    return "The homeserver answers. The stored access token has expired; a start exchanges it for a new one.\n";
  } finally {
    await homeserver.close();
  }
}

const RECEIPT_ROOMS: Readonly<Record<Config["receipts"]["rooms"], string>> = {
  none: "no rooms",
  private_encrypted: "encrypted rooms that not everybody may join",
  private: "rooms that not everybody may join",
  all: "all rooms",
};

/** Where it is not the plain one. */
function wayOut({ homeserver, network: { proxies, certificateAuthorities } }: Config): string[] {
  const { http, https } = proxies;
  const proxy = proxyFinder(proxies)(new URL(homeserver));
  const unused = new URL(homeserver).protocol === "https:" ? https : http;
  const lines: string[] = [];
  if (proxy !== null) {
    const credentials = proxy.authorization === null ? "" : ", with credentials";
    lines.push(`  reach it through the proxy ${proxy.origin} (${proxy.source}${credentials})`);
  } else if (unused !== null)
    lines.push(`  reach it without the proxy ${unused.origin} (${unused.source}), because of NO_PROXY`);
  const { file, certificates } = certificateAuthorities;
  if (file !== null) {
    const count = certificates.length;
    lines.push(`  trust ${count} more ${count === 1 ? "certificate" : "certificates"}, from ${file}`);
  }
  return lines;
}

function summary(config: Config): string {
  const { dialects, defaultLifetimeMs, maxLifetimeMs, unknownTypes } = config.responses;
  const lines = [
    `${config.file} is well. Docket would:`,
    `  act as ${config.account.user} on ${config.homeserver}`,
    ...wayOut(config),
    `  keep its data in ${config.data.directory}, and stop with less than ${formatSize(config.limits.freeDiskBytes)} of free disk`,
    `  accept invites from ${config.invites.accept.length === 0 ? "nobody" : config.invites.accept.join(", ")}${config.invites.publicRooms ? ", to public rooms too" : ""}`,
    config.invites.notice === null
      ? "  say nothing when it joins a room"
      : "  say in each room what it does there, once",
    `  send delivery receipts in ${RECEIPT_ROOMS[config.receipts.rooms]}, where the homeserver supports them`,
    `  record ${config.record.types.length === 0 ? "nothing" : config.record.types.join(", ")}`,
    dialects.length === 0
      ? "  answer no status requests"
      : `  answer status requests in ${dialects.join(", ")}, within ${formatDuration(defaultLifetimeMs)} or up to ${formatDuration(maxLifetimeMs)} where asked`,
    `  meet unknown types with: ${unknownTypes}`,
    ...config.handlers.map(
      ({ types, match, ordered, steps }) =>
        `  handle ${types.join(", ")}${match.map(({ key, value }) => ` with ${key} ${JSON.stringify(value)}`).join(" and")}: ${steps.map(({ name }) => name).join(", then ")}${ordered ? " (in order)" : ""}`,
    ),
  ];
  if (config.handlers.length === 0) lines.push("  handle no event types");
  const { listen } = config.operations;
  lines.push(
    listen === null
      ? "  serve no health and metrics"
      : `  serve health and metrics on ${listen.host} port ${listen.port}`,
  );
  return `${lines.join("\n")}\n`;
}
