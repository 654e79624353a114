/**
 * Owns `getMissingSessions`: one claim at a time for the whole engine, because the library remembers only the last one that
 * it handed out. A claim is asked for in parts, one for each server; servers that do not answer within the wait, or with
 * something that can't be read, are marked as failed, and the library leaves them alone for a while. The others' keys are used.
 */
import { UserId as LibraryUserId } from "@matrix-org/matrix-sdk-crypto-wasm";
import type { Clock } from "../clock.ts";
import { Cancelled, ServerUnreachable } from "../errors.ts";
import type { Homeserver } from "../matrix/homeserver.ts";
import { isJsonObject, type JsonObject } from "../protocol/json.ts";
import { readKeyRequest, sendKeyRequest } from "./keyRequest.ts";
import type { Machine } from "./machine.ts";
import { Mutex } from "./mutex.ts";
import { askParts, mergeResponses, serverOf, splitByServer, type Part } from "./perServer.ts";
import { markParts } from "./serverAnswers.ts";

export interface SessionClaimsOptions {
  readonly machine: Machine;
  readonly homeserver: Homeserver;
  readonly clock: Clock;
  readonly ownUserId: string;
  /** For the slowest server, in milliseconds. */
  readonly waitMs: number;
}

export class SessionClaims {
  private readonly options: SessionClaimsOptions;
  private readonly lock = new Mutex();

  constructor(options: SessionClaimsOptions) {
    this.options = options;
  }

  /**
   * Claims one-time keys for the devices of `users` that there is no Olm session with, and for those whose session broke
   * (with an empty list: for these alone).
   * @param users must have fresh device lists: the library blocks for seconds on others
   * @returns whether there was anything to claim
   * @throws ServerRefused | ServerUnreachable | Cancelled when our own homeserver did not answer, or not usably
   */
  claim(users: readonly string[], signal: AbortSignal): Promise<boolean> {
    return this.lock.run(() => this.claimInTurn(users, signal), signal);
  }

  private async claimInTurn(users: readonly string[], signal: AbortSignal): Promise<boolean> {
    const { machine, homeserver, clock, waitMs } = this.options;
    const missing = await machine.use(
      "getMissingSessions",
      (olm) => olm.getMissingSessions(users.map((user) => new LibraryUserId(user))),
      signal,
    );
    if (missing === null) return false;
    const request = readKeyRequest(missing);
    const wanted = isJsonObject(request.body["one_time_keys"]) ? request.body["one_time_keys"] : {};
    // What is still open after the wait is given up: a late answer could not be marked any more.
    const giveUp = new AbortController();
    const ask = (part: Part) =>
      sendKeyRequest(
        homeserver,
        { ...request, body: { ...request.body, one_time_keys: part } },
        { signal: AbortSignal.any([signal, giveUp.signal]), retry: "none" },
      );
    const parts = splitByServer(wanted, () => false);
    const answers = await askParts(parts, ask, { clock, waitMs, signal });
    giveUp.abort();
    if (signal.aborted) throw new Cancelled("Cancelled while one-time keys were claimed.");
    const timedOut = new ServerUnreachable("One-time keys could not be claimed in time.", { doubtful: true });
    const failed = [...answers.failed, ...answers.late.map(({ part }) => ({ part, error: timedOut }))];
    await markParts(machine, request, answers.answered, ({ usable, unusable }) => {
      const unread = unusable.map(({ answer, error }) => ({ part: answer.part, error }));
      const failures = this.failuresOf([...failed, ...unread]);
      const response = mergeResponses([...usable.map((answer) => answer.response), { failures }]);
      return { one_time_keys: {}, ...response };
    });
    return true;
  }

  /** @throws the error of our own homeserver: without its users' keys nothing is encrypted */
  private failuresOf(failed: readonly { readonly part: Part; readonly error: unknown }[]): JsonObject {
    const own = serverOf(this.options.ownUserId);
    const failures: Record<string, JsonObject> = {};
    for (const { part, error } of failed) {
      const servers = Object.keys(part).map(serverOf);
      if (servers.includes(own)) throw error;
      for (const server of servers) failures[server] = { status: 504 };
    }
    return failures;
  }
}
