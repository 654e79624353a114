/**
 * Asks about users of many servers in parts, one for each server, so that a server that never answers holds up nobody but
 * its own users: a homeserver answers `/keys/query` and `/keys/claim` only when the slowest of the servers asked has answered.
 */
import type { Clock } from "../clock.ts";
import { isJsonObject, type JsonObject } from "../protocol/json.ts";

/** More parts than this are not asked at once; servers then share parts. */
const MOST_PARTS = 16;

/** Users and what is asked about each. */
export type Part = JsonObject;

export interface PartsAnswered {
  readonly answered: readonly { readonly part: Part; readonly response: JsonObject }[];
  readonly failed: readonly { readonly part: Part; readonly error: unknown }[];
  /** Not answered within the wait; the promises go on. */
  readonly late: readonly { readonly part: Part; readonly response: Promise<JsonObject> }[];
}

/** `example.org` of `@user:example.org`. */
export function serverOf(userId: string): string {
  return userId.slice(userId.indexOf(":") + 1);
}

/**
 * @param perUser what is asked about each user, by user ID
 * @param alone users that have kept others waiting before: each is asked about on its own
 */
export function splitByServer(perUser: JsonObject, alone: (userId: string) => boolean): readonly Part[] {
  const parts = new Map<string, Record<string, JsonObject[string]>>();
  for (const [userId, wanted] of Object.entries(perUser)) {
    const wish = alone(userId) ? userId : serverOf(userId);
    const key = parts.has(wish) || parts.size < MOST_PARTS ? wish : ([...parts.keys()].at(-1) ?? wish);
    const part = parts.get(key) ?? {};
    part[userId] = wanted;
    parts.set(key, part);
  }
  return [...parts.values()];
}

/**
 * Asks all parts at once. Never rejects.
 * @param waitMs how long to wait for the slowest, in milliseconds
 */
export async function askParts(
  parts: readonly Part[],
  ask: (part: Part) => Promise<JsonObject>,
  { clock, waitMs, signal }: { clock: Clock; waitMs: number; signal: AbortSignal },
): Promise<PartsAnswered> {
  const answered: { part: Part; response: JsonObject }[] = [];
  const failed: { part: Part; error: unknown }[] = [];
  const open = new Map<Part, Promise<JsonObject>>();
  const done = new AbortController();
  const settled = parts.map(async (part) => {
    const response = ask(part);
    open.set(part, response);
    try {
      answered.push({ part, response: await response });
    } catch (error) {
      failed.push({ part, error });
    }
    open.delete(part);
  });
  await Promise.race([Promise.all(settled), clock.sleep(waitMs, AbortSignal.any([done.signal, signal]))]);
  done.abort();
  // Copies: what settles from here on belongs to `late`.
  return {
    answered: [...answered],
    failed: [...failed],
    late: [...open].map(([part, response]) => ({ part, response })),
  };
}

/** One response out of several: `{"a": {...}}` and `{"a": {...}}` become one `a` with the properties of both. */
export function mergeResponses(responses: readonly JsonObject[]): JsonObject {
  const merged: Record<string, JsonObject[string]> = {};
  for (const response of responses) {
    for (const [key, value] of Object.entries(response)) {
      const before = merged[key];
      merged[key] = isJsonObject(before) && isJsonObject(value) ? { ...before, ...value } : value;
    }
  }
  return merged;
}
