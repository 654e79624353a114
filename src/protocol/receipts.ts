/** Delivery receipts (MSC4089): which server takes them, under which name, which events are owed one, and how they are read. Pure. */
import type { EventId, UserId } from "./ids.ts";
import { isJsonObject, type JsonObject } from "./json.ts";

/** `m.delivery`, and its name while the proposal is not part of the specification. */
export const receiptTypes = { stable: "m.delivery", unstable: "org.matrix.msc4089.delivery" } as const;

/** Versions of the specification that contain delivery receipts; none does today. */
const releasedIn: ReadonlySet<string> = new Set();

/**
 * `none`: no receipt is sent. `unstable`: the feature flag is set; a server may know the stable name, or only the other one.
 * `released`: the stable name, without asking.
 */
export type ReceiptSupport = "none" | "unstable" | "released";

/**
 * Gated on `/versions` alone: servers answer an unknown receipt type in different ways, so an error is no test.
 * @param server what `/versions` says
 * @param released for tests: versions that contain receipts
 */
export function receiptSupport(
  server: {
    readonly versions: readonly string[];
    readonly unstableFeatures: Readonly<Record<string, boolean>>;
  },
  released: ReadonlySet<string> = releasedIn,
): ReceiptSupport {
  if (server.versions.some((version) => released.has(version))) return "released";
  return server.unstableFeatures["org.matrix.msc4089"] === true ? "unstable" : "none";
}

/**
 * Whether a refusal of the stable name may mean that the server does not know it. Servers answer an unknown receipt type in different
 * ways: Synapse with 400 `M_UNKNOWN`, Dendrite with 400 and no error code, tuwunel with `M_INVALID_PARAM`.
 */
export function mayMeanUnknownType({ status }: { readonly status: number }): boolean {
  return status >= 400 && status < 500 && ![401, 408, 429].includes(status);
}

/** In which rooms senders learn that their events have come: the operator's choice. */
export type ReceiptRooms = "none" | "private_encrypted" | "private" | "all";

export interface ReceivedEvent {
  /** The bot sent it itself. */
  readonly own: boolean;
  readonly state: boolean;
  /** From before the bot joined the room. */
  readonly beforeJoin: boolean;
  /** The same ciphertext came before under another event ID. */
  readonly replay: boolean;
  /** Redacted before its turn: what its sender meant was not received. */
  readonly redacted: boolean;
  /** Null where nothing is known of the room. */
  readonly room: { readonly everEncrypted: boolean; readonly joinRule: string } | null;
}

/**
 * Whether an event's sender is owed a receipt. Ask only about events in the clear: one that can't be decrypted has not been
 * received, and gets its receipt when its key comes.
 */
export function owesReceipt(event: ReceivedEvent, rooms: ReceiptRooms): boolean {
  const { room } = event;
  if (rooms === "none" || room === null) return false;
  if (event.own || event.state || event.beforeJoin || event.replay || event.redacted) return false;
  if (rooms === "all") return true;
  if (room.joinRule === "public") return false;
  return rooms === "private" || room.everEncrypted;
}

export interface DeliveryReceipt {
  readonly eventId: EventId;
  readonly userId: UserId;
}

/**
 * Reads an ephemeral event of a room (`m.receipt`, under both names of the receipt). Read receipts are not delivery receipts.
 * Liberal: what can't be read is passed over.
 */
export function readReceipts(ephemeral: JsonObject): readonly DeliveryReceipt[] {
  const { type, content } = ephemeral;
  if (type !== "m.receipt" || !isJsonObject(content)) return [];
  return Object.entries(content).flatMap(([eventId, byType]) => {
    if (!isJsonObject(byType)) return [];
    const users = Object.values(receiptTypes).flatMap((name) => {
      const byUser = Object.hasOwn(byType, name) ? byType[name] : undefined;
      return isJsonObject(byUser) ? Object.keys(byUser) : [];
    });
    return [...new Set(users)].map((userId) => ({ eventId: eventId as EventId, userId: userId as UserId }));
  });
}
