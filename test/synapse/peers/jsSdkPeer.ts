/**
 * matrix-js-sdk as a peer (see peerWire.ts): what Element and others are built on. It runs in a process of its own, since it and the
 * bot would share the crypto library's globals, and uses the SDK as its documentation says, with its defaults.
 */
import { join } from "node:path";
import { createInterface } from "node:readline";
import {
  ClientEvent,
  createClient,
  EventType,
  MatrixEventEvent,
  Preset,
  RoomEvent,
  type MatrixClient,
  type MatrixEvent,
} from "matrix-js-sdk";
import { CryptoEvent } from "matrix-js-sdk/lib/crypto-api/index.js";
import type { JsonObject } from "../../../src/protocol/json.ts";
import { loadIndexedDb, saveIndexedDb } from "./indexedDbFile.ts";
import type { OrderLine, Orders, PeerAccount, PeerEvent, PeerLine } from "./peerWire.ts";

// Standard output is for the test alone; the SDK writes there what it has to say.
for (const level of ["log", "info", "debug", "warn", "trace"] as const) console[level] = console.error;

const STORE_FILE = "indexedDb";

function say(line: PeerLine): void {
  process.stdout.write(`${JSON.stringify(line)}\n`);
}

/** To-device messages that carry room keys: handed on, or kept back until they are let go. */
class KeyGate {
  #held: (() => Promise<unknown>)[] | null = null;

  readonly fetch: typeof globalThis.fetch = async (input, init) => {
    const url = input instanceof Request ? input.url : String(input);
    if (this.#held === null || init?.method !== "PUT" || !url.includes("/sendToDevice/m.room.encrypted/")) {
      return await fetch(input, init);
    }
    const { signal: _itsOwnTimeout, ...kept } = init;
    this.#held.push(() => fetch(url, kept));
    return Response.json({});
  };

  close(): void {
    this.#held ??= [];
  }

  async open(): Promise<void> {
    const held = this.#held ?? [];
    this.#held = null;
    for (const send of held) await send();
  }
}

class JsSdkPeer {
  readonly #account: PeerAccount;
  readonly #gate = new KeyGate();
  readonly #client: MatrixClient;
  #wakers: (() => void)[] = [];

  private constructor(account: PeerAccount) {
    this.#account = account;
    this.#client = createClient({
      baseUrl: account.homeserver,
      userId: account.userId,
      deviceId: account.deviceId,
      accessToken: account.accessToken,
      fetchFn: this.#gate.fetch,
    });
  }

  static async start(account: PeerAccount): Promise<JsSdkPeer> {
    await loadIndexedDb(join(account.store, STORE_FILE));
    const peer = new JsSdkPeer(account);
    await peer.#begin();
    return peer;
  }

  async #begin(): Promise<void> {
    const client = this.#client;
    await client.initRustCrypto();
    client.on(RoomEvent.Timeline, (event, room) => {
      // Its own events come a second time, from the server.
      if (room !== undefined && event.status === null) void this.#tell(event);
    });
    client.on(MatrixEventEvent.Decrypted, (event) => void this.#tell(event));
    for (const event of [ClientEvent.Sync, CryptoEvent.DevicesUpdated, CryptoEvent.KeysChanged] as const) {
      client.on(event, () => this.#wake());
    }
    await client.startClient({ initialSyncLimit: 100 });
    await this.#until(() => client.isInitialSyncComplete());
    // Its keys are uploaded while it syncs: nobody can write to it before.
    await this.#until(async () => {
      const answer = await client.downloadKeysForUsers([this.#account.userId]);
      return answer.device_keys[this.#account.userId]?.[this.#account.deviceId] !== undefined;
    });
  }

  async createRoom({ invite, encryption }: Orders["createRoom"]["order"]): Promise<string> {
    const content = { algorithm: "m.megolm.v1.aes-sha2", ...encryption };
    const { room_id: roomId } = await this.#client.createRoom({
      preset: Preset.PrivateChat,
      invite: [...invite],
      initial_state: [{ type: EventType.RoomEncryption, state_key: "", content }],
    });
    await this.#known(roomId);
    return roomId;
  }

  async join({ roomId }: Orders["join"]["order"]): Promise<null> {
    await this.#client.joinRoom(roomId);
    await this.#known(roomId);
    return null;
  }

  async waitForMember({ roomId, userId }: Orders["waitForMember"]["order"]): Promise<null> {
    await this.#until(() => this.#client.getRoom(roomId)?.getMember(userId)?.membership === "join");
    return null;
  }

  async waitForDevice({ userId, deviceId }: Orders["waitForDevice"]["order"]): Promise<null> {
    await this.#until(async () => (await this.#devicesOf(userId)).has(deviceId));
    return null;
  }

  async send({ roomId, type, content }: Orders["send"]["order"]): Promise<string> {
    // The types name the events of the specification; the SDK sends any.
    const { event_id: eventId } = await this.#client.sendEvent(roomId, type as never, content as never);
    return eventId;
  }

  async holdKeys({ roomId }: Orders["holdKeys"]["order"]): Promise<null> {
    await this.#crypto().forceDiscardSession(roomId);
    this.#gate.close();
    return null;
  }

  async releaseKeys(): Promise<null> {
    await this.#gate.open();
    return null;
  }

  async stop(): Promise<null> {
    this.#client.stopClient();
    await saveIndexedDb(join(this.#account.store, STORE_FILE));
    return null;
  }

  async #known(roomId: string): Promise<void> {
    await this.#until(async () => {
      const joined = this.#client.getRoom(roomId)?.getMyMembership() === "join";
      return joined && (await this.#crypto().isEncryptionEnabledInRoom(roomId));
    });
  }

  /** Tells the test of an event once it is decrypted, or once that is known to fail. */
  async #tell(event: MatrixEvent): Promise<void> {
    await this.#client.decryptEventIfNeeded(event);
    const failed = event.isEncrypted() && (event.isDecryptionFailure() || event.getClearContent() === null);
    const encrypted = event.isEncrypted();
    say({
      seen: {
        roomId: event.getRoomId() ?? "",
        eventId: event.getId() ?? "",
        sender: event.getSender() ?? "",
        type: failed ? event.getWireType() : event.getType(),
        content: (failed ? event.getWireContent() : event.getContent()) as JsonObject,
        encrypted,
        undecryptable: failed ? (event.decryptionFailureReason ?? "unknown") : null,
        senderDevice: encrypted && !failed ? await this.#senderDevice(event) : null,
        sessionId: encrypted ? String(event.getWireContent()["session_id"]) : null,
      } satisfies PeerEvent,
    });
  }

  async #senderDevice(event: MatrixEvent): Promise<string | null> {
    const key = event.getSenderKey();
    const devices = await this.#devicesOf(event.getSender() ?? "");
    return [...devices.values()].find((device) => device.getIdentityKey() === key)?.deviceId ?? null;
  }

  async #devicesOf(userId: string) {
    return (await this.#crypto().getUserDeviceInfo([userId], true)).get(userId) ?? new Map<string, never>();
  }

  #crypto() {
    const crypto = this.#client.getCrypto();
    if (crypto === undefined) throw new Error("the SDK has no encryption");
    return crypto;
  }

  /** Asks again whenever something has come. The test is who loses patience. */
  async #until(probe: () => boolean | Promise<boolean>): Promise<void> {
    for (;;) {
      const change = new Promise<void>((resolve) => this.#wakers.push(resolve));
      if (await probe()) return;
      await change;
    }
  }

  #wake(): void {
    const wakers = this.#wakers;
    this.#wakers = [];
    for (const wake of wakers) wake();
  }
}

let peer: JsSdkPeer | null = null;

async function obey(line: OrderLine): Promise<string | null> {
  if (line.do === "start") {
    peer = await JsSdkPeer.start(line);
    return null;
  }
  if (peer === null) throw new Error(`"start" comes before "${line.do}"`);
  switch (line.do) {
    case "createRoom":
      return await peer.createRoom(line);
    case "join":
      return await peer.join(line);
    case "waitForMember":
      return await peer.waitForMember(line);
    case "waitForDevice":
      return await peer.waitForDevice(line);
    case "send":
      return await peer.send(line);
    case "holdKeys":
      return await peer.holdKeys(line);
    case "releaseKeys":
      return await peer.releaseKeys();
    case "stop":
      return await peer.stop();
  }
}

createInterface({ input: process.stdin })
  .on("line", (text) => {
    const line = JSON.parse(text) as OrderLine;
    obey(line).then(
      (result) => {
        say({ answer: line.id, result });
        if (line.do === "stop") process.exit(0);
      },
      (error: unknown) =>
        say({ answer: line.id, error: error instanceof Error ? (error.stack ?? error.message) : String(error) }),
    );
  })
  .on("close", () => process.exit(1));
