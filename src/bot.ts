/**
 * The composition root: builds the rooms of the house and wires them; nothing else knows them all.
 *
 * Order of start: database, health and control, the signed-in device (session/openSession.ts), then the stages (pipeline/stages.ts) from the last to
 * the first, so that nothing is taken in before what follows it runs. `stop` goes the other way round.
 */
import packageJson from "../package.json" with { type: "json" };
import type { Clock } from "./clock.ts";
import type { Config } from "./config/config.ts";
import type { KeyStore } from "./crypto/keyStore.ts";
import { Cancelled } from "./errors.ts";
import type { Rules } from "./handlers/rules.ts";
import { Database } from "./journal/database.ts";
import { requireFreeSpace } from "./journal/diskSpace.ts";
import { Gaps } from "./journal/gaps.ts";
import { IdentityChanges } from "./journal/identityChanges.ts";
import { Inbox } from "./journal/inbox.ts";
import { Invites } from "./journal/invites.ts";
import { Outbox } from "./journal/outbox.ts";
import { parkedSessions } from "./journal/parking.ts";
import { RoomStates } from "./journal/roomStates.ts";
import { closeAll, Lifecycle, supervise, type Service } from "./lifecycle.ts";
import type { Logger, LogLevel } from "./logging.ts";
import { Metrics } from "./metrics.ts";
import type { Patient } from "./ops/doctor/botDoctor.ts";
import type { Device } from "./ops/device/deviceOperation.ts";
import { DeviceOperations } from "./ops/device/deviceOperations.ts";
import { deviceOperations } from "./ops/device/operations.ts";
import { createOperations } from "./ops/operations.ts";
import { Reloader, type ReloadOutcome } from "./ops/reloader.ts";
import { createStages } from "./pipeline/stages.ts";
import { identityUpkeep } from "./session/identityUpkeep.ts";
import { CopyMark } from "./session/copyMark.ts";
import { CopyWatch } from "./session/copyWatch.ts";
import { MarkKeeper } from "./session/markKeeper.ts";
import { openSession, type Session } from "./session/openSession.ts";
import { Vitals } from "./vitals.ts";

export interface BotPorts {
  readonly clock: Clock;
  readonly log: Logger;
  /** Told once or more, of errors that the bot can't go on with; the caller stops it. */
  readonly onFailure: (error: unknown) => void;
  /** Must end the process at once, synchronously: memory is ahead of disk, or can't be trusted any more. */
  readonly onFatal: (error: Error) => never;
  /** Reads the rules anew. @throws ConfigError */
  readonly readRules: () => Promise<Rules>;
  readonly setLogLevel: (level: LogLevel) => void;
  /** Shows the account's new recovery key to the person at the terminal; null or absent: nobody is there. */
  readonly showRecoveryKey?: ((recoveryKey: string) => void) | null;
}

export interface Bot extends Service {
  /**
   * Rereads the rules: from the next event on, their handlers and policies count; what is bound to the start (accounts, addresses,
   * limits) stays as it was started with. Never rejects.
   */
  reload(): Promise<ReloadOutcome>;
  readonly metrics: Metrics;
  /** What the parts tell about their state. */
  readonly vitals: Vitals;
}

export function createBot(initial: Rules, ports: BotPorts): Bot {
  let rules = initial;
  /** Tells those who act on new rules by themselves; the others ask for them each time. */
  let reconsider = (): void => undefined;
  const { config } = initial;
  const { clock, log, onFatal } = ports;
  const metrics = new Metrics();
  const vitals = new Vitals();
  const onFailure = (error: unknown): void => {
    vitals.fail(clock.now(), error);
    ports.onFailure(error);
  };
  const reloader = new Reloader({
    started: initial,
    read: ports.readRules,
    apply: (next) => {
      rules = next;
      ports.setLogLevel(next.config.log);
      reconsider();
    },
    vitals,
    log,
    onFailure,
  });
  let keyStore: KeyStore | null = null;
  let session: Session | null = null;
  const stopping = new AbortController();
  // Closed in the reverse order of opening, also after a start that failed half-way.
  const opened: (() => Promise<void> | void)[] = [];
  let stopped: Promise<void> | null = null;
  let starting: Promise<void> = Promise.resolve();

  /** What is bound to the start stays as it was, whatever the file says by now. */
  function configNow(): Config {
    const { homeserver, account, network, data, limits } = config;
    return { ...rules.config, homeserver, account, network, data, limits };
  }

  function patient(): Patient {
    const signedIn = session === null ? null : { homeserver: session.homeserver, identity: session.engine.identity };
    return { config: configNow(), session: signedIn };
  }

  async function start(): Promise<void> {
    const database = Database.open(config.data.directory);
    opened.push(() => database.close());
    requireFreeSpace(config.data.directory, config.limits.freeDiskBytes);
    const device = (): Device | null =>
      session === null ? null : { session, isSyncing: true, database, config: configNow(), clock, log };
    const work = new DeviceOperations({ operations: deviceOperations, device, log });
    const operations = createOperations({
      config,
      database,
      metrics,
      vitals,
      clock,
      log,
      roomKeys: () => keyStore?.stats().inboundSessions ?? 0,
      reload: () => reloader.reload(),
      device: work.routes(),
      patient,
      version: packageJson.version,
      onFailure,
    });
    opened.push(() => operations.stop());
    await operations.start();

    const opening = await openSession(database, config, {
      clock,
      log,
      metrics,
      vitals,
      signal: stopping.signal,
      role: "bot",
      patience: "retry",
      onWait: (error) => vitals.syncFailed(clock.now(), error),
      onFatal,
      onKeysUploaded: () => marks.noteUpload(),
      onKeysRefused: () => void supervise((async () => copyWatch.raise("one_time_keys"))(), onFailure),
      verifiers: () => rules.config.encryption.verifiers,
      onNewSessions: (sessions) => void supervise(inbox.unpark(sessions), onFailure),
      parkedSessions: (after, most) => parkedSessions(database, after, most),
      wakeRoom: (roomId) => inbox.unparkRoom(roomId),
      onSendersChanged: (users) => void supervise(inbox.unparkUntrusted(users), onFailure),
      onIdentityChanged: (user, wasVerified) => void supervise(identityChanges.note(user, wasVerified), onFailure),
      sendTo: () => rules.config.encryption.sendTo,
    });
    opened.push(() => opening.stop());
    const { userId, deviceId, homeserver, engine, versions } = opening;
    keyStore = opening.keyStore;
    const rooms = new RoomStates(database);
    const invites = new Invites(database, clock);
    const outbox = new Outbox(database, clock);
    const inbox = new Inbox({ database, clock, rooms, gaps: new Gaps(database), invites, outbox, ownUser: userId });
    const identityChanges = new IdentityChanges(database, clock);
    const copyWatch = new CopyWatch({ database, engine, clock, log, vitals });
    const marks = new MarkKeeper({
      mark: new CopyMark({ database, homeserver, userId, deviceId }),
      onForeign: () => copyWatch.raise("foreign_mark"),
      clock,
      log,
      onFailure,
    });
    await marks.look(stopping.signal);
    await opening.start();
    session = opening;
    opened.push(() => work.stop());
    vitals.engineStarted();
    // Before any invitation is accepted: shared history goes only to devices that were trusted when they were invited (MSC4268).
    const { showRecoveryKey = null } = ports;
    const identity = identityUpkeep(session, { database, config, showRecoveryKey, clock, log, vitals, onFailure });
    opened.push(() => identity.stop());
    await identity.start(stopping.signal);

    const foundation = {
      database,
      homeserver,
      engine,
      copyWatch,
      rooms,
      invites,
      outbox,
      inbox,
      identityChanges,
      versions,
      limits: config.limits,
    };
    const stages = createStages(foundation, () => rules, { clock, log, metrics, vitals, onFailure });
    reconsider = () => stages.reconsider();
    const services = new Lifecycle([["mark", marks], ...stages.services], log);
    opened.push(() => services.stop());
    if (stopping.signal.aborted) return;
    await services.start();
    vitals.enter("running");
    log.info(
      { userId, deviceId, homeserver: config.homeserver, handlers: config.handlers.length },
      "Docket is running",
    );
  }

  async function stop(): Promise<void> {
    vitals.enter("stopping");
    stopping.abort();
    // A start in flight ends first: what it has opened by then is closed, and nothing is opened after it.
    await starting.catch(() => undefined);
    await closeAll(opened, log);
  }

  return {
    metrics,
    vitals,
    reload: () => reloader.reload(),
    start: () => {
      starting = start().catch((error: unknown) => {
        if (error instanceof Cancelled && stopping.signal.aborted) return;
        throw error;
      });
      return starting;
    },
    stop: () => (stopped ??= stop()),
  };
}
