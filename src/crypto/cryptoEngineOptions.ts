/** What the crypto engine needs of its surroundings, and whom it tells what. */
import type { Clock } from "../clock.ts";
import type { HeldWrites } from "../journal/heldWrites.ts";
import type { Logger } from "../logging.ts";
import type { Homeserver } from "../matrix/homeserver.ts";
import type { Metrics } from "../metrics.ts";
import type { DeviceId, RoomId, UserId } from "../protocol/ids.ts";
import type { Vitals } from "../vitals.ts";
import type { ParkedSessions } from "./backupFetch.ts";
import type { StoredKey } from "./backupUpload.ts";
import type { SendTo } from "./cryptoEngine.ts";
import type { OwnKeyNews } from "./ownKeyNews.ts";
import type { FindAudience } from "./roomMessages.ts";
import type { SessionRef } from "./sessionRef.ts";

/** The library's store, as the engine needs it. `KeyStore` is one; it must be installed before the engine is made. */
export interface HoldableStore {
  hold(): HeldWrites & { release(): void };
}

export interface CryptoEngineOptions extends OwnKeyNews {
  readonly userId: UserId;
  readonly deviceId: DeviceId;
  readonly homeserver: Homeserver;
  /** Null keeps the keys in memory only: for commands that need no identity of their own afterwards, and for tests. */
  readonly keyStore: HoldableStore | null;
  readonly clock: Clock;
  readonly log: Logger;
  readonly metrics?: Metrics;
  readonly vitals?: Vitals;
  /** Must end the process at once, synchronously, with the error's exit code. */
  readonly onFatal: (error: Error) => void;
  /** Told of room keys that came outside of `receive`: events parked for them can be woken. */
  readonly onNewSessions?: (sessions: readonly SessionRef[]) => void;
  /** Sessions that events wait for, in pages: the key backup is asked for them now and then. */
  readonly parkedSessions?: ParkedSessions;
  /** Wakes what is parked in a room; durable when it resolves. Without it no shared history is taken. */
  readonly wakeRoom?: (roomId: RoomId) => Promise<void>;
  /** Whom room keys are given to; asked for each encryption. `cross_signed` where it is left out. */
  readonly sendTo?: () => SendTo;
  /** Told of users whose devices or identity are news: what they sent may be trusted now. */
  readonly onSendersChanged?: (users: readonly UserId[]) => void;
  /** Told of a user who has another identity than before. @param wasVerified we had verified the one before */
  readonly onIdentityChanged?: (userId: UserId, wasVerified: boolean) => void;
  /** Fetches the key that secret storage has for the account's backup; null where there is none, or no way to it. */
  readonly storedKey?: StoredKey;
  /** Who is in a room, for what the library says there; by default it says nothing in rooms. */
  readonly audience?: FindAudience;
  /** Who may verify the bot beside its own account, as it counts now; by default nobody. */
  readonly verifiers?: () => readonly UserId[];
  /** How long an encryption waits for the members' device lists, in milliseconds; 5 seconds by default. */
  readonly memberQueryTimeoutMs?: number;
  /** A library call that takes longer has panicked, in milliseconds; a minute by default. */
  readonly watchdogMs?: number;
}
