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
import { CryptoEvent, EventShieldReason } from "matrix-js-sdk/lib/crypto-api/index.js";
import type { JsonObject } from "../../../src/protocol/json.ts";
import { loadIndexedDb, saveIndexedDb } from "./indexedDbFile.ts";
import { JsSdkIdentity, Keyring } from "./jsSdkIdentity.ts";
import { JsSdkVerifications } from "./jsSdkVerifications.ts";
import { KeyGate } from "./keyGate.ts";
import type { OrderLine, Orders, PeerAccount, PeerEvent, PeerLine } from "./peerWire.ts";

// Standard output is for the test alone; the SDK writes there what it has to say.
for (const level of ["log", "info", "debug", "warn", "trace"] as const) console[level] = console.error;

const STORE_FILE = "indexedDb";

function say(line: PeerLine): void {
  process.stdout.write(`${JSON.stringify(line)}\n`);
}

type Obeying = {
  readonly [Name in Exclude<keyof Orders, "start">]: (order: Orders[Name]["order"]) => Promise<Orders[Name]["result"]>;
};

class JsSdkPeer {
  readonly #account: PeerAccount;
  readonly #gate = new KeyGate();
  readonly #keyring = new Keyring();
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
      cryptoCallbacks: this.#keyring.callbacks,
    });
  }

  /** @returns what obeys each further order */
  static async start(account: PeerAccount): Promise<Obeying> {
    await loadIndexedDb(join(account.store, STORE_FILE));
    const peer = new JsSdkPeer(account);
    await peer.#client.initRustCrypto();
    const obeying = peer.#obeying();
    await peer.#begin();
    return obeying;
  }

  #obeying(): Obeying {
    const parts = {
      account: this.#account,
      client: this.#client,
      crypto: this.#crypto(),
      keyring: this.#keyring,
      until: (probe: () => boolean | Promise<boolean>) => this.#until(probe),
      wake: () => this.#wake(),
    };
    const identity = new JsSdkIdentity(parts);
    const verifications = new JsSdkVerifications(parts);
    return {
      createRoom: (order) => this.#createRoom(order),
      invite: (order) => this.#invite(order),
      join: (order) => this.#join(order),
      waitForMember: (order) => this.#waitForMember(order),
      waitForDevice: (order) => this.#waitForDevice(order),
      send: (order) => this.#send(order),
      holdKeys: (order) => this.#holdKeys(order),
      releaseKeys: () => this.#releaseKeys(),
      stop: () => this.#stop(),
      setUpIdentity: (order) => identity.setUpIdentity(order),
      identity: () => identity.identity(),
      recover: (order) => identity.recover(order),
      readSecrets: (order) => identity.readSecrets(order),
      restoreBackup: (order) => identity.restoreBackup(order),
      waitForBackup: (order) => identity.waitForBackup(order),
      exportKeys: (order) => identity.exportKeys(order),
      importKeys: (order) => identity.importKeys(order),
      isolate: (order) => identity.isolate(order),
      trustOf: (order) => identity.trustOf(order),
      waitForSigned: (order) => identity.waitForSigned(order),
      waitForVerified: (order) => identity.waitForVerified(order),
      requestVerification: (order) => verifications.requestVerification(order),
      incomingVerification: (order) => verifications.incomingVerification(order),
      acceptVerification: (order) => verifications.acceptVerification(order),
      sas: (order) => verifications.sas(order),
      answerSas: (order) => verifications.answerSas(order),
      verificationResult: (order) => verifications.verificationResult(order),
    };
  }

  async #begin(): Promise<void> {
    const client = this.#client;
    client.on(RoomEvent.Timeline, (event, room) => {
      // Its own events come a second time, from the server.
      if (room !== undefined && event.status === null) void this.#tell(event);
    });
    client.on(MatrixEventEvent.Decrypted, (event) => void this.#tell(event));
    for (const event of [
      ClientEvent.Sync,
      CryptoEvent.DevicesUpdated,
      CryptoEvent.KeysChanged,
      CryptoEvent.UserTrustStatusChanged,
    ] as const) {
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

  async #createRoom({ invite, encryption }: Orders["createRoom"]["order"]): Promise<string> {
    const content = { algorithm: "m.megolm.v1.aes-sha2", ...encryption };
    const { room_id: roomId } = await this.#client.createRoom({
      preset: Preset.PrivateChat,
      invite: [...invite],
      initial_state: [{ type: EventType.RoomEncryption, state_key: "", content }],
    });
    await this.#known(roomId);
    return roomId;
  }

  async #invite({ roomId, userId }: Orders["invite"]["order"]): Promise<null> {
    await this.#client.invite(roomId, userId);
    return null;
  }

  async #join({ roomId }: Orders["join"]["order"]): Promise<null> {
    // The SDK takes the keys of before from the inviter alone, whom it knows by the invitation.
    await this.#until(() => this.#client.getRoom(roomId)?.getMyMembership() === "invite");
    await this.#client.joinRoom(roomId);
    await this.#known(roomId);
    return null;
  }

  async #waitForMember({ roomId, userId }: Orders["waitForMember"]["order"]): Promise<null> {
    await this.#until(() => this.#client.getRoom(roomId)?.getMember(userId)?.membership === "join");
    return null;
  }

  async #waitForDevice({ userId, deviceId }: Orders["waitForDevice"]["order"]): Promise<null> {
    await this.#until(async () => (await this.#devicesOf(userId)).has(deviceId));
    return null;
  }

  async #send({ roomId, type, content }: Orders["send"]["order"]): Promise<string> {
    // The types name the events of the specification; the SDK sends any.
    const { event_id: eventId } = await this.#client.sendEvent(roomId, type as never, content as never);
    return eventId;
  }

  async #holdKeys({ roomId }: Orders["holdKeys"]["order"]): Promise<null> {
    await this.#crypto().forceDiscardSession(roomId);
    this.#gate.close();
    return null;
  }

  async #releaseKeys(): Promise<null> {
    await this.#gate.open();
    return null;
  }

  async #stop(): Promise<null> {
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
        shield: failed ? null : await this.#shield(event),
        sessionId: encrypted ? String(event.getWireContent()["session_id"]) : null,
      } satisfies PeerEvent,
    });
  }

  async #shield(event: MatrixEvent): Promise<string | null> {
    const reason = (await this.#crypto().getEncryptionInfoForEvent(event))?.shieldReason ?? null;
    return reason === null ? null : (EventShieldReason[reason] ?? null);
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

let peer: Obeying | null = null;

async function obey<Name extends keyof Obeying>(line: OrderLine): Promise<unknown> {
  if (line.do === "start") {
    peer = await JsSdkPeer.start(line);
    return null;
  }
  if (peer === null) throw new Error(`"start" comes before "${line.do}"`);
  const act = peer[line.do as Name];
  return await act(line as unknown as Orders[Name]["order"]);
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
