/** The sender at its limits: a real outbox on real SQLite, and a homeserver that takes requests and never answers. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { systemClock, type Clock } from "../../../src/clock.ts";
import { Cancelled } from "../../../src/errors.ts";
import { NO_END, Outbox } from "../../../src/journal/outbox.ts";
import { silentLogger } from "../../../src/logging.ts";
import { Metrics } from "../../../src/metrics.ts";
import { Pause } from "../../../src/pipeline/outboxLoop.ts";
import { Sender, type SenderPorts } from "../../../src/pipeline/sender.ts";
import type { EventId, RoomId, TxnId } from "../../../src/protocol/ids.ts";
import { batch, openJournal, update } from "../../support/journal.ts";

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
  const roomIds = Array.from({ length: 8 }, (_, place) => `!room${place}:example.org` as RoomId);
  await inbox.accept(batch({ rooms: roomIds.map((roomId) => update({ roomId })) }));
  const drafts = roomIds.flatMap((roomId) =>
    Array.from({ length: 6 }, (_, place) => ({
      causeEventId: `$${roomId}${place}` as EventId,
      purpose: "response",
      lane: "response" as const,
      roomId,
      type: "m.response.status",
      content: {},
      mustEncrypt: false,
      txnId: `${roomId}${place}` as TxnId,
      expiresAt: Date.now() + 60_000,
    })),
  );
  outbox.insert(drafts, Date.now());
  let sending = 0;
  const full = Promise.withResolvers<void>();
  const homeserver = {
    send: (_event: unknown, _txnId: unknown, signal: AbortSignal) => {
      sending += 1;
      if (sending === 16) full.resolve();
      return new Promise<never>((_resolve, reject) => {
        signal.addEventListener("abort", () => reject(new Cancelled("the sender stops")));
      });
    },
  } as unknown as SenderPorts["homeserver"];
  const sender = new Sender(
    "response",
    {
      outbox,
      rooms,
      engine: {} as SenderPorts["engine"],
      homeserver,
      clock: systemClock,
      log: silentLogger,
      metrics: new Metrics(),
      onFailure: (error) => assert.fail(String(error)),
      drainMs: 0,
      sendMarginMs: () => 0,
    },
    new Pause(),
  );
  await sender.start();
  try {
    await full.promise;
    const before = claims;
    // Rounds of the event loop, not time: a loop that does not rest takes a place in nearly each of them.
    for (let round = 0; round < 2_000; round += 1) await new Promise((resolve) => setImmediate(resolve));
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
  const roomIds = Array.from({ length: 10 }, (_, place) => `!room${place}:example.org` as RoomId);
  await inbox.accept(batch({ rooms: roomIds.map((roomId) => update({ roomId })) }));
  outbox.enqueue(
    roomIds.map((roomId) => ({
      causeEventId: roomId as string as EventId,
      purpose: "join_notice",
      lane: "notice",
      roomId,
      type: "m.room.message",
      content: { body: "hello" },
      mustEncrypt: false,
      txnId: roomId as string as TxnId,
      expiresAt: NO_END,
    })),
  );
  let sent = 0;
  const few = Promise.withResolvers<void>();
  let minutes = 0;
  const clock: Clock = { ...systemClock, now: () => Date.now() + minutes * 60_000 };
  const homeserver = {
    send: async () => {
      sent += 1;
      if (sent === 6) few.resolve();
      return `$notice${sent}` as EventId;
    },
  } as unknown as SenderPorts["homeserver"];
  const sender = new Sender(
    "notice",
    {
      outbox,
      rooms,
      engine: {} as SenderPorts["engine"],
      homeserver,
      clock,
      log: silentLogger,
      metrics: new Metrics(),
      onFailure: (error) => assert.fail(String(error)),
      drainMs: 0,
      sendMarginMs: () => 0,
    },
    new Pause(),
  );
  await sender.start();
  try {
    await few.promise;
    for (let round = 0; round < 500; round += 1) await new Promise((resolve) => setImmediate(resolve));
    assert.equal(sent, 6);
    minutes = 1;
    outbox.announce();
    while (sent < 10) await new Promise((resolve) => setImmediate(resolve));
  } finally {
    await sender.stop();
  }
});
