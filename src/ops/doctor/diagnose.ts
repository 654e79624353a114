/** From somebody who can look to the doctor's report: gathers all facts, and has the checks judge them. Changes nothing. */
import type { Clock } from "../../clock.ts";
import type { Config } from "../../config/config.ts";
import type { OwnIdentity } from "../../crypto/ownIdentity.ts";
import { ConfigError } from "../../errors.ts";
import { Credentials } from "../../journal/credentials.ts";
import { takeCensus } from "../../journal/census.ts";
import type { Database } from "../../journal/database.ts";
import { freeBytes } from "../../journal/diskSpace.ts";
import { silentLogger } from "../../logging.ts";
import { DocketClient } from "../../matrix/client.ts";
import type { Homeserver } from "../../matrix/homeserver.ts";
import type { TokenProvider } from "../../matrix/http.ts";
import { storedAccessToken } from "../../session/accessToken.ts";
import { askServer, unasked } from "./askServer.ts";
import { ask, notAsked } from "./asked.ts";
import { examine } from "./checks.ts";
import type { Asked, Facts, LimitOverride } from "./facts.ts";
import { REPORT_FORMAT, worstOf, type DoctorReport } from "./finding.ts";
import { lookAtFiles } from "./lookAtDisk.ts";
import { lookForRecoveryKey } from "./recoveryFacts.ts";

/** What somebody who looks can see. */
export interface Sight {
  readonly by: DoctorReport["by"];
  readonly configuration: Facts["configuration"];
  readonly bot: Facts["bot"];
  readonly directoryPath: string | null;
  readonly directory: Facts["directory"];
  /** Null where there is none that could be read. */
  readonly database: Database | null;
  /** The configuration file, to look at its mode. */
  readonly configFile: string | null;
  /** Null: one is made, with the token that the bot would use. */
  readonly homeserver: Homeserver | null;
  readonly identity: () => Promise<Asked<OwnIdentity>>;
  readonly limit: Asked<LimitOverride>;
}

const DAY_MS = 86_400_000;

/** Waits 15 seconds at most for the homeserver, and 10 for the crypto library where it has to read the keys itself. */
export async function diagnose(sight: Sight, ports: { clock: Clock; version: string }): Promise<DoctorReport> {
  const { clock, version } = ports;
  const { configuration, database, directory, directoryPath } = sight;
  const at = clock.now();
  const free = directoryPath === null ? null : await ask(() => freeBytes(directoryPath));
  const journal =
    database === null
      ? notAsked("There is no database that could be read.")
      : await ask(() => takeCensus(database, at - DAY_MS));
  const facts: Facts = {
    at,
    configuration,
    bot: sight.bot,
    directoryPath,
    directory,
    files: lookAtFiles(directoryPath, sight.configFile),
    freeDiskBytes: free?.kind === "known" ? free.value : null,
    journal,
    identity: await sight.identity(),
    recovery: await lookForRecoveryKey(configuration.kind === "good" ? configuration.config : null, database),
    server:
      configuration.kind === "good"
        ? await lookAtServer(sight, configuration.config, journal, clock)
        : unasked(notAsked("Not asked, because the configuration has mistakes.")),
    renewable: await isRenewable(sight),
    limit: sight.limit,
  };
  const findings = examine(facts);
  const config = configuration.kind === "good" ? configuration.config : null;
  const owner = directory.kind === "good" ? directory.owner : null;
  const { whoami } = facts.server;
  return {
    format: REPORT_FORMAT,
    docket: version,
    at,
    by: sight.by,
    state: worstOf(findings),
    homeserver: config?.homeserver ?? null,
    user: config?.account.user ?? null,
    device: owner?.deviceId ?? (whoami.kind === "known" ? whoami.value.deviceId : null),
    findings,
  };
}

async function lookAtServer(
  { bot, database, homeserver }: Sight,
  config: Config,
  journal: Facts["journal"],
  clock: Clock,
): Promise<Facts["server"]> {
  const own =
    homeserver === null
      ? new DocketClient({
          homeserverUrl: config.homeserver,
          network: config.network,
          tokenProvider: tokenOf(config, database),
          clock,
          log: silentLogger,
        })
      : null;
  try {
    return await askServer({
      homeserver: homeserver ?? (own as DocketClient),
      config,
      rooms: journal.kind === "known" ? journal.value.joined : null,
      keyCounts: bot.kind === "running" ? bot.vitals.keyCounts : null,
      clock,
    });
  } finally {
    await own?.close();
  }
}

/** Asked for each request, so that what needs no token is asked also where there is none. Exchanges nothing. */
function tokenOf(config: Config, database: Database | null): TokenProvider {
  let stored: TokenProvider | null = null;
  return (refused) => {
    const { token } = config.account;
    if (token !== null) return token.reveal();
    const message = "nobody has signed in yet";
    if (database === null)
      throw new ConfigError([{ file: config.file, line: null, column: null, path: "account", message }]);
    stored ??= storedAccessToken(config);
    return stored(refused);
  };
}

/** Whether the token is one that only a bot may exchange when it is over: then its end says nothing. */
async function isRenewable({ homeserver, database, configuration }: Sight): Promise<boolean> {
  if (homeserver !== null || database === null || configuration.kind !== "good") return false;
  if (configuration.config.account.token !== null) return false;
  const device = await ask(() => new Credentials(database).read());
  return device.kind === "known" && device.value !== null && device.value.refreshToken !== null;
}
