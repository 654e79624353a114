/** Transaction IDs that a restart computes again, so that a server recognises a repeated send. */
import { createHash } from "node:crypto";
import type { EventId, TxnId } from "./ids.ts";

/**
 * The transaction ID for what the bot sends because of an event. Deterministic: the same after a restart. Servers deduplicate
 * by it whatever the event type, so each purpose gets its own: an ID reused for another purpose would silently send nothing.
 * @param eventId the event that is the cause
 * @param purpose a fixed name, such as `response`
 */
export function txnIdFor(eventId: EventId, purpose: string): TxnId {
  // As a JSON list, so that no two pairs read the same.
  const digest = createHash("sha256")
    .update(JSON.stringify([eventId, purpose]))
    .digest("base64url");
  return `docket-${digest}` as TxnId;
}
