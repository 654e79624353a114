/**
 * People who go on asking while the bot is killed and started: Alice with the device that judges, and further devices of hers
 * that come and go. Remembers everything that was asked. Never so much at once that a timeline is cut: the bot would
 * record a gap, and what is in a gap is not under test here.
 */
import assert from "node:assert/strict";
import { setTimeout as pause } from "node:timers/promises";
import { Sender, type HeldEvent } from "../../demo/sender/sender.ts";
import type { DevServer, SignedIn } from "../../devserver/server.ts";
import type { JsonObject } from "../../src/protocol/json.ts";
import type { CrashRandom } from "./crashRandom.ts";

/** Every request is alive until long after the test. */
const LIFETIME_MS = 60 * 60_000;
/** With as many answers this is still less than the bot's timeline limit of 100. */
const MOST_UNANSWERED = 15;
const ROOM_MS = 60_000;
/** Between two requests, at most. */
const PAUSE_MS = 100;

export interface Asked {
  readonly eventId: string;
  readonly roomId: string;
  /** Stands in the clear text, so that the record can be held to it. */
  readonly number: number;
}

export class CrashTraffic {
  readonly asked = new Map<string, Asked>();
  /** Where somebody asks all the time. */
  readonly rooms: string[] = [];
  /** Where nobody asks but in `ask` and `askHoldingKeys`. */
  readonly quietRooms: string[] = [];
  readonly alice: Sender;
  /**
   * Holds keys back. She talks with the bot over an Olm session of her own that is hardly used: a message that is older than
   * the last five turns of its session, or the last 40 messages of its chain, can't be read by anybody.
   */
  readonly carol: Sender;
  private readonly server: DevServer;
  private readonly bot: SignedIn;
  private readonly random: CrashRandom;
  private readonly stopping = new AbortController();
  private running: Promise<void> | null = null;
  private readonly held: HeldEvent[] = [];
  private lateRoom = "";
  private count = 0;
  private devices = 0;

  constructor(ports: { server: DevServer; bot: SignedIn; alice: Sender; carol: Sender; random: CrashRandom }) {
    this.server = ports.server;
    this.bot = ports.bot;
    this.alice = ports.alice;
    this.carol = ports.carol;
    this.random = ports.random;
  }

  /** Invites the bot; who asks waits for it to join. @param rotation messages until the next session, for both sides */
  async invite(rotation?: number): Promise<string> {
    const encryption = rotation === undefined ? {} : { encryption: { rotation_period_msgs: rotation } };
    const roomId = await this.alice.createRoom({ encrypted: true, invite: [this.bot.userId], ...encryption });
    this.rooms.push(roomId);
    return roomId;
  }

  /** A room that the bot is in. It must be running. */
  async room(rotation?: number): Promise<string> {
    const roomId = await this.invite(rotation);
    await this.joined(roomId);
    return roomId;
  }

  /** A room of Alice's that the bot is in, for one request now and one at the end. It must be running. */
  async quietRoom(): Promise<string> {
    const roomId = await this.alice.createRoom({ encrypted: true, invite: [this.bot.userId] });
    await this.joined(roomId);
    this.quietRooms.push(roomId);
    return roomId;
  }

  /** Carol's room, with the bot and Alice in it. The bot must be running. */
  async roomOfLateKeys(): Promise<void> {
    const invite = [this.bot.userId, this.alice.userId];
    this.lateRoom = await this.carol.createRoom({ encrypted: true, invite });
    this.quietRooms.push(this.lateRoom);
    await this.alice.join(this.lateRoom);
    await this.joined(this.lateRoom, this.carol);
  }

  async ask(roomId: string, from = this.alice): Promise<Asked> {
    const { number, content } = this.request(from);
    return this.note(await from.send(roomId, "org.example.report", content), roomId, number);
  }

  /** Carol asks with a room key that the bot does not get before `release`. */
  async askHoldingKeys(): Promise<Asked> {
    const { number, content } = this.request(this.carol);
    const held = await this.carol.sendHoldingKeys(this.lateRoom, "org.example.report", content);
    this.held.push(held);
    return this.note(held.eventId, this.lateRoom, number);
  }

  /** Hands out the keys that are held back. @param but so many of the oldest stay back */
  async release(but = 0): Promise<void> {
    for (const held of this.held.splice(but)) await held.releaseKeys();
  }

  /** A device that never says a word: the bot has to ask for its keys and to share its own with it. */
  async silentDevice(): Promise<void> {
    const device = await this.device();
    await device.stop();
  }

  /** A device that asks once: a new Olm session, and one of the bot's one-time keys less. */
  async talkingDevice(): Promise<void> {
    const device = await this.device();
    try {
      await device.start();
      await device.waitForDevice(this.bot.userId, this.bot.deviceId);
      await this.ask(this.anyRoom(), device);
    } finally {
      await device.stop();
    }
  }

  /** Asks in one room after another until `stop`. */
  start(): void {
    this.running = this.go();
    // Reported by `stop`.
    this.running.catch(() => undefined);
  }

  /** @throws whatever ended the asking early */
  async stop(): Promise<void> {
    this.stopping.abort();
    await this.running;
  }

  get allRooms(): readonly string[] {
    return [...this.rooms, ...this.quietRooms];
  }

  /** Messages of the bot that the server has accepted in this room. */
  answersIn(roomId: string): number {
    return this.server
      .eventsIn(roomId)
      .filter((event) => event.sender === this.bot.userId && event.type === "m.room.encrypted").length;
  }

  /** A room that the bot is in now. */
  anyRoom(): string {
    const joined = this.rooms.filter((roomId) => this.alice.membership(roomId, this.bot.userId) === "join");
    const roomId = joined[this.random.whole(joined.length)];
    assert.ok(roomId !== undefined, "the bot is in no room yet");
    return roomId;
  }

  private async go(): Promise<void> {
    while (!this.stopping.signal.aborted) {
      const roomId = this.anyRoom();
      await this.server.waitFor(
        () => this.stopping.signal.aborted || this.unanswered(roomId) < MOST_UNANSWERED,
        600_000,
        "an answer",
      );
      await this.ask(roomId);
      await pause(this.random.below(PAUSE_MS));
    }
  }

  /** Requests that the server has no answer to yet. */
  unanswered(roomId: string): number {
    const asked = [...this.asked.values()].filter((one) => one.roomId === roomId).length;
    return asked - this.answersIn(roomId);
  }

  private async joined(roomId: string, inviter = this.alice): Promise<void> {
    await inviter.waitForJoin(roomId, this.bot.userId, ROOM_MS);
    await inviter.waitForDevice(this.bot.userId, this.bot.deviceId, ROOM_MS);
  }

  private async device(): Promise<Sender> {
    this.devices += 1;
    const account = this.server.signIn(this.alice.userId, `ALICE${this.devices}`);
    return await Sender.withToken({ baseUrl: this.server.url, ...account }, { identity: this.alice });
  }

  private request(from: Sender): { number: number; content: JsonObject } {
    const number = (this.count += 1);
    return { number, content: { number, "m.request.status": { from_device: from.deviceId, lifetime: LIFETIME_MS } } };
  }

  private note(eventId: string, roomId: string, number: number): Asked {
    const asked = { eventId, roomId, number };
    this.asked.set(eventId, asked);
    return asked;
  }
}
