/** `docket doctor`: one page that says what works, what does not, and what to do. Asks the running bot, or looks with its own eyes. */
import { resolve } from "node:path";
import type { Command } from "commander";
import packageJson from "../../package.json" with { type: "json" };
import { systemClock } from "../clock.ts";
import { readFileFromDisk, readText } from "../config/configFiles.ts";
import { dataDirectoryOf } from "../config/dataDirectory.ts";
import { loadConfig } from "../config/loadConfig.ts";
import { prepareHandlers } from "../config/prepareHandlers.ts";
import { Secret } from "../config/secret.ts";
import { ConfigError, DataDirectoryRefused, ExitCode, ServerUnreachable } from "../errors.ts";
import { askBot } from "../ops/controlClient.ts";
import type { Facts } from "../ops/doctor/facts.ts";
import { notAsked } from "../ops/doctor/asked.ts";
import { REPORT, withFindings, type DoctorReport } from "../ops/doctor/finding.ts";
import type { LonelySight } from "../ops/doctor/lookAlone.ts";
import { ownFindings } from "../ops/doctor/ownFindings.ts";
import { printableJson } from "../protocol/printable.ts";
import { defaultConfigFile, type CommandContext, type CommandResult, type RunCommand } from "./command.ts";
import { doctorPage } from "./doctorPage.ts";
import { HEALTH } from "./health.ts";

interface DoctorOptions {
  readonly config: string;
  readonly json?: boolean;
  readonly adminTokenFile?: string;
}

const SOMETHING_IS_WRONG = 1;
/** A bot that works says at once how it is; its own look at everything takes longer. */
const SIGN_OF_LIFE_MS = 5_000;
const LARGEST_TOKEN_BYTES = 65_536;
const ADMIN_TOKEN = "DOCKET_ADMIN_TOKEN";

export function addDoctor(program: Command, context: CommandContext, run: RunCommand): void {
  program
    .command("doctor")
    .summary("say what works, what does not, and what to do")
    .description(
      "Looks at the configuration, the data directory, the homeserver, the keys, the queues and the rooms, and prints one page: the worst first, " +
        "each with what to do. Has the running bot look, or looks itself where none runs. Changes and sends nothing. " +
        "Exits 0 when nothing is wrong (warnings do not count), else 1.",
    )
    .option("-c, --config <file>", "the configuration file of the bot", defaultConfigFile)
    .option("--json", "print the findings as JSON")
    .option(
      "--admin-token-file <file>",
      `with the token of an administrator of the homeserver (Synapse), to ask whether it limits the bot; or set ${ADMIN_TOKEN}`,
    )
    .action((options: DoctorOptions) => run(() => doctor(options, context)));
}

async function doctor(options: DoctorOptions, context: CommandContext): Promise<CommandResult> {
  const report = await examined(options, context);
  context.stdout.write(options.json === true ? `${printableJson(report, 2)}\n` : doctorPage(report));
  return report.state === "wrong" ? SOMETHING_IS_WRONG : ExitCode.ok;
}

/** @throws ConfigError the administrator's token can't be read */
async function examined(options: DoctorOptions, context: CommandContext): Promise<DoctorReport> {
  const token = await adminToken(options, context);
  const configuration = await readConfiguration(options.config, context);
  const config = configuration.kind === "good" ? configuration.config : null;
  const directoryPath = config?.data.directory ?? (await directoryOf(options.config, context));
  // Loaded only here: the crypto library and the SDK take a second that no other command needs.
  const { askLimit } = await import("../ops/doctor/askLimit.ts");
  const [asked, limit] = await Promise.all([
    askRunningBot(directoryPath),
    config === null
      ? notAsked("Not asked, because the configuration has mistakes.")
      : askLimit(config, token, systemClock),
  ]);
  const own = { configuration, configFile: options.config, limit };
  if (asked.kind === "examined" && directoryPath !== null)
    return withFindings(asked.report, ownFindings(asked.report, { ...own, directoryPath }));
  const { lookAlone } = await import("../ops/doctor/lookAlone.ts");
  const bot = asked.kind === "examined" || asked.kind === "nobody" ? null : asked;
  return await lookAlone({ ...own, directoryPath, bot }, { clock: systemClock, version: packageJson.version });
}

type Answered =
  | { readonly kind: "examined"; readonly report: DoctorReport }
  | { readonly kind: "nobody" }
  | NonNullable<LonelySight["bot"]>;

async function askRunningBot(directory: string | null): Promise<Answered> {
  if (directory === null) return { kind: "unknown" };
  try {
    if ((await askBot(directory, "GET", "/readyz", HEALTH, SIGN_OF_LIFE_MS)) === null) return { kind: "nobody" };
    const reply = await askBot(directory, "GET", "/doctor", REPORT);
    return reply === null ? { kind: "nobody" } : { kind: "examined", report: reply.answer };
  } catch (error) {
    if (error instanceof DataDirectoryRefused) return { kind: "denied", problem: error.message };
    if (error instanceof ServerUnreachable) return { kind: "hanging", problem: error.message };
    throw error;
  }
}

async function readConfiguration(file: string, context: CommandContext): Promise<Facts["configuration"]> {
  try {
    const config = await loadConfig(file, context);
    await prepareHandlers(config, context.stepKinds);
    return { kind: "good", config };
  } catch (error) {
    if (error instanceof ConfigError) return { kind: "broken", problems: error.problems };
    throw error;
  }
}

/** @returns null where the file does not even say that */
async function directoryOf(file: string, context: CommandContext): Promise<string | null> {
  try {
    return await dataDirectoryOf(file, context);
  } catch (error) {
    if (error instanceof ConfigError) return null;
    throw error;
  }
}

/** @throws ConfigError it can't be read */
async function adminToken({ adminTokenFile }: DoctorOptions, { env }: CommandContext): Promise<Secret | null> {
  if (adminTokenFile === undefined) {
    const token = env[ADMIN_TOKEN]?.trim() ?? "";
    return token === "" ? null : new Secret(token);
  }
  const text = await readText(
    readFileFromDisk,
    resolve(adminTokenFile),
    LARGEST_TOKEN_BYTES,
    "the administrator's token",
  );
  if (text.ok && text.text.trim() !== "") return new Secret(text.text.trim());
  const message = text.ok ? "the administrator's token is empty" : text.message;
  throw new ConfigError([{ file: adminTokenFile, line: null, column: null, path: "", message }]);
}
