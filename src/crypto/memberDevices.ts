/**
 * Owns what is known about the device lists of others: whom the library follows, and whose server has not answered.
 *
 * Why: `shareRoomKey` silently leaves out users whose device list was never downloaded, and `getMissingSessions` blocks for
 * five seconds on them. So their `/keys/query` comes first, and a user whose server does not answer, or not so that it can be
 * read, is left alone for a while (queryPauses.ts), during which nobody waits for them; then they are asked again. A late answer
 * is used as soon as it comes. When our own homeserver fails, the background repeats the query after a pause.
 */
import { UserId as LibraryUserId } from "@matrix-org/matrix-sdk-crypto-wasm";
import type { Clock } from "../clock.ts";
import { ServerRefused, ServerUnreachable } from "../errors.ts";
import type { Logger } from "../logging.ts";
import type { Homeserver } from "../matrix/homeserver.ts";
import { isJsonObject, type JsonObject } from "../protocol/json.ts";
import { sendKeyRequest, type KeyRequest } from "./keyRequest.ts";
import type { Machine } from "./machine.ts";
import { askParts, mergeResponses, serverOf, splitByServer, type Part } from "./perServer.ts";
import { askedWaitMs, QueryPauses } from "./queryPauses.ts";
import { markAnswered, markParts } from "./serverAnswers.ts";

/** How long a late answer is still awaited in the background, in milliseconds. */
const LATE_ANSWER_MS = 30_000;

export interface MemberDevicesOptions {
  readonly machine: Machine;
  readonly homeserver: Homeserver;
  readonly clock: Clock;
  readonly log: Logger;
  readonly ownUserId: string;
  /** How long one query may hold up the next, in milliseconds. */
  readonly waitMs: number;
  readonly signal: AbortSignal;
  /** There may be somebody to ask, now or at another time than `nextDueInMs` said before. */
  readonly onDueChanged: () => void;
  /** Our own homeserver failed: the query is to be repeated after a pause. */
  readonly onFailure: (error: unknown) => void;
}

interface Failed {
  readonly part: Part;
  readonly error: unknown;
}

export class MemberDevices {
  private readonly options: MemberDevicesOptions;
  private readonly followed = new Set<string>();
  private readonly pauses: QueryPauses;
  private readonly beingAsked = new Set<string>();
  private readonly lateAnswers = new Set<Promise<void>>();
  /** Why our own homeserver did not answer the last query; null when it did. */
  private lastFailure: Error | null = null;

  constructor(options: MemberDevicesOptions) {
    this.options = options;
    this.pauses = new QueryPauses(options.clock);
  }

  /**
   * Has the library follow these users' device lists from now on.
   * @returns whether one of them is new
   */
  async follow(users: readonly string[], signal?: AbortSignal): Promise<boolean> {
    const fresh = users.filter((user) => !this.followed.has(user));
    if (fresh.length === 0) return false;
    await this.options.machine.use(
      "updateTrackedUsers",
      (olm) => olm.updateTrackedUsers(fresh.map((user) => new LibraryUserId(user))),
      signal,
    );
    for (const user of fresh) this.followed.add(user);
    return true;
  }

  /** No room is shared with them any more: the server stops telling of their devices. */
  forget(users: readonly string[]): void {
    for (const user of users) this.followed.delete(user);
    this.pauses.forget(users);
  }

  /** The library asks for these only: what is remembered of others' queries is of no use any more. */
  keepOnly(users: ReadonlySet<string>): void {
    this.pauses.keepOnly(users);
  }

  /** Their devices changed, or their server lives: ask again without further delay. */
  noteChanged(users: readonly string[]): void {
    this.pauses.endSilence(users);
  }

  /** Those of `users` whose last query was not answered. */
  unanswered(users: readonly string[]): readonly string[] {
    return users.filter((user) => this.pauses.isUnanswered(user) || this.beingAsked.has(user));
  }

  /** Those of `users` of whom no device is known at all. */
  async withoutDevices(users: readonly string[], signal?: AbortSignal): Promise<readonly string[]> {
    const without: string[] = [];
    for (const user of users) {
      const known = await this.options.machine.use(
        "getUserDevices",
        async (olm) => {
          const devices = await olm.getUserDevices(new LibraryUserId(user));
          const count = devices.keys().length;
          devices.free();
          return count;
        },
        signal,
      );
      if (known === 0) without.push(user);
    }
    return without;
  }

  /** What to tell a caller whom our own homeserver left without any answer. */
  get failure(): Error {
    const failure = this.lastFailure;
    if (failure instanceof ServerRefused && failure.retryAfterMs !== null) {
      const { message, status, errcode } = failure;
      // What is left of the wait; once it is over, the caller makes a pause of its own.
      const retryAfterMs = this.pauses.limitedForMs > 0 ? this.pauses.limitedForMs : null;
      return new ServerRefused(message, { status, errcode, retryAfterMs, cause: failure });
    }
    return failure ?? new ServerUnreachable("The members' devices could not be queried in time.", { doubtful: false });
  }

  /**
   * Sends one query of the library, in parts, and marks it with what was answered within the wait. Whom it is not time to ask
   * is left out. A server's failure is noted and told to `onFailure`, not thrown.
   * @throws CryptoPanicked | Cancelled
   */
  async query(request: KeyRequest): Promise<void> {
    const { machine, clock, waitMs, signal } = this.options;
    const asked = isJsonObject(request.body["device_keys"]) ? request.body["device_keys"] : {};
    const due = Object.fromEntries(Object.entries(asked).filter(([user]) => this.isDue(user)));
    if (Object.keys(due).length === 0) return;
    const parts = splitByServer(due, (user) => this.pauses.isSilent(user));
    for (const user of Object.keys(due)) this.beingAsked.add(user);
    const { answered, failed, late } = await askParts(parts, (part) => this.ask(request, part), {
      clock,
      waitMs,
      signal,
    });
    for (const { part, response } of late) {
      this.noteSilence(part, "no_answer");
      this.watch(request, part, response);
    }
    if (answered.length === 0) return this.noteFailures(failed);
    try {
      const { usable, unusable } = await markParts(machine, request, answered, (sorted) =>
        withoutFailures(mergeResponses(sorted.usable.map((answer) => answer.response))),
      );
      for (const { part, response } of usable) this.noteAnswer(part, response);
      const unread = unusable.map(({ answer, error }) => ({ part: answer.part, error }));
      const own = unread.filter(({ part }) => this.isOwn(part));
      for (const { part } of unread.filter((other) => !own.includes(other))) this.noteUnusable(part);
      this.noteFailures([...failed, ...own]);
    } catch (error) {
      if (!(error instanceof ServerUnreachable)) throw error;
      this.noteFailures([...failed, ...answered.map(({ part }) => ({ part, error }))]);
    }
  }

  /**
   * When somebody is to be asked again who has not answered, in milliseconds from now; null when there is nobody. Who is being
   * asked is left out (`onDueChanged` tells), and so is a query that our own homeserver failed: `onFailure` has been told.
   */
  get nextDueInMs(): number | null {
    return this.pauses.nextDueInMs(this.beingAsked);
  }

  /** Resolves when no answer is awaited any more. */
  async settled(): Promise<void> {
    await Promise.all(this.lateAnswers);
  }

  private isDue(user: string): boolean {
    return !this.beingAsked.has(user) && this.pauses.isDue(user);
  }

  private isOwn(part: Part): boolean {
    return Object.keys(part).some((user) => serverOf(user) === serverOf(this.options.ownUserId));
  }

  private ask(request: KeyRequest, part: Part): Promise<JsonObject> {
    const body = { ...request.body, device_keys: part };
    const { homeserver, signal } = this.options;
    return sendKeyRequest(homeserver, { ...request, body }, { signal, timeoutMs: LATE_ANSWER_MS, retry: "none" });
  }

  private noteAnswer(part: Part, response: JsonObject): void {
    const answers = isJsonObject(response["device_keys"]) ? response["device_keys"] : {};
    const missing: Part = Object.fromEntries(Object.entries(part).filter(([user]) => !(user in answers)));
    this.lastFailure = null;
    for (const user of Object.keys(part)) this.beingAsked.delete(user);
    this.pauses.forget(Object.keys(part).filter((user) => user in answers));
    // Left out means that their server failed; the library goes on asking for them, and so would every encryption.
    this.noteSilence(missing, "no_answer");
  }

  private noteSilence(part: Part, reason: "no_answer" | "unusable_answer"): void {
    const users = Object.keys(part);
    if (users.length === 0) return;
    this.pauses.noteSilence(users);
    const fields = { users: users.length, reason };
    this.options.log.warn(fields, "device lists could not be downloaded; they will be asked for again");
    this.options.onDueChanged();
  }

  private noteUnusable(part: Part): void {
    for (const user of Object.keys(part)) this.beingAsked.delete(user);
    this.noteSilence(part, "unusable_answer");
  }

  /** Our own homeserver failed, which says nothing about these users. */
  private noteFailures(failed: readonly Failed[]): void {
    const users = failed.flatMap(({ part }) => Object.keys(part));
    for (const user of users) this.beingAsked.delete(user);
    const [worst] = failed.map(({ error }) => error).sort((a, b) => askedWaitMs(b) - askedWaitMs(a));
    if (worst === undefined) return;
    this.lastFailure = worst instanceof Error ? worst : null;
    this.pauses.noteFailure(users, worst);
    this.options.onFailure(worst);
  }

  private watch(request: KeyRequest, part: Part, late: Promise<JsonObject>): void {
    const { machine, onDueChanged } = this.options;
    const watched = (async () => {
      try {
        const response = await late;
        // The library saves the devices; it will ask once more, since this request is no longer its latest.
        await markAnswered(machine, request, withoutFailures(response));
        this.noteAnswer(part, response);
      } catch (error) {
        if (this.isOwn(part) && error instanceof Error) this.lastFailure = error;
        this.pauses.noteFailure([], error);
        for (const user of Object.keys(part)) this.beingAsked.delete(user);
      }
      onDueChanged();
    })();
    this.lateAnswers.add(watched);
    void watched.then(() => this.lateAnswers.delete(watched));
  }
}

/** The users whose devices a `/keys/query` asks about. */
export function usersAsked(request: KeyRequest): string[] {
  const asked = request.body["device_keys"];
  return isJsonObject(asked) ? Object.keys(asked) : [];
}

/** With them the library would make pauses of its own, which we could not end when a server is back. */
function withoutFailures(response: JsonObject): JsonObject {
  const { failures: _, ...answers } = response;
  return answers;
}
