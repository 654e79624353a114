/** The sender at its limits: a real outbox on real SQLite, and a homeserver that takes requests and never answers, or does at once. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { systemClock, type Clock } from "../../../src/clock.ts";
import { Cancelled, ServerUnreachable } from "../../../src/errors.ts";
import { Outbox } from "../../../src/journal/outbox.ts";
import { NO_END, type Draft } from "../../../src/journal/outboxEntry.ts";
import { silentLogger } from "../../../src/logging.ts";
import { Metrics } from "../../../src/metrics.ts";
import { Pause } from "../../../src/pipeline/outboxLoop.ts";
import { Sender, type SenderPorts } from "../../../src/pipeline/sender.ts";
import type { EventId, RoomId, TxnId } from "../../../src/protocol/ids.ts";
import { Vitals } from "../../../src/vitals.ts";
import { batch, openJournal, update } from "../../support/journal.ts";

const roomId = (place: number): RoomId => `!room${place}:example.org` as RoomId;
const draft = (fields: Pick<Draft, "causeEventId" | "lane" | "roomId" | "expiresAt">): Draft => ({
  ...fields,
  purpose: fields.lane,
  type: "org.example.message",
  content: { body: "hello" },
  mustEncrypt: false,
  txnId: fields.causeEventId as string as TxnId,
});

/** Rounds of the event loop, not time: a loop that does not rest does something in nearly each of them. */
async function rounds(count: number): Promise<void> {
  for (let round = 0; round < count; round += 1) await new Promise((resolve) => setImmediate(resolve));
}

function makeSender(
  lane: "response" | "notice",
  ports: Pick<SenderPorts, "outbox" | "rooms"> & {
    send: SenderPorts["homeserver"]["send"];
    clock?: Clock;
    notice?: SenderPorts["notice"];
  },
): Sender {
  const { outbox, rooms, send, clock = systemClock, notice = () => "hello" } = ports;
  return new Sender(
    lane,
    {
      outbox,
      rooms,
      engine: {} as SenderPorts["engine"],
      homeserver: { send } as SenderPorts["homeserver"],
      clock,
      log: silentLogger,
      metrics: new Metrics(),
      vitals: new Vitals(),
      onFailure: (error) => assert.fail(String(error)),
      drainMs: 0,
      sendMarginMs: () => 0,
      notice,
    },
    new Pause(),
  );
}

test("with every place taken and more waiting, the sender rests: it does not ask the outbox again and again", async (t) => {
  const { database, inbox, rooms } = openJournal(t);
  let claims = 0;
  class CountedOutbox extends Outbox {
    override claim(...want: Parameters<Outbox["claim"]>): ReturnType<Outbox["claim"]> {
      claims += 1;
      return super.claim(...want);
    }
  }
  const outbox = new CountedOutbox(database, systemClock);
  const roomIds = Array.from({ length: 8 }, (_, place) => roomId(place));
  await inbox.accept(batch({ rooms: roomIds.map((id) => update({ roomId: id })) }));
  const expiresAt = Date.now() + 60_000;
  outbox.enqueue(
    roomIds.flatMap((id) =>
      Array.from({ length: 6 }, (_, place) =>
        draft({ causeEventId: `$${id}${place}` as EventId, lane: "response", roomId: id, expiresAt }),
      ),
    ),
  );
  let sending = 0;
  const full = Promise.withResolvers<void>();
  const send: SenderPorts["homeserver"]["send"] = (_event, _txnId, signal) => {
    sending += 1;
    if (sending === 16) full.resolve();
    return new Promise<never>((_resolve, reject) => {
      signal.addEventListener("abort", () => reject(new Cancelled("the sender stops")));
    });
  };
  const sender = makeSender("response", { outbox, rooms, send });
  await sender.start();
  try {
    await full.promise;
    const before = claims;
    await rounds(2_000);
    assert(claims - before <= 2, `${claims - before} claims while nothing could be sent`);
    assert.equal(sending, 16);
  } finally {
    // Before the database is closed.
    await sender.stop();
  }
});

test("of many notices a few are sent, and the rest a minute later: answers need what the account may send", async (t) => {
  const { database, inbox, rooms } = openJournal(t);
  const outbox = new Outbox(database, systemClock);
  const roomIds = Array.from({ length: 10 }, (_, place) => roomId(place));
  await inbox.accept(batch({ rooms: roomIds.map((id) => update({ roomId: id })) }));
  outbox.enqueue(
    roomIds.map((id) =>
      draft({ causeEventId: id as string as EventId, lane: "notice", roomId: id, expiresAt: NO_END }),
    ),
  );
  let sent = 0;
  const few = Promise.withResolvers<void>();
  const send = async (): Promise<EventId> => {
    sent += 1;
    if (sent === 6) few.resolve();
    return `$notice${sent}` as EventId;
  };
  let minutes = 0;
  const clock: Clock = { ...systemClock, now: () => Date.now() + minutes * 60_000 };
  const sender = makeSender("notice", { outbox, rooms, send, clock });
  await sender.start();
  try {
    await few.promise;
    await rounds(500);
    assert.equal(sent, 6);
    minutes = 1;
    outbox.announce(["notice"]);
    while (sent < 10) await rounds(1);
  } finally {
    await sender.stop();
  }
});

test("a notice is not tried again in words that do not count any more, and its room is to be told", async (t) => {
  const { database, inbox, rooms } = openJournal(t);
  const outbox = new Outbox(database, systemClock);
  await inbox.accept(batch({ rooms: [update({ roomId: roomId(1) })] }));
  outbox.enqueue([
    draft({ causeEventId: roomId(1) as string as EventId, lane: "notice", roomId: roomId(1), expiresAt: NO_END }),
  ]);
  let words = "hello";
  let sends = 0;
  const send = async (): Promise<never> => {
    sends += 1;
    words = "other words";
    throw new ServerUnreachable("the reply is lost", { doubtful: true });
  };
  const sender = makeSender("notice", { outbox, rooms, send, notice: () => words });
  await sender.start();
  try {
    while (outbox.roomsWithout("notice").length === 0 && sends < 2) await rounds(1);
    assert.equal(sends, 1);
  } finally {
    await sender.stop();
  }
});
