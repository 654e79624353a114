/**
 * Owns a room's encryption settings as they are used. Guarantees: never weaker than what was seen before. The first settings
 * seen are kept in the key store (the library refuses every later change there); stricter ones that follow hold as long as
 * the process runs. A room whose settings are missing or unreadable is encrypted with the defaults: never in the clear.
 */
import {
  type CollectStrategy,
  EncryptionAlgorithm,
  EncryptionSettings,
  HistoryVisibility,
  RoomId as LibraryRoomId,
  RoomSettings as LibraryRoomSettings,
} from "@matrix-org/matrix-sdk-crypto-wasm";
import type { JsonObject, JsonValue } from "../protocol/json.ts";
import type { EncryptionTarget } from "./encryptionTarget.ts";
import type { Machine } from "./machine.ts";

/** When a room key is replaced by a new one. */
export interface Rotation {
  /** In milliseconds. */
  readonly periodMs: number;
  /** In messages. */
  readonly messages: number;
}

/** Client-server API, `m.room.encryption`: one week, 100 messages. */
const defaultRotation: Rotation = { periodMs: 604_800_000, messages: 100 };

/** Reads `m.room.encryption`; what is missing or no positive integer gets its default. */
export function readRotation(settings: JsonObject): Rotation {
  return {
    periodMs: positive(settings["rotation_period_ms"]) ?? defaultRotation.periodMs,
    messages: positive(settings["rotation_period_msgs"]) ?? defaultRotation.messages,
  };
}

/**
 * @param rotation in milliseconds; the library wants microseconds here
 * @param visibility `m.room.history_visibility`; unknown values count as `shared`, as the specification says
 * @param strategy which devices get the key; consumed
 */
export function encryptionSettings(
  rotation: Rotation,
  visibility: string,
  strategy: CollectStrategy,
): EncryptionSettings {
  const settings = new EncryptionSettings();
  settings.sharingStrategy = strategy;
  settings.algorithm = EncryptionAlgorithm.MegolmV1AesSha2;
  settings.rotationPeriod = BigInt(rotation.periodMs) * 1000n;
  settings.rotationPeriodMessages = BigInt(rotation.messages);
  settings.historyVisibility = readVisibility(visibility);
  return settings;
}

export function readVisibility(visibility: string): HistoryVisibility {
  if (visibility === "invited") return HistoryVisibility.Invited;
  if (visibility === "joined") return HistoryVisibility.Joined;
  if (visibility === "world_readable") return HistoryVisibility.WorldReadable;
  return HistoryVisibility.Shared;
}

export class RoomSettings {
  private readonly machine: Machine;
  private readonly strictest = new Map<string, Rotation>();

  constructor(machine: Machine) {
    this.machine = machine;
  }

  /**
   * The settings to encrypt with now: the stricter of what the caller saw and of what was ever seen. The settings of a session
   * are fixed when it begins, so stricter ones end the present session.
   */
  async current(target: EncryptionTarget, signal: AbortSignal): Promise<Rotation> {
    const seen = readRotation(target.settings);
    const before = this.strictest.get(target.roomId) ?? (await this.stored(target.roomId, seen, signal));
    const now = {
      periodMs: Math.min(seen.periodMs, before.periodMs),
      messages: Math.min(seen.messages, before.messages),
    };
    if (now.periodMs < before.periodMs || now.messages < before.messages) {
      const end = new LibraryRoomId(target.roomId);
      await this.machine.use("invalidateGroupSession", (olm) => olm.invalidateGroupSession(end), signal);
    }
    this.strictest.set(target.roomId, now);
    return now;
  }

  /** What the key store has; if nothing, `first` is written there. */
  private stored(roomId: string, first: Rotation, signal: AbortSignal): Promise<Rotation> {
    return this.machine.hold(async (library) => {
      const known = await library(
        "getRoomSettings",
        async (olm) => await olm.getRoomSettings(new LibraryRoomId(roomId)),
      );
      if (known !== undefined) {
        const { sessionRotationPeriodMs, sessionRotationPeriodMessages } = known;
        known.free();
        return {
          periodMs: sessionRotationPeriodMs ?? defaultRotation.periodMs,
          messages: sessionRotationPeriodMessages ?? defaultRotation.messages,
        };
      }
      const settings = new LibraryRoomSettings();
      settings.algorithm = EncryptionAlgorithm.MegolmV1AesSha2;
      settings.sessionRotationPeriodMs = first.periodMs;
      settings.sessionRotationPeriodMessages = first.messages;
      await library("setRoomSettings", (olm) => olm.setRoomSettings(new LibraryRoomId(roomId), settings));
      return first;
    }, signal);
  }
}

function positive(value: JsonValue | undefined): number | null {
  return typeof value === "number" && Number.isSafeInteger(value) && value > 0 ? value : null;
}
