/** Transaction IDs that a restart computes again. */
import assert from "node:assert/strict";
import { it } from "node:test";
import type { EventId } from "../../../src/protocol/ids.ts";
import { txnIdFor } from "../../../src/protocol/transactionIds.ts";

const id = (text: string): EventId => text as EventId;

it("a transaction ID is the same after a restart, and in every version from now on", () => {
  assert.equal(txnIdFor(id("$event"), "response"), "docket-9yO4aMM8GKYNd36q1FLWrEGqrIrc3CTSVbWC3YKHu5g");
});

it("a transaction ID is another for another event or another purpose", () => {
  const ids = [
    txnIdFor(id("$a"), "response"),
    txnIdFor(id("$b"), "response"),
    txnIdFor(id("$a"), "notice"),
    txnIdFor(id("$ar"), "esponse"),
  ];
  assert.equal(new Set(ids).size, ids.length);
});

it("a transaction ID needs no escaping in a path, whatever the event ID is", () => {
  assert.match(txnIdFor(id("$old/room version:example.org?"), "response"), /^docket-[A-Za-z0-9_-]{43}$/);
});
