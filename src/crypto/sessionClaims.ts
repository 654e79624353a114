/**
 * Owns `getMissingSessions`: one claim at a time for the whole engine, because the library remembers only the last one that
 * it handed out. A claim is asked for in parts, one for each server; servers that do not answer within the wait are marked as
 * failed, and the library leaves them alone for a while.
 */
import { RequestType, UserId as LibraryUserId } from "@matrix-org/matrix-sdk-crypto-wasm";
import type { Clock } from "../clock.ts";
import { Cancelled, ServerUnreachable } from "../errors.ts";
import type { Homeserver } from "../matrix/homeserver.ts";
import { isJsonObject } from "../protocol/json.ts";
import { readKeyRequest, sendKeyRequest } from "./keyRequest.ts";
import type { Machine } from "./machine.ts";
import { Mutex } from "./mutex.ts";
import { askParts, mergeResponses, serverOf, splitByServer, type Part } from "./perServer.ts";

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
   * @throws ServerRefused | ServerUnreachable | Cancelled when our own homeserver did not answer
   */
  claim(users: readonly string[], signal: AbortSignal): Promise<boolean> {
    return this.lock.run(() => this.claimInTurn(users, signal), signal);
  }

  private async claimInTurn(users: readonly string[], signal: AbortSignal): Promise<boolean> {
    const { machine, homeserver, clock, waitMs, ownUserId } = this.options;
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
    const failures: Record<string, { status: number }> = {};
    const timedOut = new ServerUnreachable("One-time keys could not be claimed in time.", { doubtful: true });
    for (const { part, error } of [...answers.failed, ...answers.late.map(({ part }) => ({ part, error: timedOut }))]) {
      const servers = Object.keys(part).map(serverOf);
      if (servers.includes(serverOf(ownUserId))) throw error;
      for (const server of servers) failures[server] = { status: 504 };
    }
    const response = mergeResponses([...answers.answered.map((answer) => answer.response), { failures }]);
    await machine.use("markRequestAsSent", (olm) =>
      olm.markRequestAsSent(request.id, RequestType.KeysClaim, JSON.stringify({ one_time_keys: {}, ...response })),
    );
    return true;
  }
}
