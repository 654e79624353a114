/**
 * What the bot's parts tell about their state, for whoever asks (`docket health`, `/readyz`): facts with their times, and no judgement
 * about them; that is src/ops/healthChecks.ts'. Guarantees: telling costs next to nothing and never throws; what is kept is bounded;
 * no fact ever holds a body, a token or a key.
 */
import type { EpochMs } from "./clock.ts";
import { DocketError, ServerRefused } from "./errors.ts";

/** A failure as people may hear of it. */
export interface Trouble {
  readonly at: EpochMs;
  /** Of an error class; `BUG` for anything else. */
  readonly code: string;
  /** The message of an error of ours; null for anything else, which may quote what was read. */
  readonly problem: string | null;
}

/**
 * The account's key backup, as last found. `unknown`: not looked at; `absent`: there is none; `unsupported`: of an algorithm that is not
 * ours; `untrusted`: not signed by us, and not our key; `upload_only`: signed by us, but its key is not here; `in_use`: keys go both ways.
 */
export interface BackupState {
  readonly kind: "unknown" | "absent" | "unsupported" | "untrusted" | "upload_only" | "in_use";
  /** The homeserver's name for it; null where there is none. */
  readonly version: string | null;
}

export type Phase = "starting" | "running" | "stopping";

export interface Facts {
  readonly phase: Phase;
  /** What ends the bot. */
  readonly failure: Trouble | null;
  readonly lastSyncAt: EpochMs | null;
  /** Of the last attempt; null after a success. */
  readonly syncTrouble: Trouble | null;
  readonly engineRuns: boolean;
  /** Encrypted events of others that could not be decrypted, since one could; counted up to `MOST_COUNTED`. */
  readonly undecryptable: { readonly count: number; readonly lastReason: string | null };
  readonly keyUploads: { readonly failures: number; readonly trouble: Trouble | null };
  readonly lastWriteAt: EpochMs | null;
  readonly freeDiskBytes: number | null;
  /** Attempts to send that failed since one succeeded, and until when the homeserver wants to be left alone. */
  readonly sends: { readonly failures: number; readonly trouble: Trouble | null; readonly limitedUntil: EpochMs };
  /** How often the homeserver refused a message for its rate limit, since the start. */
  readonly limited: { readonly count: number; readonly lastAt: EpochMs | null };
  /** Who can't read what was sent last into their room: a thousand at most, the rooms written to last. */
  readonly unreadable: readonly Unreadable[];
  /** What the homeserver holds of our keys, as the last sync told; `hasFallback`: one that nobody has used, null where it was not told. */
  readonly keyCounts: KeyCounts | null;
  /** Whose keys the homeserver shows of our device; null before it was asked. */
  readonly ownKeys: "ours" | "others" | "none" | null;
  /** The data directory looks like an older copy: what gave it away (journal/copyDoubt.ts). */
  readonly copySign: string | null;
  readonly backup: BackupState & {
    /** Room keys here, and how many of them are in the backup, as counted after the last upload; null before. */
    readonly counts: { readonly total: number; readonly backedUp: number } | null;
    /** Of the last upload; null after a success. */
    readonly trouble: Trouble | null;
  };
}

/** A member who can't read what the bot sends into a room, on any device, for the policy's sake. */
export interface Unreadable {
  readonly userId: string;
  readonly roomId: string;
  /** `unsigned`: no device is cross-signed. `identity_changed`: the bot had verified another identity. */
  readonly reason: "unsigned" | "identity_changed";
}

export interface KeyCounts {
  readonly oneTimeKeys: number;
  readonly hasFallback: boolean | null;
  /** Since when there are fewer than `FEW_KEYS`; null where there are more. */
  readonly fewSince: EpochMs | null;
}

const MOST_COUNTED = 1_000;
/** The crypto library keeps about fifty there. */
export const FEW_KEYS = 5;

export class Vitals {
  private readonly noteTexts = new Map<string, string>();
  private phase: Phase = "starting";
  private failure: Trouble | null = null;
  private lastSyncAt: EpochMs | null = null;
  private syncTrouble: Trouble | null = null;
  private engineRuns = false;
  private readonly undecryptableIds = new Set<string>();
  private lastReason: string | null = null;
  private uploads: Facts["keyUploads"] = { failures: 0, trouble: null };
  private lastWriteAt: EpochMs | null = null;
  private freeDiskBytes: number | null = null;
  private sends: Facts["sends"] = { failures: 0, trouble: null, limitedUntil: 0 };
  private limited: Facts["limited"] = { count: 0, lastAt: null };
  private readonly unreadableIn = new Map<string, readonly Unreadable[]>();
  private keyCounts: Facts["keyCounts"] = null;
  private copySign: string | null = null;
  private ownKeys: Facts["ownKeys"] = null;
  private backup: Facts["backup"] = { kind: "unknown", version: null, counts: null, trouble: null };

  /**
   * Says for people what is off, by choice or by the homeserver, although the bot is well: one sentence, or null when it is over.
   * @param key whose note it is: each part has its own, and a second one takes the place of the first
   * @returns whether that is news
   */
  note(key: string, text: string | null): boolean {
    const before = this.noteTexts.get(key) ?? null;
    if (text === null) this.noteTexts.delete(key);
    else this.noteTexts.set(key, text);
    return text !== before;
  }

  /** In the order of their keys. */
  notes(): readonly string[] {
    return [...this.noteTexts].toSorted(([a], [b]) => (a < b ? -1 : 1)).map(([, text]) => text);
  }

  /** By whose they are. */
  noted(): ReadonlyMap<string, string> {
    return new Map(this.noteTexts);
  }

  /** A bot that stops does not start any more. */
  enter(phase: Phase): void {
    if (this.phase !== "stopping") this.phase = phase;
  }

  /** The bot can't go on. The first failure counts: others are its consequences. */
  fail(at: EpochMs, error: unknown): void {
    this.failure ??= troubleOf(at, error);
  }

  synced(at: EpochMs): void {
    this.lastSyncAt = at;
    this.syncTrouble = null;
  }

  /** Also for a homeserver that does not answer before the first sync. */
  syncFailed(at: EpochMs, error: unknown): void {
    this.syncTrouble = troubleOf(at, error);
  }

  engineStarted(): void {
    this.engineRuns = true;
  }

  /** Somebody else's event. */
  decrypted(): void {
    this.undecryptableIds.clear();
  }

  /** Somebody else's event; one that is tried again counts once. */
  notDecrypted(eventId: string, reason: string): void {
    this.lastReason = reason;
    if (this.undecryptableIds.size < MOST_COUNTED) this.undecryptableIds.add(eventId);
  }

  keysUploaded(): void {
    this.uploads = { failures: 0, trouble: null };
  }

  keyUploadFailed(at: EpochMs, error: unknown): void {
    this.uploads = { failures: this.uploads.failures + 1, trouble: troubleOf(at, error) };
  }

  wrote(at: EpochMs, freeDiskBytes: number): void {
    this.lastWriteAt = at;
    this.freeDiskBytes = freeDiskBytes;
  }

  sent(): void {
    this.sends = { failures: 0, trouble: null, limitedUntil: 0 };
  }

  /** Nothing was sent by this attempt. A homeserver that limits says for how long. */
  sendFailed(at: EpochMs, error: unknown): void {
    const isLimit = error instanceof ServerRefused && error.status === 429;
    const limitedMs = isLimit ? (error.retryAfterMs ?? 0) : 0;
    if (isLimit) this.limited = { count: this.limited.count + 1, lastAt: at };
    this.sends = {
      failures: this.sends.failures + 1,
      trouble: troubleOf(at, error),
      limitedUntil: Math.max(this.sends.limitedUntil, at + limitedMs),
    };
  }

  keysCounted(at: EpochMs, oneTimeKeys: number, hasFallback: boolean | null): void {
    const fewSince = oneTimeKeys < FEW_KEYS ? (this.keyCounts?.fewSince ?? at) : null;
    this.keyCounts = { oneTimeKeys, hasFallback, fewSince };
  }

  ownKeysAre(shown: "ours" | "others" | "none"): void {
    this.ownKeys = shown;
  }

  copyDoubted(sign: string): void {
    this.copySign = sign;
  }

  backupFound({ kind, version }: BackupState): void {
    this.backup = { ...this.backup, kind, version };
  }

  /** After an upload, or where there was nothing to upload. */
  backedUp(counts: NonNullable<Facts["backup"]["counts"]>): void {
    this.backup = { ...this.backup, counts, trouble: null };
  }

  backupFailed(at: EpochMs, error: unknown): void {
    this.backup = { ...this.backup, trouble: troubleOf(at, error) };
  }

  /** What was just sent into a room can't be read by these members. */
  unreadable(roomId: string, members: readonly Omit<Unreadable, "roomId">[]): void {
    // Last in the order of the map.
    this.unreadableIn.delete(roomId);
    if (members.length === 0) return;
    this.unreadableIn.set(
      roomId,
      members.slice(0, MOST_COUNTED).map((member) => ({ ...member, roomId })),
    );
    let count = [...this.unreadableIn.values()].reduce((sum, kept) => sum + kept.length, 0);
    for (const [room, kept] of this.unreadableIn) {
      if (count <= MOST_COUNTED) break;
      this.unreadableIn.delete(room);
      count -= kept.length;
    }
  }

  facts(): Facts {
    return {
      phase: this.phase,
      failure: this.failure,
      lastSyncAt: this.lastSyncAt,
      syncTrouble: this.syncTrouble,
      engineRuns: this.engineRuns,
      undecryptable: { count: this.undecryptableIds.size, lastReason: this.lastReason },
      keyUploads: this.uploads,
      lastWriteAt: this.lastWriteAt,
      freeDiskBytes: this.freeDiskBytes,
      sends: this.sends,
      limited: this.limited,
      unreadable: [...this.unreadableIn.values()].flat(),
      keyCounts: this.keyCounts,
      copySign: this.copySign,
      ownKeys: this.ownKeys,
      backup: this.backup,
    };
  }
}

function troubleOf(at: EpochMs, error: unknown): Trouble {
  return error instanceof DocketError
    ? { at, code: error.code, problem: error.message }
    : { at, code: "BUG", problem: null };
}
