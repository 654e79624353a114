/**
 * History that was shared with an invitation (MSC4268): whoever invites may send the keys of what was said before, as a bundle in the
 * media repository that a to-device message names, before or after we join. Owns which rooms wait for one, and when to look.
 *
 * Guarantees: the wait is on disk before we join, and ends only when the bundle is taken and the room's parked events are woken, when
 * it can't be used, or a day after the invitation was accepted; so a kill at any moment costs no key. Only a bundle of the user who
 * invited us counts (bundleImport.ts). What is refused is logged and counted. Rooms do not wait for each other.
 */
import { RoomId as LibraryRoomId, UserId as LibraryUserId } from "@matrix-org/matrix-sdk-crypto-wasm";
import type { Clock, EpochMs } from "../clock.ts";
import { Cancelled, DocketError, endsTheBot } from "../errors.ts";
import { Nudge } from "../lifecycle.ts";
import type { Logger } from "../logging.ts";
import { pauseAfter } from "../matrix/retries.ts";
import type { Metrics } from "../metrics.ts";
import type { RoomId, UserId } from "../protocol/ids.ts";
import { BundleImport, type BundleImportOptions, type BundleOutcome } from "./bundleImport.ts";
import type { SharedHistory } from "./cryptoEngine.ts";
import { libraryNames, type ReceivedBundle } from "./syncChanges.ts";

/** After that, whoever sends one is not believed to mean this invitation; other clients do the same. */
const LONGEST_WAIT_MS = 24 * 60 * 60_000;
const AT_ONCE = 4;
const MOST_UNUSABLE = 3;
const PACE = { baseMs: 1_000, maxBackoffMs: 15 * 60_000 };
const SLOW_POLL_MS = 10 * 60_000;
/** Senders whose device is remembered; of more, the oldest are forgotten, and any signed device of theirs will do. */
const MOST_SENDERS = 1_000;

export interface KeyBundlesOptions extends BundleImportOptions {
  readonly clock: Clock;
  readonly log: Logger;
  readonly metrics?: Metrics;
  /** Wakes what is parked in a room; durable when it resolves. Without it no bundle is taken. */
  readonly wakeRoom?: (roomId: RoomId) => Promise<void>;
  /** For what nothing can go on after. */
  readonly onFatal: (error: Error) => void;
}

interface Pending {
  readonly roomId: RoomId;
  readonly inviter: UserId;
  readonly acceptedAt: EpochMs;
}

/** What is known of a wait beside what is on disk. */
interface Wait {
  /** Null: when there is news. */
  dueAt: EpochMs | null;
  failures: number;
  unusable: number;
  /** What was said last: it is not said again. */
  said: string | null;
}

export class KeyBundles implements SharedHistory {
  private readonly options: KeyBundlesOptions;
  private readonly import: BundleImport;
  private readonly nudges = new Nudge();
  private readonly waits = new Map<RoomId, Wait>();
  /** Rooms that we are about to join. */
  private readonly joining = new Set<RoomId>();
  /** Which device sent a bundle: by room and user. */
  private readonly senders = new Map<string, string>();
  private readonly inWork = new Map<RoomId, Promise<void>>();
  private running: Promise<void> | null = null;

  constructor(options: KeyBundlesOptions) {
    this.options = options;
    this.import = new BundleImport(options);
  }

  /** To be called before an invitation is accepted; on disk when it resolves. @throws CryptoPanicked | Cancelled */
  async expect(roomId: RoomId, inviter: UserId): Promise<void> {
    if (this.options.wakeRoom === undefined || libraryNames([inviter]).length === 0) return;
    this.joining.add(roomId);
    await this.options.machine.use("storeRoomPendingKeyBundle", (olm) =>
      olm.storeRoomPendingKeyBundle(new LibraryRoomId(roomId), new LibraryUserId(inviter)),
    );
  }

  /** We are in the room: what was shared may be taken. */
  joined(roomId: RoomId): void {
    this.joining.delete(roomId);
    this.lookAt(roomId);
  }

  /** We don't come into the room, or have left it. @throws CryptoPanicked | Cancelled */
  async forget(roomId: RoomId): Promise<void> {
    if (this.options.wakeRoom === undefined) return;
    await this.clear(roomId);
  }

  /** A sync brought these; it is committed. */
  noteReceived(bundles: readonly ReceivedBundle[]): void {
    for (const { roomId, sender, deviceId } of bundles) {
      const key = senderKey(roomId, sender);
      this.senders.delete(key);
      if (deviceId !== null) this.senders.set(key, deviceId);
      for (const oldest of this.senders.keys()) {
        if (this.senders.size <= MOST_SENDERS) break;
        this.senders.delete(oldest);
      }
      this.lookAt(roomId);
    }
  }

  /** These users' devices have changed: one that was not signed may be now. */
  noteChanged(users: readonly string[]): void {
    if (users.length === 0 || this.waits.size === 0) return;
    for (const [roomId, wait] of this.waits) {
      // What is being looked at may have been asked about before the change.
      if (wait.said === "untrusted" || this.inWork.has(roomId)) this.lookAt(roomId);
    }
  }

  /** Looks at all that waited when the process ended. */
  start(): void {
    if (this.options.wakeRoom !== undefined) this.running ??= this.loop();
  }

  /** Resolves when nothing is in work any more; the signal ends it. */
  async settled(): Promise<void> {
    await this.running;
    await Promise.all(this.inWork.values());
  }

  private lookAt(roomId: RoomId): void {
    const wait = this.waits.get(roomId);
    if (wait !== undefined) wait.dueAt = this.options.clock.now();
    this.nudges.nudge();
  }

  private async loop(): Promise<void> {
    const { signal, onFatal } = this.options;
    while (!signal.aborted) {
      try {
        await this.nudges.wait(signal, await this.round());
      } catch (error) {
        if (signal.aborted || error instanceof Cancelled) return;
        return onFatal(error instanceof Error ? error : new Error("the wait for key bundles failed"));
      }
    }
  }

  /** Begins what is due. @returns when to look again at the latest, in milliseconds from now */
  private async round(): Promise<number> {
    const now = this.options.clock.now();
    const pending = await this.pending();
    const rooms = new Set(pending.map(({ roomId }) => roomId));
    for (const roomId of this.waits.keys()) if (!rooms.has(roomId)) this.waits.delete(roomId);
    let next = now + SLOW_POLL_MS;
    for (const one of pending) {
      if (this.inWork.has(one.roomId)) continue;
      const wait = this.waits.get(one.roomId) ?? { dueAt: now, failures: 0, unusable: 0, said: null };
      this.waits.set(one.roomId, wait);
      const endsAt = one.acceptedAt + LONGEST_WAIT_MS;
      const dueAt = this.joining.has(one.roomId) ? endsAt : Math.min(wait.dueAt ?? endsAt, endsAt);
      // Whoever is in work nudges at its end.
      if (dueAt > now) next = Math.min(next, dueAt);
      else if (this.inWork.size < AT_ONCE) this.begin(one, wait, now >= endsAt);
    }
    return Math.max(next - now, 1);
  }

  private begin(pending: Pending, wait: Wait, isOver: boolean): void {
    // News that comes during the work count for the next look.
    wait.dueAt = null;
    const work = isOver ? this.giveUp(pending, wait) : this.attempt(pending, wait);
    const done = work
      .catch((error: unknown) => {
        if (this.options.signal.aborted || error instanceof Cancelled) return;
        this.options.onFatal(error instanceof Error ? error : new Error("a key bundle could not be taken"));
      })
      .then(() => {
        this.inWork.delete(pending.roomId);
        this.nudges.nudge();
      });
    this.inWork.set(pending.roomId, done);
  }

  private async attempt(pending: Pending, wait: Wait): Promise<void> {
    const { roomId, inviter } = pending;
    const { clock } = this.options;
    try {
      const device = this.senders.get(senderKey(roomId, inviter)) ?? null;
      await this.settle(pending, wait, await this.import.attempt(roomId, inviter, device));
    } catch (error) {
      if (!(error instanceof DocketError) || !error.code.startsWith("SERVER_") || endsTheBot(error)) throw error;
      wait.failures += 1;
      wait.dueAt ??= clock.now() + pauseAfter(error, wait.failures, PACE);
      this.say(pending, wait, "unavailable", error.message);
    }
  }

  private async settle(pending: Pending, wait: Wait, outcome: BundleOutcome): Promise<void> {
    const { clock, log, metrics, wakeRoom } = this.options;
    const { roomId, inviter } = pending;
    switch (outcome.kind) {
      case "none":
        return;
      case "untrusted":
        // A change of their devices is looked at at once, if our homeserver tells of it.
        wait.dueAt ??= clock.now() + PACE.maxBackoffMs;
        return this.say(pending, wait, "untrusted", "no device of the inviter that may have sent it is signed by them");
      case "unusable":
        wait.unusable += 1;
        if (wait.unusable < MOST_UNUSABLE) {
          wait.dueAt ??= clock.now() + PACE.baseMs;
          return;
        }
        this.say(pending, wait, "unusable", "it is not what its sender says, or no bundle");
        return await this.clear(roomId);
      case "no_address":
        this.say(pending, wait, "unusable", "what names it is no address of media");
        return await this.clear(roomId);
      case "too_large":
        this.say(pending, wait, "too_large", "it is larger than what is taken");
        return await this.clear(roomId);
      case "taken":
        metrics?.keyBundles.inc({ outcome: outcome.keys > 0 ? "taken" : "nothing_new" });
        log.info({ roomId, inviter, keys: outcome.keys }, "took the keys of the history that was shared on invitation");
        await wakeRoom?.(roomId);
        return await this.clear(roomId);
    }
  }

  private async giveUp(pending: Pending, wait: Wait): Promise<void> {
    // Most who invite share nothing: no news.
    if (wait.said !== null) this.say(pending, wait, "given_up", "the wait for it is over");
    await this.clear(pending.roomId);
  }

  private say({ roomId, inviter }: Pending, wait: Wait, outcome: string, problem: string): void {
    if (wait.said === outcome) return;
    wait.said = outcome;
    this.options.metrics?.keyBundles.inc({ outcome });
    this.options.log.warn(
      { roomId, inviter, outcome, problem },
      "the history that was shared with the invitation could not be taken",
    );
  }

  private async pending(): Promise<Pending[]> {
    return await this.options.machine.use("getAllRoomsPendingKeyBundles", async (olm) =>
      (await olm.getAllRoomsPendingKeyBundles()).map((details) => {
        const { roomId, inviterId, inviteAcceptedAtMillis: acceptedAt } = details;
        const read = { roomId: roomId.toString() as RoomId, inviter: inviterId.toString() as UserId, acceptedAt };
        for (const object of [roomId, inviterId, details]) object.free();
        return read;
      }),
    );
  }

  private async clear(roomId: RoomId): Promise<void> {
    this.waits.delete(roomId);
    this.joining.delete(roomId);
    await this.options.machine.use("clearRoomPendingKeyBundle", (olm) =>
      olm.clearRoomPendingKeyBundle(new LibraryRoomId(roomId)),
    );
  }
}

function senderKey(roomId: string, sender: string): string {
  return JSON.stringify([roomId, sender]);
}
