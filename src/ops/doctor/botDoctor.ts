/**
 * The doctor inside of a running bot, for `docket doctor`: asks the homeserver with the bot's own client where there is one, and looks
 * at the rest from inside. One examination at a time: who asks during one shares it.
 */
import type { Clock } from "../../clock.ts";
import type { Config } from "../../config/config.ts";
import type { OwnIdentity } from "../../crypto/ownIdentity.ts";
import type { Database } from "../../journal/database.ts";
import { ownerOf } from "../../journal/ownership.ts";
import type { Homeserver } from "../../matrix/homeserver.ts";
import type { Vitals } from "../../vitals.ts";
import type { HealthReport } from "../readiness.ts";
import { notAsked } from "./asked.ts";
import { diagnose } from "./diagnose.ts";
import type { DoctorReport } from "./finding.ts";

/** What a bot shows its doctor. */
export interface Patient {
  /** What counts now. */
  readonly config: Config;
  /** Null while the bot is not signed in yet. */
  readonly session: { readonly homeserver: Homeserver; readonly identity: OwnIdentity } | null;
}

export interface BotDoctorPorts {
  readonly patient: () => Patient;
  readonly database: Database;
  readonly vitals: Vitals;
  readonly report: () => HealthReport;
  readonly clock: Clock;
  readonly version: string;
}

export class BotDoctor {
  private readonly ports: BotDoctorPorts;
  private running: Promise<DoctorReport> | null = null;

  constructor(ports: BotDoctorPorts) {
    this.ports = ports;
  }

  examine(): Promise<DoctorReport> {
    this.running ??= this.once().finally(() => (this.running = null));
    return this.running;
  }

  private once(): Promise<DoctorReport> {
    const { patient, database, vitals, report } = this.ports;
    const { config, session } = patient();
    return diagnose(
      {
        by: "bot",
        configuration: { kind: "good", config },
        bot: { kind: "running", health: report(), vitals: vitals.facts(), noted: vitals.noted() },
        directoryPath: database.directory,
        directory: { kind: "good", owner: ownerOf(database) },
        database,
        configFile: null,
        homeserver: session?.homeserver ?? null,
        identity: async () =>
          session === null
            ? notAsked("The bot is starting, and has not opened its keys yet.")
            : { kind: "known", value: session.identity },
        limit: notAsked("The bot has no administrator's token."),
      },
      this.ports,
    );
  }
}
