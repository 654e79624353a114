/**
 * A bot's engine and the people who verify it, on a key directory and with one room, in memory: each of them on the crypto library itself.
 * Everybody syncs when the scene says so. The room keeps what was sent into it as it went over the wire.
 */
import { setImmediate as nextTurn } from "node:timers/promises";
import type { TestContext } from "node:test";
import {
  DecryptionSettings,
  DeviceId as LibraryDeviceId,
  DeviceLists,
  EventId as LibraryEventId,
  OlmMachine,
  OtherUserIdentity,
  RequestType,
  RoomId as LibraryRoomId,
  Sas,
  TrustRequirement,
  UserId as LibraryUserId,
  VerificationMethod,
  initAsync,
  type VerificationRequest,
} from "@matrix-org/matrix-sdk-crypto-wasm";
import { systemClock, type Clock } from "../../src/clock.ts";
import type { CryptoEngine } from "../../src/crypto/cryptoEngine.ts";
import { openEvent } from "../../src/crypto/openEvent.ts";
import type { RoomAudience } from "../../src/crypto/roomMessages.ts";
import type { Verification, VerificationPhase } from "../../src/crypto/verification.ts";
import { silentLogger } from "../../src/logging.ts";
import type { Homeserver } from "../../src/matrix/homeserver.ts";
import type { RawEvent } from "../../src/protocol/events.ts";
import type { EventId, RoomId, UserId } from "../../src/protocol/ids.ts";
import { isJsonObject, type JsonObject } from "../../src/protocol/json.ts";
import { targetOf } from "./cryptoPeer.ts";
import { KeyDirectory, type DirectoryDevice } from "./keyDirectory.ts";
import { loneEngine, noChanges } from "./loneEngine.ts";

const SCENE_ROOM = "!dm:example.org" as RoomId;
export const SCENE_BOT = "@bot:example.org" as UserId;
const PATIENCE_MS = 10_000;

/** A to-device message to `*` goes to all devices of the user. */
class BroadcastingDirectory extends KeyDirectory {
  override answer(from: DirectoryDevice, method: string, endpoint: string, body: JsonObject): Promise<JsonObject> {
    if (!isJsonObject(body["messages"])) return super.answer(from, method, endpoint, body);
    const messages = Object.fromEntries(
      Object.entries(body["messages"]).map(([user, devices]) => {
        const all = (devices as JsonObject)["*"];
        const known = Object.keys(this.devices[user] ?? {});
        return [user, all === undefined ? devices : Object.fromEntries(known.map((device) => [device, all]))];
      }),
    );
    return super.answer(from, method, endpoint, { messages });
  }
}

/** The time is what it is, and later when a test says so. */
class HurriedClock implements Clock {
  /** In milliseconds. */
  ahead = 0;
  now(): number {
    return systemClock.now() + this.ahead;
  }
  sleep(ms: number, signal?: AbortSignal): Promise<void> {
    return systemClock.sleep(ms, signal);
  }
}

export interface SceneOptions {
  readonly verifiers?: readonly string[];
}

export class VerificationScene {
  readonly directory = new BroadcastingDirectory();
  /** What was sent into the room, oldest first. */
  readonly room: RawEvent[] = [];
  readonly people: VerifyingPerson[] = [];
  bot!: CryptoEngine;
  /** What was logged, fields and words. */
  readonly logged: { readonly fields: JsonObject; readonly words: string }[] = [];
  readonly clock = new HurriedClock();
  /** To-device messages that people got. */
  readonly toldPeople: JsonObject[] = [];
  isRoomEncrypted = true;
  isBotInRoom = true;
  /** Called with each request of the bot before it is answered; may throw what a server would answer. */
  onBotRequest: (endpoint: string) => void = () => undefined;
  private botHasSeen = 0;
  /** Types of to-device messages that do not reach people for now. */
  holdsBack: (type: string) => boolean = () => false;
  private readonly t: TestContext;

  private constructor(t: TestContext) {
    this.t = t;
  }

  static async open(t: TestContext, options: SceneOptions = {}): Promise<VerificationScene> {
    const scene = new VerificationScene(t);
    const device = { userId: SCENE_BOT, deviceId: "BOT" };
    const note = (fields: object, words: string): void =>
      void scene.logged.push({ fields: fields as JsonObject, words });
    const { engine } = await loneEngine(t, {
      homeserver: scene.homeserverOf(device),
      clock: scene.clock,
      log: { ...silentLogger, info: note, warn: note },
      verifiers: () => (options.verifiers ?? []) as UserId[],
      audience: (roomId) => scene.audience(roomId),
    });
    await engine.start();
    scene.bot = engine;
    return scene;
  }

  async person(userId: string, deviceId: string): Promise<VerifyingPerson> {
    const person = await VerifyingPerson.create(this.t, this, userId, deviceId);
    this.people.push(person);
    return person;
  }

  post(sender: string, type: string, content: JsonObject): RawEvent {
    const event = {
      event_id: `$e${this.room.length}` as EventId,
      room_id: SCENE_ROOM,
      type,
      sender: sender as UserId,
      origin_server_ts: Date.now(),
      content,
    };
    this.room.push(event);
    return event;
  }

  /** One sync of the bot: what came from device to device, then what came in the room. */
  async syncBot(): Promise<void> {
    const { toDevice, changedUsers } = this.directory.sync({ userId: SCENE_BOT, deviceId: "BOT" });
    await this.bot.receive({ ...noChanges, toDevice, changedUsers }, async ({ held }) => held.apply());
    for (const event of this.room.slice(this.botHasSeen)) {
      const opened = await openEvent(event, this.bot);
      if (opened.kind === "clear") this.bot.verifications.receive(event, opened.type, opened.content);
    }
    this.botHasSeen = this.room.length;
  }

  /** Lets everybody sync until it is so. */
  async until(what: string, isSo: () => boolean): Promise<void> {
    const end = Date.now() + PATIENCE_MS;
    while (!isSo()) {
      if (Date.now() > end)
        throw new Error(`it never came to this: ${what}; it is ${JSON.stringify(this.bot.verifications.list())}`);
      await this.syncBot();
      for (const person of this.people) await person.sync();
      await nextTurn();
    }
  }

  /** The bot's newest verification, once it is there and as far. */
  async reached(phase: VerificationPhase): Promise<Verification> {
    // Nobody here begins: the bot does, a few seconds after it was taken up.
    if (phase === "comparing") this.clock.ahead += 5_000;
    const newest = (): Verification | undefined => this.bot.verifications.list().at(-1);
    await this.until(`a verification that is ${phase}`, () => newest()?.phase === phase);
    return newest() as Verification;
  }

  /** Who has signed the account's master key. */
  signersOfIdentity(userId: string): string[] {
    return Object.keys((this.directory.signing.master_keys[userId]?.["signatures"] as JsonObject | undefined) ?? {});
  }

  /** The way to the private keys: a session of the account verifies the bot, and shares them. */
  async verifyOwnSession(session: VerifyingPerson): Promise<void> {
    const request = await session.ask(SCENE_BOT, "BOT");
    await this.bot.verifications.take((await this.reached("requested")).id);
    const { id } = await this.reached("comparing");
    await session.decimals(request);
    await this.bot.verifications.confirm(id);
    await session.confirm(request);
    await this.reached("verified");
    await this.until("a signature on the bot's device", () => this.signersOfBot().length === 2);
  }

  /** Which keys of the account have signed the bot's device. */
  signersOfBot(): string[] {
    const signatures = this.directory.devices[SCENE_BOT]?.["BOT"]?.["signatures"] as JsonObject | undefined;
    return Object.keys(signatures?.[SCENE_BOT] ?? {});
  }

  private audience(roomId: RoomId): RoomAudience | null {
    if (roomId !== SCENE_ROOM || !this.isBotInRoom) return null;
    const members = [...new Set([SCENE_BOT, ...this.people.map((person) => person.userId)])];
    return { encrypted: this.isRoomEncrypted, target: targetOf(SCENE_ROOM, members) };
  }

  private homeserverOf(device: DirectoryDevice): Homeserver {
    const keys = this.directory.homeserver(device);
    const request: Homeserver["request"] = async (method, endpoint, options) => {
      this.onBotRequest(endpoint);
      return await keys.request(method, endpoint, options);
    };
    const send: Homeserver["send"] = async ({ type, content }) => {
      this.onBotRequest(type);
      return this.post(device.userId, type, content).event_id;
    };
    return new Proxy(keys, {
      get: (target, name) => (name === "send" ? send : name === "request" ? request : Reflect.get(target, name)),
    });
  }
}

/** Somebody on the crypto library, whose messages in the room go out in the clear, as matrix-js-sdk does it. */
export class VerifyingPerson {
  readonly userId: UserId;
  readonly deviceId: string;
  readonly machine: OlmMachine;
  private readonly scene: VerificationScene;
  private hasSeen = 0;
  private held: JsonObject[] = [];

  private constructor(scene: VerificationScene, userId: string, deviceId: string, machine: OlmMachine) {
    this.scene = scene;
    this.userId = userId as UserId;
    this.deviceId = deviceId;
    this.machine = machine;
  }

  static async create(
    t: TestContext,
    scene: VerificationScene,
    userId: string,
    deviceId: string,
  ): Promise<VerifyingPerson> {
    await initAsync();
    const machine = await OlmMachine.initialize(new LibraryUserId(userId), new LibraryDeviceId(deviceId));
    t.after(() => machine.close());
    const person = new VerifyingPerson(scene, userId, deviceId, machine);
    await machine.updateTrackedUsers([new LibraryUserId(userId), new LibraryUserId(SCENE_BOT)]);
    await person.sync();
    return person;
  }

  /** The account's identity, which signs this device. */
  async makeIdentity(): Promise<void> {
    const made = await this.machine.bootstrapCrossSigning(true);
    await this.call("keys/device_signing/upload", made.uploadSigningKeysRequest.body);
    await this.call("keys/signatures/upload", made.uploadSignaturesRequest.body);
    await this.sync();
  }

  /** From device to device. */
  async ask(userId: string, deviceId: string): Promise<VerificationRequest> {
    await this.sync();
    const device = await this.machine.getDevice(new LibraryUserId(userId), new LibraryDeviceId(deviceId));
    if (device === undefined) throw new Error(`${this.userId} does not know ${userId} with ${deviceId}`);
    const [request, message] = device.requestVerification([VerificationMethod.SasV1]);
    await this.send(message);
    return request;
  }

  /** In the room. */
  async askInRoom(userId: string): Promise<VerificationRequest> {
    await this.sync();
    const identity = await this.machine.getIdentity(new LibraryUserId(userId));
    if (!(identity instanceof OtherUserIdentity)) throw new Error(`${this.userId} knows no identity of ${userId}`);
    const content = JSON.parse(identity.verificationRequestContent([VerificationMethod.SasV1])) as JsonObject;
    const { event_id } = this.scene.post(this.userId, "m.room.message", {
      ...content,
      msgtype: "m.key.verification.request",
    });
    const room = new LibraryRoomId(SCENE_ROOM);
    return identity.requestVerification(room, new LibraryEventId(event_id), [VerificationMethod.SasV1]);
  }

  /** To the bot's device, encrypted. */
  async sayEncrypted(type: string, content: JsonObject): Promise<void> {
    await this.sync();
    const claim = await this.machine.getMissingSessions([new LibraryUserId(SCENE_BOT)]);
    await this.send(claim ?? undefined);
    const device = await this.machine.getDevice(new LibraryUserId(SCENE_BOT), new LibraryDeviceId("BOT"));
    if (device === undefined) throw new Error(`${this.userId} does not know the bot's device`);
    const encrypted = await device.encryptToDeviceEvent(type, content);
    await this.call("sendToDevice/m.room.encrypted/any", `{"messages":{"${SCENE_BOT}":{"BOT":${encrypted}}}}`);
  }

  /** What came from the bot, taken up. */
  async incoming(): Promise<VerificationRequest> {
    const find = (): VerificationRequest | undefined =>
      this.machine.getVerificationRequests(new LibraryUserId(SCENE_BOT))[0];
    await this.scene.until("a request from the bot", () => find() !== undefined);
    const request = find() as VerificationRequest;
    await this.send(request.acceptWithMethods([VerificationMethod.SasV1]));
    return request;
  }

  /** The numbers that this person sees. */
  async decimals(request: VerificationRequest): Promise<readonly number[]> {
    await this.scene.until("numbers to compare", () => sasOf(request)?.decimals() !== undefined);
    return [...(sasOf(request)?.decimals() ?? [])];
  }

  async confirm(request: VerificationRequest): Promise<void> {
    for (const message of (await sasOf(request)?.confirm()) ?? []) await this.send(message);
  }

  async send(message: object | undefined): Promise<void> {
    if (message === undefined) return;
    const request = message as {
      readonly id?: string;
      readonly type: RequestType;
      readonly body: string;
      readonly event_type: string;
      readonly txn_id: string;
    };
    const { id, type, body } = request;
    const done = (answer: JsonObject): Promise<unknown> =>
      id === undefined ? Promise.resolve() : this.machine.markRequestAsSent(id, type, JSON.stringify(answer));
    if (type === RequestType.RoomMessage) {
      const { event_id } = this.scene.post(this.userId, request.event_type, JSON.parse(body) as JsonObject);
      await done({ event_id });
    } else if (type === RequestType.ToDevice) {
      await done(await this.call(`sendToDevice/${request.event_type}/${request.txn_id}`, body));
    } else {
      await done(await this.call(ENDPOINTS[type] ?? "", body));
    }
  }

  async sync(): Promise<void> {
    const { toDevice: came, changedUsers } = this.scene.directory.sync(this);
    this.scene.toldPeople.push(...came);
    const all = [...this.held, ...came];
    const isHeld = ({ type }: JsonObject): boolean => this.scene.holdsBack(String(type));
    this.held = all.filter(isHeld);
    const toDevice = all.filter((event) => !isHeld(event));
    await this.machine.receiveSyncChanges(
      JSON.stringify(toDevice),
      new DeviceLists(
        changedUsers.map((user) => new LibraryUserId(user)),
        [],
      ),
      new Map([["signed_curve25519", 50]]),
      new Set(["signed_curve25519"]),
      new DecryptionSettings(TrustRequirement.Untrusted),
    );
    for (const event of this.scene.room.slice(this.hasSeen)) await this.read(event);
    this.hasSeen = this.scene.room.length;
    for (const message of await this.machine.outgoingRequests()) await this.send(message);
    await this.acceptSas();
  }

  /** As an application does it: what the other side has begun is gone on with. */
  private async acceptSas(): Promise<void> {
    const requests = this.machine.getVerificationRequests(new LibraryUserId(SCENE_BOT));
    for (const request of requests) await this.send(sasOf(request)?.accept());
  }

  private async read(event: RawEvent): Promise<void> {
    if (event.sender === this.userId) return;
    let wire: object = event;
    if (event.type === "m.room.encrypted") {
      const settings = new DecryptionSettings(TrustRequirement.Untrusted);
      const room = new LibraryRoomId(event.room_id);
      const { event: clear } = await this.machine.decryptRoomEvent(JSON.stringify(event), room, settings);
      const { type, content } = JSON.parse(clear) as JsonObject;
      wire = { ...event, type, content };
    }
    await this.machine.receiveVerificationEvent(JSON.stringify(wire), new LibraryRoomId(event.room_id));
  }

  private call(endpoint: string, body: string): Promise<JsonObject> {
    return this.scene.directory.answer(this, "POST", `/_matrix/client/v3/${endpoint}`, JSON.parse(body) as JsonObject);
  }
}

const ENDPOINTS: Partial<Record<RequestType, string>> = {
  [RequestType.KeysUpload]: "keys/upload",
  [RequestType.KeysQuery]: "keys/query",
  [RequestType.KeysClaim]: "keys/claim",
  [RequestType.SignatureUpload]: "keys/signatures/upload",
};

function sasOf(request: VerificationRequest): Sas | undefined {
  const verification = request.getVerification();
  return verification instanceof Sas ? verification : undefined;
}
