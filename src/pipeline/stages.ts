/**
 * All that works while the bot runs, wired: the way of an event, the rooms that the bot is in, and what it says about itself. In the
 * order of start, from the last stage to the first.
 */
import type { Clock } from "../clock.ts";
import type { Config } from "../config/config.ts";
import type { CryptoEngine } from "../crypto/cryptoEngine.ts";
import type { Rules } from "../handlers/rules.ts";
import type { Database } from "../journal/database.ts";
import type { IdentityChanges } from "../journal/identityChanges.ts";
import type { Inbox } from "../journal/inbox.ts";
import type { Invites } from "../journal/invites.ts";
import { MessageIndexes } from "../journal/messageIndexes.ts";
import type { Outbox } from "../journal/outbox.ts";
import type { RoomStates } from "../journal/roomStates.ts";
import type { Service } from "../lifecycle.ts";
import type { Logger } from "../logging.ts";
import type { Homeserver, ServerVersions } from "../matrix/homeserver.ts";
import { offersStateAfter } from "../matrix/syncQuery.ts";
import type { Metrics } from "../metrics.ts";
import { receiptSupport } from "../protocol/receipts.ts";
import { RecordStore } from "../record/recordStore.ts";
import { Advertisement } from "../rooms/advertisement.ts";
import { Declines } from "../rooms/declines.ts";
import { Invitations } from "../rooms/invitations.ts";
import { Residence } from "../rooms/residence.ts";
import type { CopyWatch } from "../session/copyWatch.ts";
import { OwnKeyWatch } from "../session/ownKeyWatch.ts";
import { SyncLoop } from "../session/syncLoop.ts";
import type { Vitals } from "../vitals.ts";
import { Decryptor } from "./decryptor.ts";
import { Housekeeping } from "./housekeeping.ts";
import { Intake } from "./intake.ts";
import { Judge } from "./judge.ts";
import { Pause } from "./outboxLoop.ts";
import { ReceiptSender } from "./receiptSender.ts";
import { Recorder } from "./recorder.ts";
import { Sender } from "./sender.ts";
import { TrustedOpening } from "./trustedOpening.ts";
import { Worker } from "./worker.ts";

/** What the stages stand on. */
export interface Foundation {
  readonly database: Database;
  readonly homeserver: Homeserver;
  readonly versions: ServerVersions;
  readonly engine: CryptoEngine;
  readonly copyWatch: CopyWatch;
  readonly rooms: RoomStates;
  readonly invites: Invites;
  readonly outbox: Outbox;
  readonly inbox: Inbox;
  readonly identityChanges: IdentityChanges;
  /** Those that the process was started with. */
  readonly limits: Config["limits"];
}

/** What each of them reports to. */
export interface StagePorts {
  readonly clock: Clock;
  readonly log: Logger;
  readonly metrics: Metrics;
  readonly vitals: Vitals;
  readonly onFailure: (error: unknown) => void;
}

export interface Stages {
  readonly services: readonly (readonly [string, Service])[];
  /** The rules have changed: for what acts on that by itself. The others ask for the rules each time. */
  reconsider(): void;
}

/** A homeserver that does not answer must not hold up the stop for long: what is not sent then is sent after the next start. */
const LONGEST_DRAIN_MS = 2_000;

/** @param rules those that count now */
export function createStages(foundation: Foundation, rules: () => Rules, ports: StagePorts): Stages {
  const { database, engine, versions, rooms, invites, limits } = foundation;
  const { clock, log, vitals } = ports;
  const own = engine.identity;
  const support = receiptSupport(versions);
  const noteReceipts = (): void => {
    const missed = support === "none" && rules().config.receipts.rooms !== "none";
    const note = missed ? "no delivery receipts: the homeserver does not support them (MSC4089)" : null;
    if (vitals.note("receipts", note) && note !== null) log.info({}, note);
  };
  noteReceipts();
  const base = { ...foundation, ...ports, own, ownUser: own.userId, bundles: engine.bundles };
  const advertisement = new Advertisement({
    ...base,
    wanted: () => (rules().config.capabilities.advertise ? rules().registry.capabilities() : null),
  });
  const recorder = new Recorder(
    new RecordStore(database, clock),
    () => rules().config.record.types,
    (userId) => foundation.identityChanges.lastAt(userId),
  );
  const judge = new Judge({
    ...base,
    policy: () => ({
      ...rules().config.responses,
      plainInEncryptedRoom: rules().config.encryption.plainInEncryptedRoom,
    }),
    registry: () => rules().registry,
    receiptRooms: () => (support === "none" ? "none" : rules().config.receipts.rooms),
  });
  const opening = new TrustedOpening({
    ...base,
    recorder,
    decryptFrom: () => rules().config.encryption.decryptFrom,
    warnUntrusted: () => rules().config.responses.warnUntrusted,
  });
  const judging = { ...base, recorder, judge, opening };
  // What is not sent is sent after the next start; only answers are waited for.
  const lane = {
    ...base,
    sendMarginMs: () => rules().config.responses.sendMarginMs,
    notice: () => rules().config.invites.notice,
    drainMs: 0,
  };
  const answers = { ...lane, drainMs: Math.min(limits.shutdownGraceMs, LONGEST_DRAIN_MS) };
  const messages = new Pause();
  const ownKeys = new OwnKeyWatch(base);
  const { freeDiskBytes, settledRowsMs } = limits;
  const decryptor = new Decryptor({
    ...judging,
    indexes: new MessageIndexes(database),
    parking: { waitMs: () => rules().config.encryption.waitForKeysMs, max: limits.parked },
  });
  const services: [string, Service][] = [
    ["housekeeping", new Housekeeping({ ...base, freeDiskBytes, settledRowsMs })],
    [
      "receipt sender",
      new ReceiptSender({ ...lane, support, prefersStable: () => rules().config.receipts.preferStable }),
    ],
    // Before its sender: what waits there may be in words that do not count any more.
    ["residence", new Residence({ ...base, policy: () => ({ ...rules().config.invites, ...rules().config.rooms }) })],
    ["notice sender", new Sender("notice", lane, messages)],
    ["sender", new Sender("response", answers, messages)],
    [
      "worker",
      new Worker({ ...judging, limits: { ...limits, unaskedMs: () => rules().config.responses.defaultLifetimeMs } }),
    ],
    ["decryptor", decryptor],
    ["advertisement", advertisement],
    ["declines", new Declines({ ...base, policy: () => rules().config.invites })],
    ["invitations", new Invitations({ ...base, policy: () => rules().config.invites })],
    ["own keys", ownKeys],
    [
      "sync",
      new SyncLoop({
        ...base,
        receiver: new Intake({ ...base, onOwnDevices: () => ownKeys.nudge(), limit: limits.inbox }),
        stateAfter: offersStateAfter(versions),
      }),
    ],
  ];
  return {
    services,
    reconsider: () => {
      noteReceipts();
      advertisement.reconsider();
      decryptor.reconsider();
      invites.reconsider();
      rooms.announce();
    },
  };
}
