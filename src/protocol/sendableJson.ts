/** What may stand in an event's content: canonical JSON (appendix of the Matrix specification), of bounded depth. */
import type { JsonValue } from "./json.ts";

/** Far more than any event needs; servers and clients parse recursively. */
const deepest = 64;

/**
 * Whether a server will take this value in an event. Room versions 6 and later refuse numbers that are not integers or not
 * exact; half of a surrogate pair has no UTF-8. Values from code outside may also be no JSON at all. Never throws.
 */
export function isSendable(value: unknown): value is JsonValue {
  return isSendableAt(value, 0);
}

function isSendableAt(value: unknown, depth: number): boolean {
  if (value === null || typeof value === "boolean") return true;
  if (typeof value === "string") return value.isWellFormed();
  if (typeof value === "number") return Number.isSafeInteger(value);
  if (typeof value !== "object" || depth >= deepest) return false;
  if (Array.isArray(value)) return value.every((item) => isSendableAt(item, depth + 1));
  const prototype: unknown = Object.getPrototypeOf(value);
  if (prototype !== Object.prototype && prototype !== null) return false;
  return Object.entries(value).every(([key, item]) => key.isWellFormed() && isSendableAt(item, depth + 1));
}

const encoder = new TextEncoder();

/** Bytes of a value as JSON in UTF-8. */
export function jsonSize(value: JsonValue): number {
  return encoder.encode(JSON.stringify(value)).length;
}
