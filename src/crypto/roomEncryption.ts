/**
 * Encrypts for a room: one critical section for each room, in this order: follow the members' devices, query, claim, share the
 * room key, send it, mark it, encrypt.
 *
 * Guarantees: nothing comes between the last look at the room key and the encryption. `encryptRoomEvent` panics when the
 * session is missing or expired, and sharing is what makes a new one: so the engine's lock is taken once for "is there anything
 * to share? no: encrypt", and if there is, the lock is given back, the key is sent and the question asked again. Other rooms
 * and the sync never wait for this room's requests. A room key share goes out under its own transaction ID and counts as
 * shared only after the server's answer; after a kill the library hands the same one out again.
 */
import {
  RoomId as LibraryRoomId,
  UserId as LibraryUserId,
  type ToDeviceRequest,
} from "@matrix-org/matrix-sdk-crypto-wasm";
import { DocketError, ServerUnreachable } from "../errors.ts";
import type { Homeserver } from "../matrix/homeserver.ts";
import type { Metrics } from "../metrics.ts";
import type { RoomId, UserId } from "../protocol/ids.ts";
import type { JsonObject } from "../protocol/json.ts";
import type { EncryptedContent, SendTo, WithheldDevice, WithheldReason } from "./cryptoEngine.ts";
import type { EncryptionTarget } from "./encryptionTarget.ts";
import { readWithheldCode } from "./decryption.ts";
import { addressees, readKeyRequest, sendKeyRequest, type Addressee, type KeyRequest } from "./keyRequest.ts";
import { KeyRecipients, type Wanted } from "./keyRecipients.ts";
import { isCryptoPanic, type Machine } from "./machine.ts";
import type { MemberDevices } from "./memberDevices.ts";
import { messageIndexOf } from "./messageIndex.ts";
import { KeyedMutex } from "./mutex.ts";
import type { OutboundSessions } from "./outboundSessions.ts";
import type { OutgoingRequests } from "./outgoingRequests.ts";
import { encryptionSettings, type RoomSettings, type Rotation } from "./roomSettings.ts";
import { markAnswered } from "./serverAnswers.ts";
import type { SessionClaims } from "./sessionClaims.ts";
import { WithheldDevices } from "./withheldDevices.ts";

/** Devices may change while a key is being shared; more often than this in one encryption, something else is wrong. */
const MOST_SHARE_ROUNDS = 20;

export interface RoomEncryptionOptions {
  readonly machine: Machine;
  readonly homeserver: Homeserver;
  readonly devices: MemberDevices;
  readonly requests: OutgoingRequests;
  readonly claims: SessionClaims;
  readonly settings: RoomSettings;
  readonly outbound: OutboundSessions;
  /** Told of each message before anybody else gets it; what it throws keeps the message back. */
  readonly onEncrypted: ((roomId: RoomId, sessionId: string, messageIndex: number) => void) | undefined;
  readonly ownUserId: string;
  /** Asked for each encryption: an operator may change it. */
  readonly sendTo: () => SendTo;
  readonly metrics?: Metrics | undefined;
  /** How long to wait for the members' device lists, in milliseconds. */
  readonly memberQueryTimeoutMs: number;
}

interface Recipients {
  readonly users: readonly string[];
  /** Not even a user ID to the library. */
  readonly unusable: readonly string[];
}

/** One encryption. */
interface Work {
  readonly users: readonly string[];
  readonly rotation: Rotation;
  readonly sendTo: SendTo;
  readonly type: string;
  readonly content: JsonObject;
}

interface Share {
  readonly request: KeyRequest;
  readonly to: readonly Addressee[];
}

type Outcome =
  { readonly shares: readonly Share[] } | { readonly encrypted: JsonObject; readonly changed: readonly string[] };

export class RoomEncryption {
  private readonly options: RoomEncryptionOptions;
  private readonly rooms = new KeyedMutex();
  private readonly withheld = new WithheldDevices();
  private readonly keyRecipients: KeyRecipients;

  constructor(options: RoomEncryptionOptions) {
    this.options = options;
    this.keyRecipients = new KeyRecipients(options.ownUserId);
  }

  /** @throws ServerRefused | ServerUnreachable | Cancelled, before anything is encrypted; CryptoPanicked */
  encrypt(target: EncryptionTarget, type: string, content: JsonObject, signal: AbortSignal): Promise<EncryptedContent> {
    const encrypt = (): Promise<EncryptedContent> => this.encryptInTurn(target, type, content, signal);
    return this.rooms.run(target.roomId, encrypt, signal).catch((error: unknown) => {
      throw error instanceof DocketError || isCryptoPanic(error) ? error : refused(error);
    });
  }

  private async encryptInTurn(
    target: EncryptionTarget,
    type: string,
    content: JsonObject,
    signal: AbortSignal,
  ): Promise<EncryptedContent> {
    const { devices, claims, settings } = this.options;
    const { users, unusable } = readRecipients(target.recipients);
    const sendTo = this.options.sendTo();
    const rotation = await settings.current(target, signal);
    await devices.follow(users, signal);
    const { unanswered, unreachable } = await this.refresh(users, signal);
    await claims.claim(
      users.filter((user) => !unreachable.includes(user)),
      signal,
    );
    const made = await this.shareAndEncrypt(target, { users, rotation, sendTo, type, content }, signal);
    const silent = [...unusable, ...unanswered].map((userId) => allOf(userId, "unanswered"));
    const changed = made.changed.map((userId) => allOf(userId, "identity_changed"));
    const others = [...silent, ...changed];
    const withheld = this.withheld.of(target.roomId, JSON.stringify(made.content["session_id"]));
    return {
      content: made.content,
      withheldFrom: [...others, ...withheld.devices],
      withheldCount: others.length + withheld.count,
      unreadableFor: [
        ...changed.map(({ userId }) => ({ userId, reason: "identity_changed" as const })),
        ...withheld.unsigned.map((userId) => ({ userId, reason: "unsigned" as const })),
      ],
    };
  }

  /**
   * @returns `unanswered`: users whose devices may be other than we know; `unreachable`: those of whom none is known
   * @throws ServerUnreachable | ServerRefused when nobody else could read what is encrypted
   */
  private async refresh(
    users: readonly string[],
    signal: AbortSignal,
  ): Promise<{ unanswered: readonly string[]; unreachable: readonly string[] }> {
    const { devices, requests, memberQueryTimeoutMs, ownUserId } = this.options;
    const whole = await requests.refreshDevices(memberQueryTimeoutMs, signal);
    const unanswered = whole ? devices.unanswered(users) : users;
    if (unanswered.length === 0) return { unanswered, unreachable: [] };
    const unreachable = await devices.withoutDevices(unanswered, signal);
    const others = users.filter((user) => user !== ownUserId);
    if (others.length > 0 && others.every((user) => unreachable.includes(user))) throw devices.failure;
    return { unanswered: whole ? unanswered : unreachable, unreachable };
  }

  private async shareAndEncrypt(
    target: EncryptionTarget,
    { users, rotation, sendTo, type, content }: Work,
    signal: AbortSignal,
  ): Promise<{ readonly content: JsonObject; readonly changed: readonly string[] }> {
    const text = JSON.stringify(content);
    const { roomId } = target;
    const { outbound } = this.options;
    const settings: Wanted["settings"] = (strategy) => encryptionSettings(rotation, target.historyVisibility, strategy);
    for (let round = 0; round < MOST_SHARE_ROUNDS; round += 1) {
      const outcome = await this.options.machine.hold<Outcome>(async (library) => {
        if (outbound.isDoubted(roomId)) {
          await library("invalidateGroupSession", (olm) => olm.invalidateGroupSession(new LibraryRoomId(roomId)));
          outbound.noteRenewed(roomId);
        }
        const shares = await this.keyRecipients.share(library, { roomId, users, sendTo, settings });
        if (shares.requests.length > 0) return { shares: shares.requests.map(readShare) };
        const encrypted = await library("encryptRoomEvent", (olm) =>
          olm.encryptRoomEvent(new LibraryRoomId(roomId), type, text),
        );
        return { encrypted: this.noted(roomId, encrypted), changed: shares.changed };
      }, signal);
      if ("encrypted" in outcome) return { content: outcome.encrypted, changed: outcome.changed };
      await this.send(roomId, outcome.shares, signal);
    }
    throw new ServerUnreachable(
      "The room key could not be shared: the members' devices change faster than keys can be sent.",
      { doubtful: false },
    );
  }

  private noted(roomId: RoomId, encrypted: string): JsonObject {
    const content = JSON.parse(encrypted) as JsonObject;
    const { session_id: sessionId, ciphertext } = content;
    const index = typeof ciphertext === "string" ? messageIndexOf(ciphertext) : null;
    if (typeof sessionId === "string" && index !== null) this.options.onEncrypted?.(roomId, sessionId, index);
    return content;
  }

  private async send(roomId: string, shares: readonly Share[], signal: AbortSignal): Promise<void> {
    const { homeserver, machine } = this.options;
    const results = await Promise.allSettled(
      shares.map(async ({ request, to }) => {
        const response = await sendKeyRequest(homeserver, request, { signal });
        this.withheld.note(roomId, to);
        for (const { eventType, code } of to)
          if (eventType.endsWith("room_key.withheld"))
            this.options.metrics?.keysWithheld.inc({ code: readWithheldCode(code ?? "") });
        await markAnswered(machine, request, response);
      }),
    );
    for (const result of results) if (result.status === "rejected") throw result.reason;
  }
}

/**
 * What the library refuses comes from outside (the room's ID, what servers answered), so it must not end the bot. The
 * library's error may quote it, and stays out of the message.
 */
function refused(cause: unknown): ServerUnreachable {
  return new ServerUnreachable(
    "The crypto library refused to encrypt for the room: its ID or what the homeserver answered about its members is not usable.",
    { doubtful: false, cause },
  );
}

function allOf(userId: string, reason: WithheldReason): WithheldDevice {
  return { userId: userId as UserId, deviceId: null, reason };
}

function readShare(share: ToDeviceRequest): Share {
  const to = addressees(share);
  return { to, request: readKeyRequest(share) };
}

function readRecipients(recipients: readonly string[]): Recipients {
  const users: string[] = [];
  const unusable: string[] = [];
  for (const recipient of new Set(recipients)) {
    try {
      new LibraryUserId(recipient).free();
      users.push(recipient);
    } catch {
      unusable.push(recipient);
    }
  }
  return { users, unusable };
}
