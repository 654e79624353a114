/**
 * The composition root: builds the rooms of the house and wires them; nothing else knows them all.
 *
 * Order of start: database, homeserver, key store, engine, then the stages from the last to the first, so that nothing is taken
 * in before what follows it runs. `stop` goes the other way round.
 */
import type { Clock } from "./clock.ts";
import type { Config } from "./config/config.ts";
import type { CryptoEngine } from "./crypto/cryptoEngine.ts";
import { createCryptoEngine } from "./crypto/engine.ts";
import { KeyStore } from "./crypto/keyStore.ts";
import { cryptoLibraryVersion } from "./crypto/libraryVersion.ts";
import { Cancelled, DocketError } from "./errors.ts";
import type { Registry } from "./handlers/registry.ts";
import { Database } from "./journal/database.ts";
import { requireFreeSpace } from "./journal/diskSpace.ts";
import { Gaps } from "./journal/gaps.ts";
import { Inbox } from "./journal/inbox.ts";
import { Invites } from "./journal/invites.ts";
import { MessageIndexes } from "./journal/messageIndexes.ts";
import { Outbox } from "./journal/outbox.ts";
import { claimOwnership } from "./journal/ownership.ts";
import { RoomStates } from "./journal/roomStates.ts";
import { Lifecycle, supervise, type Service } from "./lifecycle.ts";
import type { Logger } from "./logging.ts";
import { DocketClient } from "./matrix/client.ts";
import type { ServerVersions } from "./matrix/homeserver.ts";
import { Metrics } from "./metrics.ts";
import { Decryptor } from "./pipeline/decryptor.ts";
import { Housekeeping } from "./pipeline/housekeeping.ts";
import { Intake } from "./pipeline/intake.ts";
import { Judge } from "./pipeline/judge.ts";
import { Pause } from "./pipeline/outboxLoop.ts";
import { ReceiptSender } from "./pipeline/receiptSender.ts";
import { Recorder } from "./pipeline/recorder.ts";
import { Sender } from "./pipeline/sender.ts";
import { Worker } from "./pipeline/worker.ts";
import { receiptSupport } from "./protocol/receipts.ts";
import { RecordStore } from "./record/recordStore.ts";
import { Advertisement } from "./rooms/advertisement.ts";
import { Invitations } from "./rooms/invitations.ts";
import { Residence } from "./rooms/residence.ts";
import { connect } from "./session/connect.ts";
import { requireOwnKeys } from "./session/ownKeys.ts";
import { SyncLoop } from "./session/syncLoop.ts";
import { Vitals } from "./vitals.ts";

/** What the operator has said, with the handlers made ready. */
export interface Rules {
  /** Checked. */
  readonly config: Config;
  readonly registry: Registry;
}

export interface BotPorts {
  readonly clock: Clock;
  readonly log: Logger;
  /** Told once or more, of errors that the bot can't go on with; the caller stops it. */
  readonly onFailure: (error: unknown) => void;
  /** Must end the process at once, synchronously: memory is ahead of disk, or can't be trusted any more. */
  readonly onFatal: (error: Error) => never;
}

export interface Bot extends Service {
  /**
   * From the next event on, these handlers and policies count; what is bound to the start (accounts, addresses, limits) stays as
   * it was started with.
   */
  reload(rules: Rules): void;
  readonly metrics: Metrics;
  /** What the parts tell about their state. */
  readonly vitals: Vitals;
}

/** A homeserver that does not answer must not hold up the stop for long: what is not sent then is sent after the next start. */
const LONGEST_DRAIN_MS = 2_000;

/** What the stages stand on. */
interface Foundation {
  readonly database: Database;
  readonly homeserver: DocketClient;
  readonly engine: CryptoEngine;
  readonly rooms: RoomStates;
  readonly invites: Invites;
  readonly outbox: Outbox;
  readonly inbox: Inbox;
}

export function createBot(initial: Rules, ports: BotPorts): Bot {
  let rules = initial;
  /** Tells those who act on a change by themselves; the others ask for the rules each time. */
  let reconsider = (): void => undefined;
  const { config } = initial;
  const { clock, log, onFailure, onFatal } = ports;
  const metrics = new Metrics();
  const vitals = new Vitals();
  const stopping = new AbortController();
  // Closed in the reverse order of opening, also after a start that failed half-way.
  const opened: (() => Promise<void> | void)[] = [];
  let stopped: Promise<void> | null = null;
  let starting: Promise<void> = Promise.resolve();

  async function start(): Promise<void> {
    const database = Database.open(config.data.directory);
    opened.push(() => database.close());
    requireFreeSpace(config.data.directory, config.limits.freeDiskBytes);

    const client = new DocketClient({
      homeserverUrl: config.homeserver,
      tokenProvider: () => config.account.token.reveal(),
      clock,
      log,
    });
    opened.push(() => client.close());
    const { userId, deviceId, versions } = await connect(config, {
      homeserver: client,
      clock,
      log,
      signal: stopping.signal,
      patience: "retry",
    });
    claimOwnership(database, { userId, deviceId });

    const keyStore = await KeyStore.open({
      database,
      libraryVersion: await cryptoLibraryVersion(),
      onFatal,
      log,
    });
    opened.push(() => keyStore.close());
    keyStore.install();
    const rooms = new RoomStates(database);
    const invites = new Invites(database, clock);
    const outbox = new Outbox(database, clock);
    const inbox = new Inbox({ database, clock, rooms, gaps: new Gaps(database), invites, outbox, ownUser: userId });
    const engine = await createCryptoEngine({
      userId,
      deviceId,
      homeserver: client,
      keyStore,
      clock,
      log,
      onFatal,
      onNewSessions: (sessions) => void supervise(inbox.unpark(sessions), onFailure),
    });
    opened.push(() => engine.stop());
    const { signal } = stopping;
    await requireOwnKeys(engine.identity, { homeserver: client, directory: config.data.directory, log, signal });
    await engine.start();

    const services = new Lifecycle(
      stages({ database, homeserver: client, engine, rooms, invites, outbox, inbox }, versions),
      log,
    );
    opened.push(() => services.stop());
    if (stopping.signal.aborted) return;
    await services.start();
    log.info(
      { userId, deviceId, homeserver: config.homeserver, handlers: config.handlers.length },
      "Docket is running",
    );
  }

  function stages(
    { database, homeserver, engine, rooms, invites, outbox, inbox }: Foundation,
    versions: ServerVersions,
  ): (readonly [string, Service])[] {
    const own = engine.identity;
    const support = receiptSupport(versions);
    if (support === "none" && rules.config.receipts.rooms !== "none") {
      const note = "no delivery receipts: the homeserver does not support them (MSC4089)";
      vitals.note("receipts", note);
      log.info({}, note);
    }
    const advertisement = new Advertisement({
      own,
      homeserver,
      versions,
      wanted: () => (rules.config.capabilities.advertise ? rules.registry.capabilities() : null),
      clock,
      log,
      vitals,
      onFailure,
    });
    reconsider = () => advertisement.reconsider();
    const recorder = new Recorder(new RecordStore(database, clock), () => rules.config.record.types);
    const judge = new Judge({
      own,
      policy: () => ({
        ...rules.config.responses,
        plainInEncryptedRoom: rules.config.encryption.plainInEncryptedRoom,
      }),
      registry: () => rules.registry,
      receiptRooms: () => (support === "none" ? "none" : rules.config.receipts.rooms),
      rooms,
      clock,
      log,
    });
    const receiver = new Intake({
      inbox,
      engine,
      clock,
      log,
      metrics,
      ownUser: own.userId,
      limit: config.limits.inbox,
    });
    const lane = {
      outbox,
      rooms,
      engine,
      homeserver,
      clock,
      log,
      metrics,
      onFailure,
      sendMarginMs: () => rules.config.responses.sendMarginMs,
      // What is not sent is sent after the next start.
      drainMs: 0,
    };
    const messages = new Pause();
    const shared = { inbox, engine, rooms, recorder, judge, clock, log, metrics, onFailure };
    return [
      [
        "housekeeping",
        new Housekeeping({
          inbox,
          outbox,
          clock,
          database,
          freeDiskBytes: config.limits.freeDiskBytes,
          settledRowsMs: config.limits.settledRowsMs,
          onFailure,
        }),
      ],
      [
        "receipt sender",
        new ReceiptSender({ ...lane, support, prefersStable: () => rules.config.receipts.preferStable }),
      ],
      ["notice sender", new Sender("notice", lane, messages)],
      [
        "sender",
        new Sender(
          "response",
          { ...lane, drainMs: Math.min(config.limits.shutdownGraceMs, LONGEST_DRAIN_MS) },
          messages,
        ),
      ],
      [
        "worker",
        new Worker({
          ...shared,
          limits: { ...config.limits, unaskedMs: () => rules.config.responses.defaultLifetimeMs },
        }),
      ],
      [
        "decryptor",
        new Decryptor({
          ...shared,
          indexes: new MessageIndexes(database),
          parking: { waitMs: () => rules.config.encryption.waitForKeysMs, max: config.limits.parked },
        }),
      ],
      ["advertisement", advertisement],
      [
        "residence",
        new Residence({
          rooms,
          invites,
          outbox,
          homeserver,
          ownUser: own.userId,
          policy: () => ({ ...rules.config.invites, ...rules.config.rooms }),
          clock,
          log,
          onFailure,
        }),
      ],
      [
        "invitations",
        new Invitations({
          invites,
          homeserver,
          policy: () => rules.config.invites,
          clock,
          log,
          onFailure,
        }),
      ],
      [
        "sync",
        new SyncLoop({
          homeserver,
          receiver,
          clock,
          log,
          stateAfter: versions.unstableFeatures["org.matrix.msc4222"] === true,
          onFailure,
        }),
      ],
    ];
  }

  async function stop(): Promise<void> {
    stopping.abort();
    // A start in flight ends first: what it has opened by then is closed, and nothing is opened after it.
    await starting.catch(() => undefined);
    for (const close of opened.splice(0).reverse()) {
      try {
        await close();
      } catch (error) {
        // What ended the bot is reported elsewhere, and must not be hidden by what it left behind.
        log.error(
          { code: error instanceof DocketError ? error.code : "BUG" },
          "a part of the bot did not close cleanly",
        );
      }
    }
  }

  return {
    metrics,
    vitals,
    reload: (next) => {
      rules = next;
      reconsider();
    },
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
