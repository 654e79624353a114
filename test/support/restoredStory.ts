/**
 * The story of a data directory that is put back from an older copy, on whatever homeserver: told once for the development homeserver
 * and once for Synapse. The judge of message indexes reads the ciphertexts as they stand in the room, with a reader of its own.
 */
import assert from "node:assert/strict";
import { cpSync, rmSync } from "node:fs";
import { join } from "node:path";
import { segment } from "../../demo/sender/matrixHttp.ts";
import type { NewRoom, Sender } from "../../demo/sender/sender.ts";
import type { JsonObject } from "../../src/protocol/json.ts";
import type { BotProcess } from "./botProcess.ts";
import { docket, type CommandOutcome } from "./docketCommand.ts";
import { megolmMessagePlace } from "./megolmMessagePlace.ts";

export interface RestoredScene {
  readonly alice: Sender;
  /** Of the bot. */
  readonly directory: string;
  readonly account: { readonly userId: string };
  readonly bot: BotProcess;
  restart(): Promise<BotProcess>;
  room(room?: NewRoom): Promise<string>;
  sender(localpart: string): Promise<Sender>;
}

const LOOKS_OLD = "this data directory looks like an older copy of one that was used after it";

export class RestoredStory {
  readonly scene: RestoredScene;
  private readonly asked: { readonly asker: Sender; readonly eventId: string; readonly roomId: string }[] = [];

  constructor(scene: RestoredScene) {
    this.scene = scene;
  }

  /** The bot is stopped, its directory copied. */
  async copy(): Promise<void> {
    assert.equal(await this.scene.bot.stop(), 0);
    cpSync(this.data, this.copied, { recursive: true });
  }

  /** The bot is stopped, and the copy put in the place of its directory. */
  async putBack(): Promise<void> {
    assert.equal(await this.scene.bot.stop(), 0);
    rmSync(this.data, { recursive: true });
    cpSync(this.copied, this.data, { recursive: true });
  }

  /** Asks for a status. @returns the event ID */
  async ask(roomId: string, asker: Sender = this.scene.alice): Promise<string> {
    const request: JsonObject = { "m.request.status": { from_device: asker.deviceId, lifetime: 90_000 } };
    const eventId = await asker.send(roomId, "org.example.report", request);
    this.asked.push({ asker, eventId, roomId });
    return eventId;
  }

  /** Asks, and reads the answer. */
  async answered(roomId: string, asker: Sender = this.scene.alice): Promise<void> {
    const { status, event } = await asker.waitForResponse(await this.ask(roomId, asker));
    assert.equal(status, "success");
    assert.equal(event.encrypted, true);
  }

  /** Somebody whom the bot has never met. */
  async stranger(name: string, roomId: string): Promise<Sender> {
    const stranger = await this.scene.sender(name);
    await this.scene.alice.invite(roomId, stranger.userId);
    await stranger.join(roomId);
    return stranger;
  }

  /** The bot says that its directory is an older copy. @returns what gave it away */
  async noticed(): Promise<unknown> {
    return (await this.scene.bot.line(({ msg }) => msg === LOOKS_OLD, "the copy was noticed"))["sign"];
  }

  get saidNothing(): boolean {
    return !this.scene.bot.lines.some(({ msg }) => msg === LOOKS_OLD);
  }

  async notes(): Promise<readonly string[]> {
    const health = (await (await fetch(`${await this.scene.bot.operationsUrl()}/readyz`)).json()) as {
      notes: string[];
    };
    return health.notes;
  }

  restored(): Promise<CommandOutcome> {
    return docket("data", "restored", "--config", join(this.scene.directory, "config.yaml"));
  }

  /** Every request has one answer at most, and no ciphertext of the bot stands where another one stood. */
  async assertNothingTwice(roomIds: readonly string[]): Promise<void> {
    const places = new Map<string, string>();
    for (const roomId of roomIds) {
      const events = await this.onTheWire(roomId);
      const own = events.filter(
        ({ sender, type }) => sender === this.scene.account.userId && type === "m.room.encrypted",
      );
      assert(own.length > 0);
      const answers = new Map<string, number>();
      for (const { event_id: eventId, content } of own) {
        const { session_id: session, ciphertext, "m.relates_to": relation } = content as Record<string, unknown>;
        const place = `${roomId} ${String(session)} ${megolmMessagePlace(String(ciphertext))}`;
        assert.equal(places.get(place), undefined, `two messages have the same place: ${place}`);
        places.set(place, String(eventId));
        const to = (relation as { event_id?: string } | undefined)?.event_id;
        if (to !== undefined) answers.set(to, (answers.get(to) ?? 0) + 1);
      }
      for (const [to, count] of answers) assert.equal(count, 1, `${to} has ${count} answers`);
      for (const { eventId } of this.asked.filter((asked) => asked.roomId === roomId))
        assert.equal(answers.get(eventId), 1, `${eventId} has its answer`);
    }
  }

  private async onTheWire(roomId: string): Promise<JsonObject[]> {
    const path = `/_matrix/client/v3/rooms/${segment(roomId)}/messages`;
    const { chunk } = await this.scene.alice.http.call("GET", path, { query: { dir: "b", limit: "500" } });
    return chunk as unknown as JsonObject[];
  }

  private get data(): string {
    return join(this.scene.directory, "data");
  }

  private get copied(): string {
    return join(this.scene.directory, "copy");
  }
}
