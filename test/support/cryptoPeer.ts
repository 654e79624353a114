/**
 * A crypto engine with everything it needs: an account on the development homeserver, a real HTTP client, and, where a test
 * asks for it, the durable key store. It syncs when the test says so.
 */
import { join } from "node:path";
import type { TestContext } from "node:test";
import { systemClock, type Clock } from "../../src/clock.ts";
import type { CryptoEngine, Received, SendTo } from "../../src/crypto/cryptoEngine.ts";
import type { EncryptionTarget } from "../../src/crypto/encryptionTarget.ts";
import { createCryptoEngine } from "../../src/crypto/engine.ts";
import { KeyStore, type KeyStoreHooks } from "../../src/crypto/keyStore.ts";
import type { SessionRef } from "../../src/crypto/sessionRef.ts";
import { Database } from "../../src/journal/database.ts";
import { silentLogger, type Logger } from "../../src/logging.ts";
import { DocketClient } from "../../src/matrix/client.ts";
import type { Homeserver } from "../../src/matrix/homeserver.ts";
import type { RawEvent } from "../../src/protocol/events.ts";
import type { DeviceId, EventId, RoomId, SyncToken, TxnId, UserId } from "../../src/protocol/ids.ts";
import { isJsonObject, type JsonObject, type JsonValue } from "../../src/protocol/json.ts";
import type { DevServer, SignedIn } from "../../devserver/server.ts";
import { directNetwork } from "./directNetwork.ts";

export interface PeerOptions {
  readonly server: { readonly url: string };
  readonly account: SignedIn;
  /** Data directory of a durable key store; without one the keys stay in memory. */
  readonly directory?: string;
  readonly hooks?: KeyStoreHooks;
  readonly clock?: Clock;
  readonly log?: Logger;
  readonly memberQueryTimeoutMs?: number;
  readonly watchdogMs?: number;
  /** Stands between the engine and its homeserver. */
  readonly between?: (client: DocketClient) => Homeserver;
  /** Every device where it is left out: a peer has no identity unless a test makes one. */
  readonly sendTo?: SendTo;
}

export interface Synced {
  readonly newSessions: readonly SessionRef[];
  readonly events: readonly RawEvent[];
}

export type Commit = (received: Received) => void | Promise<void>;

export class CryptoPeer {
  readonly engine: CryptoEngine;
  readonly client: DocketClient;
  readonly userId: UserId;
  readonly database: Database | null;
  /** What `onFatal` was called with. It returns, so that a test sees what is let through after it. */
  readonly fatal: Error[];
  since: SyncToken | null = null;
  readonly keyStore: KeyStore | null;

  private constructor(
    parts: Pick<CryptoPeer, "engine" | "client" | "userId" | "database" | "fatal">,
    store: KeyStore | null,
  ) {
    this.engine = parts.engine;
    this.client = parts.client;
    this.userId = parts.userId;
    this.database = parts.database;
    this.fatal = parts.fatal;
    this.keyStore = store;
  }

  /** Opens the engine without starting it; the caller closes it. Only one durable peer at a time: the library knows one IndexedDB. */
  static async open(options: PeerOptions): Promise<CryptoPeer> {
    const { server, account, clock = systemClock, log = silentLogger } = options;
    const fatal: Error[] = [];
    const onFatal = (error: Error): void => void fatal.push(error);
    let database: Database | null = null;
    let keyStore: KeyStore | null = null;
    if (options.directory !== undefined) {
      database = Database.open(join(options.directory, "data"));
      keyStore = await KeyStore.open({
        database,
        libraryVersion: "test",
        onFatal: onFatal as (error: Error) => never,
        log,
        ...(options.hooks === undefined ? {} : { hooks: options.hooks }),
      });
      keyStore.install();
    }
    const client = new DocketClient({
      homeserverUrl: server.url,
      tokenProvider: () => account.accessToken,
      clock,
      log,
      network: directNetwork,
    });
    const opened = { keyStore, client, database };
    const engine = await createCryptoEngine({
      userId: account.userId as UserId,
      deviceId: account.deviceId as DeviceId,
      homeserver: options.between?.(client) ?? client,
      keyStore,
      clock,
      log,
      onFatal,
      sendTo: () => options.sendTo ?? "all",
      ...(options.memberQueryTimeoutMs === undefined ? {} : { memberQueryTimeoutMs: options.memberQueryTimeoutMs }),
      ...(options.watchdogMs === undefined ? {} : { watchdogMs: options.watchdogMs }),
    }).catch(async (error: unknown) => {
      await closeAll(opened);
      throw error;
    });
    return new CryptoPeer({ engine, client, userId: account.userId as UserId, database, fatal }, keyStore);
  }

  /** Opens and starts it, and ends it after the test. */
  static async start(t: TestContext, options: PeerOptions): Promise<CryptoPeer> {
    const peer = await CryptoPeer.open(options);
    t.after(() => peer.close());
    await peer.engine.start();
    return peer;
  }

  /** One sync without waiting, received and committed like intake does: in one transaction. */
  async sync(commit?: Commit): Promise<Synced> {
    const filter = { room: { timeline: { limit: 100 } } };
    const request = { since: this.since, filter, timeoutMs: 0, stateAfter: false };
    const response = await this.client.sync(request, AbortSignal.timeout(60_000));
    if (!isJsonObject(response)) throw new Error("the sync response is not an object");
    const newSessions = await this.engine.receive(cryptoChanges(response), async (received) => {
      if (commit !== undefined) await commit(received);
      else this.database?.transaction(() => received.held.apply());
      return received.newSessions;
    });
    this.since = String(response["next_batch"]) as SyncToken;
    return { newSessions, events: timelineEvents(response) };
  }

  /** Encrypts for the room and sends. @returns the event ID */
  async send(target: EncryptionTarget, type: string, content: JsonObject, txnId: string): Promise<EventId> {
    const signal = AbortSignal.timeout(60_000);
    const encrypted = await this.engine.encrypt(target, type, content, signal);
    const event = { roomId: target.roomId, type: "m.room.encrypted", content: encrypted.content };
    return await this.client.send(event, txnId as TxnId, signal);
  }

  /** Leaves it as a process that died leaves it: nothing is stopped in order. */
  async abandon(): Promise<void> {
    // Ends timers; waits for nothing, since a library call may never return.
    void this.engine.stop();
    await closeAll(this);
  }

  async close(): Promise<void> {
    await this.engine.stop();
    await closeAll(this);
  }
}

async function closeAll(peer: Pick<CryptoPeer, "client" | "keyStore" | "database">): Promise<void> {
  await peer.client.close();
  await peer.keyStore?.close();
  peer.database?.close();
}

/** An encrypted room that all of them have joined. */
export function encryptedRoom(server: DevServer, users: readonly string[], settings: JsonObject = {}): RoomId {
  const [creator, ...others] = users;
  if (creator === undefined) throw new Error("a room needs somebody");
  const encryption = {
    type: "m.room.encryption",
    state_key: "",
    content: { algorithm: "m.megolm.v1.aes-sha2", ...settings },
  };
  const roomId = server.createRoom(creator, { preset: "public_chat", initial_state: [encryption] });
  for (const user of others) server.join(roomId, user);
  return roomId as RoomId;
}

export function targetOf(roomId: RoomId, recipients: readonly string[], settings: JsonObject = {}): EncryptionTarget {
  return { roomId, settings, historyVisibility: "shared", recipients: recipients as readonly UserId[] };
}

/** An event as another client would get it, without sending it through a server. */
export function asEvent(roomId: RoomId, sender: string, content: JsonObject, eventId: string): RawEvent {
  return {
    event_id: eventId as EventId,
    room_id: roomId,
    type: "m.room.encrypted",
    sender: sender as UserId,
    origin_server_ts: 1_700_000_000_000,
    content,
  };
}

function cryptoChanges(response: JsonObject) {
  const toDevice = at(at(response, "to_device"), "events");
  const lists = at(response, "device_lists");
  const unused = response["device_unused_fallback_key_types"];
  return {
    toDevice: list(toDevice).filter(isJsonObject),
    changedUsers: list(at(lists, "changed")).map(String),
    leftUsers: list(at(lists, "left")).map(String),
    oneTimeKeyCounts: (at(response, "device_one_time_keys_count") ?? {}) as Record<string, number>,
    unusedFallbackKeyTypes: unused === undefined ? undefined : list(unused).map(String),
  };
}

function timelineEvents(response: JsonObject): RawEvent[] {
  const rooms = at(at(response, "rooms"), "join");
  return Object.entries(isJsonObject(rooms) ? rooms : {}).flatMap(([roomId, room]) =>
    list(at(at(room, "timeline"), "events"))
      .filter(isJsonObject)
      .map((event) => ({ ...event, room_id: roomId }) as unknown as RawEvent),
  );
}

function at(value: JsonValue | undefined, key: string): JsonValue | undefined {
  return isJsonObject(value) ? value[key] : undefined;
}

function list(value: JsonValue | undefined): readonly JsonValue[] {
  return Array.isArray(value) ? (value as readonly JsonValue[]) : [];
}
