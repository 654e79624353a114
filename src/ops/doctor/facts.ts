/** What is known when the checks judge: gathered beforehand, with its gaps named. No fact holds a body, a token or a key. */
import type { EpochMs } from "../../clock.ts";
import type { Config } from "../../config/config.ts";
import type { OwnIdentity } from "../../crypto/ownIdentity.ts";
import type { DeviceSignature } from "../../crypto/deviceSignature.ts";
import type { ConfigProblem } from "../../errors.ts";
import type { Census } from "../../journal/census.ts";
import type { Owner } from "../../journal/ownership.ts";
import type { Greeting } from "../../matrix/homeserver.ts";
import type { DeviceId, RoomId, UserId } from "../../protocol/ids.ts";
import type { Facts as VitalFacts } from "../../vitals.ts";
import type { HealthReport } from "../readiness.ts";

/** A question that failed. */
export interface Failure {
  /** Of the error class; `BUG` for anything else. */
  readonly code: string;
  /** The error's own sentence; null for an error that is not ours and may quote what was read. */
  readonly problem: string | null;
  /** HTTP status and Matrix error code, where the homeserver refused. */
  readonly status: number | null;
  readonly errcode: string | null;
  readonly tokenRefused: boolean;
}

export type Asked<T> =
  | { readonly kind: "known"; readonly value: T }
  | { readonly kind: "failed"; readonly failure: Failure }
  /** `why` is a sentence. */
  | { readonly kind: "not_asked"; readonly why: string };

export type BotFacts =
  | {
      readonly kind: "running";
      readonly health: HealthReport;
      readonly vitals: VitalFacts;
      /** Notes for people by the part that wrote them (vitals.ts). */
      readonly noted: ReadonlyMap<string, string>;
    }
  /** Nobody holds the data directory. */
  | { readonly kind: "stopped" }
  /** It took the connection to its control socket and did not answer. */
  | { readonly kind: "hanging"; readonly problem: string }
  /** The data directory is held, and nobody listens on the control socket. */
  | { readonly kind: "deaf" }
  /** Another user's. */
  | { readonly kind: "denied"; readonly problem: string }
  /** The configuration does not even say where its data is. */
  | { readonly kind: "unknown" };

export type DirectoryFacts =
  | { readonly kind: "good"; readonly owner: Owner | null }
  /** No directory, or no database in it. */
  | { readonly kind: "absent" }
  /** Of an older version: the next start brings it up to date. */
  | { readonly kind: "older" }
  /** This user may not look into it. */
  | { readonly kind: "denied" }
  | { readonly kind: "failed"; readonly failure: Failure };

/** A file or directory of the bot. */
export interface FileFact {
  readonly path: string;
  readonly kind: "data directory" | "data" | "configuration";
  /** The permission bits. */
  readonly mode: number;
  /** It belongs to the user who owns the data directory. */
  readonly sameOwner: boolean;
}

/** What `/keys/query` tells of our own device and account. */
export interface PublishedKeys {
  /** Null where the homeserver has none of this device. */
  readonly ed25519: string | null;
  readonly curve25519: string | null;
  readonly signature: DeviceSignature;
}

/** Who may send what in one room. */
export interface RoomPower {
  readonly roomId: RoomId;
  readonly encrypted: boolean;
  readonly levels: Asked<PowerLevels>;
}

export interface PowerLevels {
  /** The bot's own; infinite for a creator of a room of version 12. */
  readonly own: number;
  /** Needed for an event type that is not state. */
  readonly needed: Readonly<Record<string, number>>;
  /** Needed for the others. */
  readonly neededByDefault: number;
}

export interface ServerFacts {
  readonly greeting: Asked<Greeting>;
  readonly whoami: Asked<{ readonly userId: UserId; readonly deviceId: DeviceId | null }>;
  /** Null where the homeserver does not know the device. */
  readonly device: Asked<{ readonly displayName: string | null } | null>;
  readonly keys: Asked<PublishedKeys>;
  /** Whether the account has a key backup. */
  readonly backup: Asked<boolean>;
  readonly oneTimeKeys: Asked<KeyCounts>;
  /** Whether the profile says what the bot understands. */
  readonly advertised: Asked<boolean>;
  readonly rooms: readonly RoomPower[];
}

export interface KeyCounts {
  readonly oneTimeKeys: number;
  /** Whether a fallback key is there that nobody has used; null where it was not told. */
  readonly hasFallback: boolean | null;
}

/** Where it is, as far as can be seen from here. */
export interface RecoveryFacts {
  /** In docket.db, because nobody could be given it yet; null where the database can't be read. */
  readonly isKept: boolean | null;
  /** `absent`: the configuration names a file that is not there. */
  readonly configured: "there" | "absent" | "not_configured";
}

/** What an administrator's token was told of the limit on the bot's messages. */
export interface LimitOverride {
  /** Null for no override; 0 for no limit. */
  readonly messagesPerSecond: number | null;
}

export interface Facts {
  readonly at: EpochMs;
  readonly configuration:
    | { readonly kind: "good"; readonly config: Config }
    | { readonly kind: "broken"; readonly problems: readonly ConfigProblem[] };
  readonly bot: BotFacts;
  /** Path of the data directory; null where the configuration does not say it. */
  readonly directoryPath: string | null;
  readonly directory: DirectoryFacts;
  readonly files: readonly FileFact[];
  /** Null where the file system does not tell. */
  readonly freeDiskBytes: number | null;
  readonly journal: Asked<Census>;
  /** Keys of the device as the data directory has them. */
  readonly identity: Asked<OwnIdentity>;
  readonly recovery: RecoveryFacts;
  readonly server: ServerFacts;
  /** A refused access token is exchanged for another one when the bot starts. */
  readonly renewable: boolean;
  readonly limit: Asked<LimitOverride>;
}

/** Where the recovery key is, as far as can be seen from here. */
export interface RecoveryFacts {
  /** In docket.db, because nobody could be given it yet; null where the database can't be read. */
  readonly isKept: boolean | null;
  /** `absent`: the configuration names a file that is not there. */
  readonly configured: "there" | "absent" | "not_configured";
}
