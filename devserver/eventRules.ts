/** What Synapse demands of an event that a client sends, beyond the right to send it. */
import { isDeepStrictEqual } from "node:util";
import { isJsonObject, type JsonValue } from "../src/protocol/json.ts";
import { MatrixError, badJson } from "./matrixError.ts";
import type { Draft, Room } from "./room.ts";

/** The largest event that a homeserver accepts, in bytes. */
const LARGEST_EVENT_BYTES = 65_536;
/** What the server adds to a client's content: IDs, hashes, signatures, references. */
const ADDED_BYTES = 1024;
/** Of a type and of a state key. */
const LONGEST_NAME_BYTES = 255;

/** Properties of the content that must be there, as text. */
const TEXT_NEEDED: Readonly<Record<string, readonly string[]>> = {
  "m.room.message": ["body", "msgtype"],
  "m.room.name": ["name"],
  "m.room.topic": ["topic"],
};

/** @throws MatrixError `M_UNKNOWN`, `M_BAD_JSON`, `M_TOO_LARGE`, `M_DUPLICATE_ANNOTATION` */
export function checkEvent(room: Room, draft: Draft): void {
  for (const name of TEXT_NEEDED[draft.type] ?? [])
    if (typeof draft.content[name] !== "string") throw new MatrixError(400, "M_UNKNOWN", `'${name}' not in content`);
  checkNumbers(draft.content);
  for (const name of [draft.type, draft.stateKey ?? ""])
    if (Buffer.byteLength(name) > LONGEST_NAME_BYTES) throw tooLarge();
  if (Buffer.byteLength(JSON.stringify(draft.content)) > LARGEST_EVENT_BYTES - ADDED_BYTES) throw tooLarge();
  checkRelation(room, draft);
}

/** @returns the state event that this one would only repeat */
export function repeatedState(room: Room, draft: Draft): string | undefined {
  if (draft.stateKey === undefined) return undefined;
  const event = room.state(draft.type, draft.stateKey)?.current;
  if (!isJsonObject(event) || event["sender"] !== draft.sender) return undefined;
  return isDeepStrictEqual(event["content"], draft.content) ? String(event["event_id"]) : undefined;
}

/** What every room version from 6 on demands of numbers. */
function checkNumbers(value: JsonValue): void {
  if (typeof value === "number") {
    if (!Number.isInteger(value)) throw badJson("Bad JSON value: float");
    if (!Number.isSafeInteger(value)) throw badJson("JSON integer out of range");
  } else if (typeof value === "object" && value !== null) Object.values(value).forEach(checkNumbers);
}

function checkRelation(room: Room, { type, sender, content }: Draft): void {
  const relation = relationOf(content);
  if (relation === null) return;
  const related = room.references(relation.eventId);
  if (room.event(relation.eventId) === undefined && related.length === 0)
    throw new MatrixError(400, "M_UNKNOWN", "Can't send relation to unknown event");
  if (relation.type !== "m.annotation") return;
  const same = related.some(({ current }) => {
    if (!isJsonObject(current) || current["type"] !== type || current["sender"] !== sender) return false;
    const other = relationOf(current["content"]);
    return other?.type === relation.type && other.key === relation.key;
  });
  if (same) throw new MatrixError(400, "M_DUPLICATE_ANNOTATION", "Can't send same reaction twice");
}

function relationOf(
  content: JsonValue | undefined,
): { readonly type: string; readonly eventId: string; readonly key: JsonValue } | null {
  const relation = isJsonObject(content) ? content["m.relates_to"] : undefined;
  if (!isJsonObject(relation)) return null;
  const { rel_type: type, event_id: eventId, key } = relation;
  return typeof type === "string" && typeof eventId === "string" ? { type, eventId, key: key ?? null } : null;
}

function tooLarge(): MatrixError {
  return new MatrixError(413, "M_TOO_LARGE", "event too large");
}
