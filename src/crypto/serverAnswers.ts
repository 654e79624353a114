/**
 * Hands the homeserver's answers to the library. The library reads an answer as a whole and refuses all of it for one wrong
 * entry; and what stands in an answer about devices comes from many servers. So an answer that came in parts is used without
 * the parts that can't be read. Guarantee: an answer, however broken, is a failure of the server and never one of the bot.
 */
import { randomUUID } from "node:crypto";
import { RequestType } from "@matrix-org/matrix-sdk-crypto-wasm";
import { DocketError, ServerUnreachable } from "../errors.ts";
import type { JsonObject } from "../protocol/json.ts";
import type { KeyRequest } from "./keyRequest.ts";
import type { Machine } from "./machine.ts";

/** The request that was answered. */
export type Answered = Pick<KeyRequest, "id" | "type">;

/**
 * Tells the library that a request was answered. Waits for its turn without a signal: what the server has done is marked.
 * @throws ServerUnreachable the library can't read the answer; it has changed nothing then; CryptoPanicked | Cancelled
 */
export async function markAnswered(machine: Machine, { id, type }: Answered, response: JsonObject): Promise<void> {
  try {
    await machine.use("markRequestAsSent", (olm) => olm.markRequestAsSent(id, type, JSON.stringify(response)));
  } catch (error) {
    throw error instanceof DocketError ? error : unusable(type, error);
  }
}

export interface Sorted<Answer> {
  readonly usable: readonly Answer[];
  readonly unusable: readonly { readonly answer: Answer; readonly error: ServerUnreachable }[];
}

/**
 * Marks a `/keys/query` or `/keys/claim` that was asked in parts with all answers that the library can read.
 * @param whole makes one response of the answers; called again, and told why, when some can't be used
 * @throws ServerUnreachable nothing can be used, nothing was marked; CryptoPanicked | Cancelled; what `whole` throws
 */
export async function markParts<Answer extends { readonly response: JsonObject }>(
  machine: Machine,
  request: Answered,
  answers: readonly Answer[],
  whole: (sorted: Sorted<Answer>) => JsonObject,
): Promise<Sorted<Answer>> {
  const all: Sorted<Answer> = { usable: answers, unusable: [] };
  const response = whole(all);
  try {
    await markAnswered(machine, request, response);
    return all;
  } catch (error) {
    if (!(error instanceof ServerUnreachable)) throw error;
    const readable = await Promise.all(answers.map((answer) => isReadable(machine, request.type, answer.response)));
    const sorted: Sorted<Answer> = {
      usable: answers.filter((_, index) => readable[index]),
      unusable: answers.filter((_, index) => !readable[index]).map((answer) => ({ answer, error })),
    };
    await markAnswered(machine, request, whole(sorted));
    return sorted;
  }
}

/**
 * Whether the library can read an answer, without having it act on it. It stops at the first thing that it can't read and
 * quotes that: so a last member is added that it can't read, which no server can know.
 */
async function isReadable(machine: Machine, type: RequestType, response: JsonObject): Promise<boolean> {
  const { failures: _, ...read } = response;
  const mark = randomUUID();
  const probe = JSON.stringify({ device_keys: {}, one_time_keys: {}, ...read, failures: mark });
  try {
    await machine.use("markRequestAsSent", (olm) => olm.markRequestAsSent(mark, type, probe));
    return false;
  } catch (error) {
    if (error instanceof DocketError) throw error;
    return error instanceof Error && error.message.includes(mark);
  }
}

/** The library's error quotes what it read, so it stays out of the message. */
function unusable(type: RequestType, cause: unknown): ServerUnreachable {
  return new ServerUnreachable(
    `The homeserver's answer to a key request (${RequestType[type]}) is not usable; it will be asked again.`,
    { doubtful: false, cause },
  );
}
