/**
 * Health, metrics and control of one bot: the address of `operations.listen`, and the control socket. It starts before the bot asks
 * for its homeserver, and stops after all else, so that there is always somebody to say how it is.
 */
import type { Clock } from "../clock.ts";
import type { Config } from "../config/config.ts";
import { ConfigError } from "../errors.ts";
import type { Database } from "../journal/database.ts";
import { Depths } from "../journal/depths.ts";
import { Lifecycle, type Service } from "../lifecycle.ts";
import type { Logger } from "../logging.ts";
import type { Metrics } from "../metrics.ts";
import type { Vitals } from "../vitals.ts";
import { createApp, createControlApp, type AppPorts, type Route } from "./app.ts";
import { BotDoctor, type Patient } from "./doctor/botDoctor.ts";
import { ControlSocket } from "./controlSocket.ts";
import { registerGauges } from "./gauges.ts";
import { HttpListener } from "./httpListener.ts";
import { processMetrics } from "./processMetrics.ts";
import { Readiness } from "./readiness.ts";
import type { ReloadOutcome } from "./reloader.ts";

export interface OperationsPorts {
  readonly config: Pick<Config, "file" | "operations">;
  readonly database: Database;
  readonly metrics: Metrics;
  readonly vitals: Vitals;
  readonly clock: Clock;
  readonly log: Logger;
  /** How many room keys the crypto engine holds; 0 before it runs. */
  readonly roomKeys: () => number;
  readonly reload: () => Promise<ReloadOutcome>;
  /** Work on the signed-in device, for the control socket. */
  readonly device: readonly Route[];
  /** For the doctor. */
  readonly patient: () => Patient;
  readonly version: string;
  readonly onFailure: (error: unknown) => void;
}

/** @returns a service that takes requests once it has started. Its start throws ConfigError where the address can't be had. */
export function createOperations(ports: OperationsPorts): Service {
  const { config, database, metrics, vitals, clock, log, onFailure } = ports;
  const depths = new Depths(database);
  const readiness = new Readiness({ vitals, clock, log, messagesWait: () => depths.messagesWait(), onFailure });
  const report = () => readiness.report();
  registerGauges(metrics.registry, { depths, vitals, report, roomKeys: ports.roomKeys, version: ports.version });
  const ofProcess = processMetrics();
  const app: AppPorts = {
    report,
    metrics: async () => (await metrics.registry.metrics()) + (await ofProcess.metrics()),
    log,
  };
  const { version, patient } = ports;
  const doctor = new BotDoctor({ patient, database, vitals, report, clock, version });
  const { listen, token } = config.operations;
  const control = new ControlSocket({
    directory: database.directory,
    app: createControlApp(app, { reload: ports.reload, doctor: () => doctor.examine(), device: ports.device }),
    log,
  });
  const services: [string, Service][] = [
    ["readiness", readiness],
    ["control socket", control],
  ];
  if (listen !== null) {
    const listener = new HttpListener(createApp(app, token), log);
    services.push([
      "operations",
      {
        start: async () => {
          const port = await listener.start(listen).catch((error: unknown) => {
            throw addressRefused(config.file, listen, error);
          });
          log.info({ host: listen.host, port }, "operations are served");
        },
        stop: () => listener.stop(),
      },
    ]);
  }
  return new Lifecycle(services, log);
}

/** Nobody but the operator can change that, and trying again does not help: a mistake in the configuration. */
function addressRefused(file: string, { host, port }: { host: string; port: number }, error: unknown): ConfigError {
  const code = error instanceof Error && "code" in error ? String(error.code) : "unknown";
  const reasons: Readonly<Record<string, string>> = {
    EADDRINUSE: "on which another program listens already",
    EADDRNOTAVAIL: "which is not an address of this machine",
    ENOTFOUND: "whose name leads to no address",
    EACCES: "on which this user may not listen",
    EPERM: "on which this user may not listen",
  };
  const message = `found ${host} port ${port}, ${reasons[code] ?? `which the system refuses (${code})`}, expected a free address of this machine`;
  const hint = "Choose another port (0 takes any free one) or address, or false to serve nothing.";
  return new ConfigError([{ file, line: null, column: null, path: "operations.listen", message, hint }], {
    cause: error,
  });
}
