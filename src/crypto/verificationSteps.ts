/**
 * What is done with one verification in the crypto library: each function is one call under the machine's lock, and returns copies.
 * The library's objects are looked up anew each time and freed, so that none outlives its call. It forgets a verification at the
 * sync after its end.
 */
import {
  DecryptionSettings,
  DeviceLists,
  OwnUserIdentity,
  RoomId as LibraryRoomId,
  Sas,
  TrustRequirement,
  UserId as LibraryUserId,
  VerificationMethod,
  VerificationRequestPhase,
  type CancelInfo,
  type OlmMachine,
  type OutgoingRequest,
  type VerificationRequest,
} from "@matrix-org/matrix-sdk-crypto-wasm";
import type { DeviceId } from "../protocol/ids.ts";
import { isJsonObject, type JsonObject, type JsonValue } from "../protocol/json.ts";
import { readKeyRequest, type KeyRequest } from "./keyRequest.ts";
import type { Verification } from "./verification.ts";
import type { VerificationEvent } from "./verificationEvents.ts";

/** Whose verification it is, to the library. */
export interface FlowName {
  readonly userId: string;
  readonly flowId: string;
}

export interface Ending {
  readonly code: string;
  readonly reason: string;
}

export interface Progress extends Pick<Verification, "phase" | "deviceId" | "emoji" | "decimals" | "cancelled"> {
  /** Both want it, and neither has begun. */
  readonly isReady: boolean;
}

type LibraryMessage = Parameters<typeof readKeyRequest>[0];

const ONLY_SAS = [VerificationMethod.SasV1];
const LOST = { code: "m.timeout", reason: "It took too long.", by: "us" } as const;
const WITHOUT_SAS: Ending = {
  code: "m.unknown_method",
  reason: "Only emoji or numbers can be compared with this bot.",
};

/** Hands an event to the library, which checks that it is recent, well-formed, and from a device that it knows. */
export async function feed(olm: OlmMachine, { wire, roomId }: VerificationEvent): Promise<void> {
  if (roomId !== null) return await olm.receiveVerificationEvent(wire, new LibraryRoomId(roomId));
  const settings = new DecryptionSettings(TrustRequirement.Untrusted);
  // This form says nothing about counts of keys: only the sync knows them.
  const processed = await olm.receiveSyncChangesMsc4186(
    `[${wire}]`,
    new DeviceLists([], []),
    new Map(),
    undefined,
    settings,
  );
  for (const event of processed) event.free();
}

/** How it stands. */
export function progressOf(olm: OlmMachine, name: FlowName): Progress {
  return (
    withRequest(olm, name, (request) => {
      const device = request.otherDeviceId;
      const deviceId = device === undefined ? null : (device.toString() as DeviceId);
      device?.free();
      const nothing = { deviceId, emoji: null, decimals: null, cancelled: null, isReady: false };
      if (request.isPassive())
        return {
          ...nothing,
          phase: "cancelled",
          cancelled: { code: "m.accepted", reason: "Another session has taken it up.", by: "them" },
        };
      switch (request.phase()) {
        case VerificationRequestPhase.Created:
          return { ...nothing, phase: "asked" };
        case VerificationRequestPhase.Requested:
          return { ...nothing, phase: "requested" };
        case VerificationRequestPhase.Ready:
          return { ...nothing, phase: "exchanging", isReady: true };
        case VerificationRequestPhase.Done:
          return { ...nothing, phase: "verified" };
        case VerificationRequestPhase.Cancelled:
          return { ...nothing, phase: "cancelled", cancelled: readCancel(request.cancelInfo) };
        case VerificationRequestPhase.Transitioned:
          return withSas(request, (sas) => ({ ...nothing, ...comparison(sas) })) ?? { ...nothing, phase: "exchanging" };
      }
    }) ?? { phase: "cancelled", deviceId: null, emoji: null, decimals: null, cancelled: LOST, isReady: false }
  );
}

/**
 * The steps that need no person, once one is there: `ready`, `accept`, and `start` where it is time for it.
 * @returns what is to be sent, in order
 */
export async function goOn(olm: OlmMachine, name: FlowName, begin: boolean): Promise<KeyRequest[]> {
  const request = find(olm, name);
  if (request === undefined) return [];
  try {
    const messages: KeyRequest[] = [];
    if (request.phase() === VerificationRequestPhase.Requested) {
      if (request.theirSupportedMethods?.includes(VerificationMethod.SasV1) === false)
        return cancelWith(request, WITHOUT_SAS);
      messages.push(...read(request.acceptWithMethods(ONLY_SAS)));
    }
    if (begin && request.phase() === VerificationRequestPhase.Ready) {
      // Where both begin at once, the library keeps the one that the specification says.
      const started = await request.startSas();
      if (started === undefined) return [...messages, ...cancelWith(request, WITHOUT_SAS)];
      started[0].free();
      messages.push(...read(started[1]));
    }
    messages.push(...(withSas(request, (sas) => read(sas.accept())) ?? []));
    return messages;
  } finally {
    request.free();
  }
}

/** A person says that it is the same. */
export async function confirm(olm: OlmMachine, name: FlowName): Promise<KeyRequest[]> {
  const request = find(olm, name);
  const sas = request?.getVerification();
  request?.free();
  if (!(sas instanceof Sas)) {
    sas?.free();
    return [];
  }
  try {
    return (await sas.confirm()).flatMap((message) => read(message));
  } finally {
    sas.free();
  }
}

export function cancel(olm: OlmMachine, name: FlowName, ending: Ending): KeyRequest[] {
  return withRequest(olm, name, (request) => cancelWith(request, ending)) ?? [];
}

/** Asks all other sessions of our account. @returns null where the account has no identity */
export async function askOwnSessions(
  olm: OlmMachine,
  ownUserId: string,
): Promise<{ readonly flowId: string; readonly message: KeyRequest } | null> {
  const identity = await olm.getIdentity(new LibraryUserId(ownUserId));
  if (identity === undefined) return null;
  try {
    if (!(identity instanceof OwnUserIdentity)) return null;
    const [request, message] = await identity.requestVerification(ONLY_SAS);
    const { flowId } = request;
    request.free();
    return { flowId, message: readKeyRequest(message as LibraryMessage) };
  } finally {
    identity.free();
  }
}

/** Whether the library has taken up what it was fed with. */
export function isKnown(olm: OlmMachine, name: FlowName): boolean {
  return withRequest(olm, name, () => true) ?? false;
}

function comparison(sas: Sas): Pick<Verification, "phase" | "emoji" | "decimals" | "cancelled"> {
  if (sas.isCancelled())
    return { phase: "cancelled", emoji: null, decimals: null, cancelled: readCancel(sas.cancelInfo()) };
  // From here on the library does not show it any more.
  if (sas.haveWeConfirmed()) return { phase: "confirmed", emoji: null, decimals: null, cancelled: null };
  const decimals = sas.decimals();
  if (decimals === undefined) return { phase: "exchanging", emoji: null, decimals: null, cancelled: null };
  const emoji = sas.emoji()?.map((each) => {
    const { symbol, description: name } = each;
    each.free();
    return { symbol, name };
  });
  return { phase: "comparing", emoji: emoji ?? null, decimals: [...decimals], cancelled: null };
}

function cancelWith(request: VerificationRequest, ending: Ending): KeyRequest[] {
  const message = withSas(request, (sas) => read(sas.cancelWithCode(ending.code))) ?? read(request.cancel());
  // The library knows `m.user` alone before keys are exchanged, and has reasons of its own.
  return message.map((each) => ({
    ...each,
    body: withEnding(each.body, ending),
    message: each.message === null ? null : { ...each.message, content: { ...each.message.content, ...ending } },
  }));
}

function withEnding(body: JsonObject, ending: Ending): JsonObject {
  const messages = body["messages"];
  if (!isJsonObject(messages)) return body;
  const each = (value: JsonValue, change: (inner: JsonObject) => JsonValue): JsonValue =>
    isJsonObject(value) ? change(value) : value;
  const inAll = (object: JsonObject, change: (inner: JsonObject) => JsonValue): JsonObject =>
    Object.fromEntries(Object.entries(object).map(([key, value]) => [key, each(value, change)]));
  return { ...body, messages: inAll(messages, (devices) => inAll(devices, (content) => ({ ...content, ...ending }))) };
}

function readCancel(info: CancelInfo | undefined): Verification["cancelled"] {
  if (info === undefined) return LOST;
  const read = { code: info.cancelCode(), reason: info.reason(), by: info.cancelledbyUs() ? "us" : "them" } as const;
  info.free();
  return read;
}

function read(message: LibraryMessage | OutgoingRequest | undefined): KeyRequest[] {
  return message === undefined ? [] : [readKeyRequest(message as LibraryMessage)];
}

function find(olm: OlmMachine, { userId, flowId }: FlowName): VerificationRequest | undefined {
  return olm.getVerificationRequest(new LibraryUserId(userId), flowId);
}

function withRequest<T>(olm: OlmMachine, name: FlowName, work: (request: VerificationRequest) => T): T | null {
  const request = find(olm, name);
  if (request === undefined) return null;
  try {
    return work(request);
  } finally {
    request.free();
  }
}

function withSas<T>(request: VerificationRequest, work: (sas: Sas) => T): T | null {
  const verification = request.getVerification();
  if (verification === undefined) return null;
  try {
    return verification instanceof Sas ? work(verification) : null;
  } finally {
    verification.free();
  }
}
