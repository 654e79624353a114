/**
 * Sends one request of the crypto library to the homeserver. Owns which request goes to which endpoint (client-server API,
 * "End-to-end encryption" and "Send-to-device messaging"). A to-device request goes out under its own transaction ID, so that
 * the server drops a repetition. Nothing is marked here: whoever sends marks, and only after an answer.
 */
import { RequestType, type ToDeviceRequest } from "@matrix-org/matrix-sdk-crypto-wasm";
import type { Homeserver, RequestOptions } from "../matrix/homeserver.ts";
import type { RoomId, TxnId } from "../protocol/ids.ts";
import { isJsonObject, type JsonObject, type JsonValue } from "../protocol/json.ts";

/** An event that the library wants in a room. */
export interface RoomMessage {
  readonly roomId: RoomId;
  readonly type: string;
  readonly txnId: TxnId;
  readonly content: JsonObject;
}

/** What the library's request objects have in common; a copy, since theirs live in the wasm's memory. */
export interface KeyRequest {
  readonly id: string;
  readonly type: RequestType;
  readonly body: JsonObject;
  /** For `ToDevice`: where the body goes; for `KeysBackup`: the version. */
  readonly path: string | null;
  /** Of a `RoomMessage` alone: roomMessages.ts sends it. */
  readonly message: RoomMessage | null;
}

export type SendOptions = Pick<RequestOptions, "signal"> & Partial<Pick<RequestOptions, "timeoutMs" | "retry">>;

interface LibraryRequest {
  readonly id: string;
  readonly type: RequestType;
  readonly body: string;
  readonly event_type?: string;
  readonly txn_id?: string;
  readonly room_id?: string;
  readonly version?: string;
  free(): void;
}

/** Copies a request out of the library and frees the library's object. */
export function readKeyRequest(request: LibraryRequest): KeyRequest {
  const body = JSON.parse(request.body) as JsonValue;
  const content = isJsonObject(body) ? body : {};
  const { id, type } = request;
  const read = { id, type, body: content, path: pathOf(request), message: messageOf(request, content) };
  request.free();
  return read;
}

/** A device that a to-device request goes to. */
export interface Addressee {
  readonly eventType: string;
  readonly userId: string;
  readonly deviceId: string;
  /** Of the content; null where it has none. */
  readonly code: string | null;
}

/** Everybody that a to-device request goes to. */
export function addressees(request: ToDeviceRequest): Addressee[] {
  const body = JSON.parse(request.body) as JsonValue;
  const messages = isJsonObject(body) ? body["messages"] : null;
  if (!isJsonObject(messages)) return [];
  return Object.entries(messages).flatMap(([userId, devices]) =>
    isJsonObject(devices)
      ? Object.entries(devices).map(([deviceId, content]) => {
          const code = isJsonObject(content) ? content["code"] : null;
          return { eventType: request.event_type, userId, deviceId, code: typeof code === "string" ? code : null };
        })
      : [],
  );
}

/**
 * @returns the server's answer, as the library wants it for `markRequestAsSent`
 * @throws ServerRefused | ServerUnreachable | Cancelled
 */
export function sendKeyRequest(homeserver: Homeserver, request: KeyRequest, options: SendOptions): Promise<JsonObject> {
  const client = "/_matrix/client/v3";
  const { body } = request;
  switch (request.type) {
    case RequestType.KeysUpload:
      return homeserver.request("POST", `${client}/keys/upload`, { ...options, body });
    case RequestType.KeysQuery:
      return homeserver.request("POST", `${client}/keys/query`, { ...options, body });
    case RequestType.KeysClaim:
      return homeserver.request("POST", `${client}/keys/claim`, { ...options, body });
    case RequestType.SignatureUpload:
      return homeserver.request("POST", `${client}/keys/signatures/upload`, { ...options, body });
    case RequestType.ToDevice:
      return homeserver.request("PUT", `${client}/sendToDevice/${request.path}`, { ...options, body });
    case RequestType.RoomMessage:
      throw new TypeError("a message into a room is sent by roomMessages.ts, which encrypts it");
    case RequestType.KeysBackup:
      return homeserver.request("PUT", `${client}/room_keys/keys`, {
        ...options,
        body,
        query: { version: request.path ?? "" },
      });
  }
}

function pathOf(request: LibraryRequest): string | null {
  const { event_type: eventType = "", txn_id: txnId = "" } = request;
  if (request.type === RequestType.ToDevice) return `${encodeURIComponent(eventType)}/${encodeURIComponent(txnId)}`;
  return request.version ?? null;
}

function messageOf(request: LibraryRequest, content: JsonObject): RoomMessage | null {
  const { room_id: roomId, event_type: type, txn_id: txnId } = request;
  if (roomId === undefined || type === undefined || txnId === undefined) return null;
  return { roomId: roomId as RoomId, type, txnId: txnId as TxnId, content };
}
