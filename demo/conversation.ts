/**
 * What the demo's sender does, row by row: makes an encrypted and a plain room and invites the bot, asks what the scenario says, judges
 * what comes back, and looks at it all once more at the end. What can't be shown on this homeserver gets a row that says so.
 */
import { writeFileSync } from "node:fs";
import { ROOM_MARK } from "./homeservers/leaveAsFound.ts";
import { joinRow, noticeRow, noticesOf, notHereRow, profileRow, publicRoomRow } from "./roomRows.ts";
import { type Ask, type Cast, fence, scenario } from "./scenario.ts";
import { HttpRefused } from "./sender/matrixHttp.ts";
import type { Sender } from "./sender/sender.ts";
import { describeExpected, isReceiptDue, judge, type Judge } from "./verdict.ts";
import type { AskedEvent, FromSender, Row, ToSender } from "./wire.ts";

export type Job = Extract<ToSender, { kind: "job" }>;
type RoomKind = "encrypted" | "plain";
interface Sent {
  readonly ask: Ask;
  readonly eventId: string;
  readonly sentAtMs: number;
}

/** The bot starts at the same time as the sender; its join is the first thing that is waited for. */
const JOIN_MS = 60_000;

export class Conversation {
  readonly #job: Job;
  readonly #sender: Sender;
  readonly #say: (message: FromSender) => void;
  readonly #cast: Cast;
  readonly #sent: (Sent & { readonly where: RoomKind })[] = [];
  readonly #rooms: Partial<Record<RoomKind, string>> = {};
  /** Whether the homeserver knows delivery receipts (MSC4089). */
  #receipts = false;

  constructor(job: Job, sender: Sender, say: (message: FromSender) => void) {
    this.#job = job;
    this.#sender = sender;
    this.#say = say;
    const { botDevice, canary, lifetimeMs } = job;
    this.#cast = { senderDevice: sender.deviceId, botDevice, canary, lifetimeMs };
  }

  async hold(): Promise<void> {
    const { botUserId, botDevice, keysFile, lifetimeMs } = this.#job;
    const { unstableFeatures } = await this.#sender.versions();
    this.#receipts = unstableFeatures["org.matrix.msc4089"] === true;
    const publicRoom = await this.#invitePublicly();
    for (const kind of ["encrypted", "plain"] as const) {
      const { result: roomId, startedMs } = await this.#timed(() => this.#invite(kind));
      if (kind === "plain" && this.#sender.rooms.get(roomId)?.encrypted === true) {
        this.#row(notHereRow(kind, "a room without encryption", "this homeserver encrypts every room"));
        continue;
      }
      this.#rooms[kind] = roomId;
      await this.#sender.waitForJoin(roomId, botUserId, Math.max(JOIN_MS, lifetimeMs));
      this.#row(joinRow(kind, Date.now() - startedMs));
    }
    await this.#sender.waitForDevice(botUserId, botDevice, JOIN_MS);
    for (const [where, roomId] of this.#places()) {
      const at = { where, roomId, botUserId, encrypted: where === "encrypted" };
      this.#row(await noticeRow(this.#sender, at, lifetimeMs));
      for (const ask of scenario(this.#cast, where)) this.#row(await this.#ask(where, ask));
    }
    this.#row(
      publicRoom.roomId === null
        ? notHereRow("public", "an invitation to a public room", publicRoom.why)
        : publicRoomRow(this.#sender.membership(publicRoom.roomId, botUserId)),
    );
    this.#row(await profileRow(this.#sender, { userId: botUserId, deviceId: botDevice }, lifetimeMs));
    if (!this.#receipts) {
      const why = "this homeserver does not know them (no org.matrix.msc4089 in its /versions), so the bot sends none";
      this.#row(notHereRow("bot", "delivery receipts (MSC4089)", why));
    }
    const events: AskedEvent[] = this.#sent.map(({ eventId, ask, where }) => ({ eventId, asked: ask.asked, where }));
    if (keysFile !== null) writeFileSync(keysFile, await this.#sender.crypto.exportRoomKeys(), { mode: 0o600 });
    this.#say({ kind: "asked", events, rooms: this.#rooms });
  }

  /** The bot has stopped: what is not here now will never come. */
  async lookAgain(): Promise<void> {
    for (const [, roomId] of this.#places()) {
      const marker = await this.#sender.send(roomId, "org.example.marker", {}, { encrypted: false });
      await this.#sender.seen(marker);
    }
    const problems = this.#sent.flatMap(({ ask, eventId, where }) => {
      const verdict = judge(ask, this.#sender.responsesTo(eventId), this.#receivedBy(eventId), this.#judge(where));
      return verdict.problems.map((problem) => `${where}, ${ask.asked}: ${problem}`);
    });
    for (const [where, roomId] of this.#places()) {
      const said = noticesOf(this.#sender, roomId, this.#job.botUserId).length;
      if (said !== 1) problems.push(`${where}: the bot said ${said} times what it does there`);
    }
    const receipts = this.#sent.reduce((sum, { eventId }) => sum + this.#receivedBy(eventId).length, 0);
    const answers = this.#sent.reduce((sum, { eventId }) => sum + this.#sender.responsesTo(eventId).length, 0);
    this.#say({ kind: "last look", problems, answers, receipts: this.#receipts ? receipts : null });
  }

  async #ask(where: RoomKind, ask: Ask): Promise<Row> {
    const sent = await this.#send(where, ask);
    if (ask.expected.kind === "nothing") {
      // What is asked now is answered after what was asked before it would have been.
      const asked = await this.#send(where, fence(this.#cast));
      await this.#answer(asked);
    } else {
      await this.#answer(sent);
    }
    if (isReceiptDue(ask, this.#judge(where)))
      await this.#sender.waitForReceipt(sent.eventId, this.#job.lifetimeMs).catch(() => undefined);
    const receivedBy = this.#receivedBy(sent.eventId);
    const responses = this.#sender.responsesTo(sent.eventId);
    const verdict = judge(ask, responses, receivedBy, this.#judge(where));
    const arrivedAtMs = responses[0]?.event.receivedAtMs;
    const tookMs = arrivedAtMs === undefined ? null : arrivedAtMs - sent.sentAtMs;
    return {
      ...verdict,
      where,
      asked: ask.asked,
      expected: describeExpected(ask),
      tookMs,
      receivedBy,
      eventId: sent.eventId,
    };
  }

  async #send(where: RoomKind, ask: Ask): Promise<Sent> {
    const roomId = this.#rooms[where] ?? "";
    const { result: eventId, startedMs: sentAtMs } = await this.#timed(() => this.#put(roomId, where, ask));
    const sent = { ask, eventId, sentAtMs, where };
    this.#sent.push(sent);
    return sent;
  }

  async #put(roomId: string, where: RoomKind, ask: Ask): Promise<string> {
    if (ask.how === "late key") {
      const held = await this.#sender.sendHoldingKeys(roomId, ask.type, ask.content);
      // Under a key of its own, which the bot gets: when this is answered, the bot has had the event without its key.
      await this.#sender.crypto.rotate(roomId);
      await this.#answer(await this.#send(where, fence(this.#cast)));
      await held.releaseKeys();
      return held.eventId;
    }
    if (ask.how === "replay") {
      const before = this.#sent.findLast((sent) => sent.ask.how === "late key");
      if (before === undefined) throw new Error("the scenario has nothing to replay");
      return await this.#sender.sendReplay(before.eventId);
    }
    return await this.#sender.send(roomId, ask.type, ask.content);
  }

  /** Waits for an answer, not for the right one: what is wrong with it, the verdict says. */
  async #answer({ eventId }: Sent): Promise<void> {
    await this.#sender.waitForResponse(eventId, this.#job.lifetimeMs).catch(() => undefined);
  }

  #receivedBy(eventId: string): readonly string[] {
    return this.#sender.receiptsFor(eventId).map(({ userId }) => userId);
  }

  /** Both rooms are private, and by default senders in private encrypted rooms get receipts. */
  #judge(where: RoomKind): Judge {
    const { botUserId, botDevice, canary } = this.#job;
    const encryptedRoom = where === "encrypted";
    return { botUserId, botDevice, encryptedRoom, canary, receipts: encryptedRoom && this.#receipts };
  }

  #places(): readonly (readonly [RoomKind, string])[] {
    return Object.entries(this.#rooms) as [RoomKind, string][];
  }

  #row(row: Row): void {
    this.#say({ kind: "row", row });
  }

  /** When it was started, later by as long as a rate limit of the homeserver put the sender off. */
  async #timed<Result>(work: () => Promise<Result>): Promise<{ result: Result; startedMs: number }> {
    const { http } = this.#sender;
    const [startedMs, putOffMs] = [Date.now(), http.putOffMs];
    const result = await work();
    return { result, startedMs: startedMs + Math.round(http.putOffMs - putOffMs) };
  }

  /** Not every homeserver lets everybody make public rooms. */
  async #invitePublicly(): Promise<{ roomId: string } | { roomId: null; why: string }> {
    try {
      return { roomId: await this.#invite("public") };
    } catch (error) {
      if (!(error instanceof HttpRefused) || error.status !== 403) throw error;
      return { roomId: null, why: `this homeserver lets the sender make no public room (${error.errcode ?? "403"})` };
    }
  }

  async #invite(kind: RoomKind | "public"): Promise<string> {
    return await this.#sender.createRoom({
      encrypted: kind === "encrypted",
      name: `Docket demo, ${kind}`,
      invite: [this.#job.botUserId],
      creation: ROOM_MARK,
      ...(kind === "public" ? { preset: "public_chat" } : {}),
    });
  }
}
