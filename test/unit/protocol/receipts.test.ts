/** Which events are owed a delivery receipt, and which servers take one. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import {
  owesReceipt,
  readReceipts,
  receiptSupport,
  type ReceiptRooms,
  type ReceivedEvent,
} from "../../../src/protocol/receipts.ts";

const received: ReceivedEvent = {
  own: false,
  state: false,
  beforeJoin: false,
  replay: false,
  redacted: false,
  room: { everEncrypted: true, joinRule: "invite" },
};

describe("a receipt", () => {
  const rooms = {
    "a private encrypted room": { everEncrypted: true, joinRule: "invite" },
    "a private plain room": { everEncrypted: false, joinRule: "knock" },
    "a public encrypted room": { everEncrypted: true, joinRule: "public" },
    "a public plain room": { everEncrypted: false, joinRule: "public" },
  };
  const owed: Readonly<Record<ReceiptRooms, readonly (keyof typeof rooms)[]>> = {
    none: [],
    private_encrypted: ["a private encrypted room"],
    private: ["a private encrypted room", "a private plain room"],
    all: Object.keys(rooms) as (keyof typeof rooms)[],
  };
  for (const [choice, where] of Object.entries(owed))
    for (const [name, room] of Object.entries(rooms)) {
      const expected = (where as readonly string[]).includes(name);
      it(`is ${expected ? "owed" : "not owed"} in ${name} where the operator chose ${choice}`, () => {
        assert.equal(owesReceipt({ ...received, room }, choice as ReceiptRooms), expected);
      });
    }

  for (const fact of ["own", "state", "beforeJoin", "replay", "redacted"] as const)
    it(`is never owed for an event with the fact "${fact}", whatever the operator chose`, () => {
      assert.equal(owesReceipt({ ...received, [fact]: true }, "all"), false);
    });

  it("is not owed where nothing is known of the room", () => {
    assert.equal(owesReceipt({ ...received, room: null }, "all"), false);
  });
});

describe("a server takes receipts", () => {
  const server = (unstableFeatures: Record<string, boolean>, ...versions: string[]) => ({ versions, unstableFeatures });

  it("where it sets the feature flag, and by nothing else", () => {
    assert.equal(receiptSupport(server({ "org.matrix.msc4089": true }, "v1.18")), "unstable");
    assert.equal(receiptSupport(server({ "org.matrix.msc4089": false }, "v1.18")), "none");
    assert.equal(receiptSupport(server({}, "v1.18")), "none");
    assert.equal(receiptSupport(server({})), "none");
  });

  it("under the stable name at once, where it speaks a version of the specification that has them", () => {
    assert.equal(receiptSupport(server({}, "v1.18", "v9.9"), new Set(["v9.9"])), "released");
  });
});

describe("receipts that are read", () => {
  const read = (content: unknown, type = "m.receipt"): unknown =>
    readReceipts({ type, content } as Parameters<typeof readReceipts>[0]).map(({ eventId, userId }) => [
      eventId,
      userId,
    ]);

  it("are those of delivery, under both names, each user once; read receipts are none", () => {
    const byUser = { "@a:b": { ts: 1 } };
    const content = {
      $one: {
        "m.delivery": byUser,
        "org.matrix.msc4089.delivery": { ...byUser, "@c:d": {} },
        "m.read": { "@e:f": {} },
      },
      $two: { "m.read": byUser, "m.read.private": byUser },
    };
    assert.deepEqual(read(content), [
      ["$one", "@a:b"],
      ["$one", "@c:d"],
    ]);
    assert.deepEqual(read(content, "m.typing"), []);
  });

  it("are passed over where they can't be read", () => {
    for (const content of [null, [], { $a: 1 }, { $a: { "m.delivery": [] } }]) assert.deepEqual(read(content), []);
  });
});
