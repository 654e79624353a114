/**
 * The demo's independent sender, a process of its own: makes an encrypted and a plain room, invites the bot, asks what the
 * scenario says, judges what comes back, and reports it to the demo line by line (see wire.ts).
 * If the demo dies without a word, this process ends the others.
 */
import { writeFileSync } from "node:fs";
import { createInterface } from "node:readline";
import { joinRow, noticeRow, noticesOf, publicRoomRow } from "./roomRows.ts";
import { type Ask, type Cast, fence, scenario } from "./scenario.ts";
import { Sender } from "./sender/sender.ts";
import { describeExpected, isReceiptDue, judge, type Judge } from "./verdict.ts";
import type { AskedEvent, FromSender, Row, ToSender } from "./wire.ts";

type Job = Extract<ToSender, { kind: "job" }>;
type RoomKind = "encrypted" | "plain";
interface Sent {
  readonly ask: Ask;
  readonly eventId: string;
  readonly sentAtMs: number;
}

/** The bot starts at the same time as this process; its join is the first thing that is waited for. */
const JOIN_MS = 60_000;
/** As long as a request lives: later no answer may come. */
const ANSWER_MS = 30_000;

const say = (message: FromSender): void => {
  process.stdout.write(`${JSON.stringify(message)}\n`);
};

class Conversation {
  readonly #job: Job;
  readonly #sender: Sender;
  readonly #cast: Cast;
  readonly #sent: (Sent & { readonly where: RoomKind })[] = [];
  readonly #rooms: Record<string, string> = {};

  constructor(job: Job, sender: Sender) {
    this.#job = job;
    this.#sender = sender;
    this.#cast = { senderDevice: sender.deviceId, botDevice: job.botDevice, canary: job.canary };
  }

  async hold(): Promise<void> {
    const { botUserId, botDevice, keysFile } = this.#job;
    const kinds: readonly RoomKind[] = ["encrypted", "plain"];
    const publicRoom = await this.#invite("public");
    for (const kind of kinds) {
      const invitedAtMs = Date.now();
      const roomId = await this.#invite(kind);
      this.#rooms[kind] = roomId;
      await this.#sender.waitForJoin(roomId, botUserId, JOIN_MS);
      say({ kind: "row", row: joinRow(kind, Date.now() - invitedAtMs) });
    }
    await this.#sender.waitForDevice(botUserId, botDevice, JOIN_MS);
    for (const kind of kinds) {
      const at = { where: kind, roomId: this.#rooms[kind] ?? "", botUserId, encrypted: kind === "encrypted" };
      say({ kind: "row", row: await noticeRow(this.#sender, at) });
      for (const ask of scenario(this.#cast, kind)) say({ kind: "row", row: await this.#ask(kind, ask) });
    }
    say({ kind: "row", row: publicRoomRow(this.#sender.membership(publicRoom, botUserId)) });
    const events: AskedEvent[] = this.#sent.map(({ eventId, ask, where }) => ({ eventId, asked: ask.asked, where }));
    if (keysFile !== null) writeFileSync(keysFile, await this.#sender.crypto.exportRoomKeys(), { mode: 0o600 });
    say({ kind: "asked", events, rooms: this.#rooms });
  }

  /** The bot has stopped: what is not here now will never come. */
  async lookAgain(): Promise<void> {
    for (const roomId of Object.values(this.#rooms)) {
      const marker = await this.#sender.send(roomId, "org.example.marker", {}, { encrypted: false });
      await this.#sender.seen(marker);
    }
    const problems = this.#sent.flatMap(({ ask, eventId, where }) => {
      const verdict = judge(ask, this.#sender.responsesTo(eventId), this.#receivedBy(eventId), this.#judge(where));
      return verdict.problems.map((problem) => `${where}, ${ask.asked}: ${problem}`);
    });
    for (const [where, roomId] of Object.entries(this.#rooms)) {
      const said = noticesOf(this.#sender, roomId, this.#job.botUserId).length;
      if (said !== 1) problems.push(`${where}: the bot said ${said} times what it does there`);
    }
    const receipts = this.#sent.reduce((sum, { eventId }) => sum + this.#receivedBy(eventId).length, 0);
    const answers = this.#sent.reduce((sum, { eventId }) => sum + this.#sender.responsesTo(eventId).length, 0);
    say({ kind: "last look", problems, answers, receipts });
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
      await this.#sender.waitForReceipt(sent.eventId, ANSWER_MS).catch(() => undefined);
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
    const sentAtMs = Date.now();
    let eventId: string;
    if (ask.how === "late key") {
      const held = await this.#sender.sendHoldingKeys(roomId, ask.type, ask.content);
      eventId = held.eventId;
      // The bot has the event without its key once a later request in the other room is answered.
      await this.#answer(await this.#send("plain", fence(this.#cast)));
      await held.releaseKeys();
    } else if (ask.how === "replay") {
      const before = this.#sent.findLast((sent) => sent.ask.how === "late key");
      if (before === undefined) throw new Error("the scenario has nothing to replay");
      eventId = await this.#sender.sendReplay(before.eventId);
    } else {
      eventId = await this.#sender.send(roomId, ask.type, ask.content);
    }
    const sent = { ask, eventId, sentAtMs, where };
    this.#sent.push(sent);
    return sent;
  }

  /** Waits for an answer, not for the right one: what is wrong with it, the verdict says. */
  async #answer({ eventId }: Sent): Promise<void> {
    await this.#sender.waitForResponse(eventId, ANSWER_MS).catch(() => undefined);
  }

  #receivedBy(eventId: string): readonly string[] {
    return this.#sender.receiptsFor(eventId).map(({ userId }) => userId);
  }

  /** Both rooms are private, and by default senders in private encrypted rooms get receipts. */
  #judge(where: RoomKind): Judge {
    const { botUserId, botDevice, canary } = this.#job;
    const encryptedRoom = where === "encrypted";
    return { botUserId, botDevice, encryptedRoom, canary, receipts: encryptedRoom };
  }

  async #invite(kind: RoomKind | "public"): Promise<string> {
    return await this.#sender.createRoom({
      encrypted: kind === "encrypted",
      name: `Docket demo, ${kind}`,
      invite: [this.#job.botUserId],
      ...(kind === "public" ? { preset: "public_chat" } : {}),
    });
  }
}

let left = false;
let guardedPids: readonly number[] = [];
let conversation: Conversation | null = null;
let sender: Sender | null = null;

async function obey(message: ToSender): Promise<void> {
  switch (message.kind) {
    case "job": {
      guardedPids = message.guardedPids;
      sender = await Sender.login(message.baseUrl, message.user, message.password);
      await sender.start();
      conversation = new Conversation(message, sender);
      return await conversation.hold();
    }
    case "look again":
      return await conversation?.lookAgain();
    case "leave":
      left = true;
      await sender?.stop();
      process.exit(0);
  }
}

let turn: Promise<void> = Promise.resolve();
createInterface({ input: process.stdin })
  .on("line", (line) => {
    turn = turn
      .then(() => obey(JSON.parse(line) as ToSender))
      .catch((error: unknown) => {
        const cause = error instanceof Error && error.cause !== undefined ? ` (${String(error.cause)})` : "";
        say({ kind: "failed", message: `${error instanceof Error ? error.message : String(error)}${cause}` });
      });
  })
  .on("close", () => {
    if (left) return;
    for (const pid of guardedPids) {
      try {
        process.kill(pid, "SIGTERM");
      } catch {
        // It has ended already.
      }
    }
    process.exit(1);
  });
