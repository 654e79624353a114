/**
 * Sends one request of the crypto library to the homeserver. Owns which request goes to which endpoint (client-server API,
 * "End-to-end encryption" and "Send-to-device messaging"). A to-device request goes out under its own transaction ID, so that
 * the server drops a repetition. Nothing is marked here: whoever sends marks, and only after an answer.
 */
import { RequestType, type ToDeviceRequest } from "@matrix-org/matrix-sdk-crypto-wasm";
import type { Homeserver, RequestOptions } from "../matrix/homeserver.ts";
import { isJsonObject, type JsonObject, type JsonValue } from "../protocol/json.ts";

/** What the library's request objects have in common; a copy, since theirs live in the wasm's memory. */
export interface KeyRequest {
  readonly id: string;
  readonly type: RequestType;
  readonly body: JsonObject;
  /** For `ToDevice` and `RoomMessage`: where the body goes. */
  readonly path: string | null;
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
  const read = { id: request.id, type: request.type, body: isJsonObject(body) ? body : {}, path: pathOf(request) };
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
      return homeserver.request("PUT", `${client}/rooms/${request.path}`, { ...options, body });
    case RequestType.KeysBackup:
      return homeserver.request("PUT", `${client}/room_keys/keys`, {
        ...options,
        body,
        query: { version: request.path ?? "" },
      });
  }
}

function pathOf(request: LibraryRequest): string | null {
  const { event_type: eventType = "", txn_id: txnId = "", room_id: roomId = "" } = request;
  const tail = `${encodeURIComponent(eventType)}/${encodeURIComponent(txnId)}`;
  if (request.type === RequestType.ToDevice) return tail;
  if (request.type === RequestType.RoomMessage) return `${encodeURIComponent(roomId)}/send/${tail}`;
  return request.version ?? null;
}
