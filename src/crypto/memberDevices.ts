/**
 * Owns what is known about the device lists of others: whom the library follows, and whose server has not answered.
 *
 * Why: `shareRoomKey` silently leaves out users whose device list was never downloaded, and `getMissingSessions` blocks for
 * five seconds on them. So their `/keys/query` comes first, and a user whose server does not answer is left alone for a while
 * (15 s, doubling to 15 min), during which nobody waits for them; then they are asked again.
 * A late answer is used as soon as it comes.
 */
import { RequestType, UserId as LibraryUserId } from "@matrix-org/matrix-sdk-crypto-wasm";
import type { Clock, EpochMs } from "../clock.ts";
import { DocketError, ServerUnreachable } from "../errors.ts";
import type { Logger } from "../logging.ts";
import type { Homeserver } from "../matrix/homeserver.ts";
import { isJsonObject, type JsonObject } from "../protocol/json.ts";
import { sendKeyRequest, type KeyRequest } from "./keyRequest.ts";
import type { Machine } from "./machine.ts";
import { askParts, mergeResponses, serverOf, splitByServer, type Part } from "./perServer.ts";

/** How long a late answer is still awaited in the background, in milliseconds. */
const LATE_ANSWER_MS = 30_000;
const FIRST_PAUSE_MS = 15_000;
const LONGEST_PAUSE_MS = 15 * 60_000;

export interface MemberDevicesOptions {
  readonly machine: Machine;
  readonly homeserver: Homeserver;
  readonly clock: Clock;
  readonly log: Logger;
  readonly ownUserId: string;
  /** How long one query may hold up the next, in milliseconds. */
  readonly waitMs: number;
  readonly signal: AbortSignal;
  /** The library wants to ask once more. */
  readonly onLateAnswer: () => void;
}

interface Silence {
  readonly failures: number;
  readonly notBefore: EpochMs;
}

export class MemberDevices {
  private readonly options: MemberDevicesOptions;
  private readonly followed = new Set<string>();
  private readonly silent = new Map<string, Silence>();
  private readonly beingAsked = new Set<string>();
  private readonly lateAnswers = new Set<Promise<void>>();
  /** Why our own homeserver did not answer the last query; null when it did. */
  private lastFailure: Error | null = null;

  constructor(options: MemberDevicesOptions) {
    this.options = options;
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
    for (const user of users) {
      this.followed.delete(user);
      this.silent.delete(user);
    }
  }

  /** Their devices changed, or their server lives: ask again without further delay. */
  noteChanged(users: readonly string[]): void {
    for (const user of users) this.silent.delete(user);
  }

  /** Those of `users` whose last query was not answered. */
  unanswered(users: readonly string[]): readonly string[] {
    return users.filter((user) => this.silent.has(user) || this.beingAsked.has(user));
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
    return (
      this.lastFailure ??
      new ServerUnreachable("The members' devices could not be queried in time.", { doubtful: false })
    );
  }

  /**
   * Sends one query of the library, in parts, and marks it with what was answered within the wait. Never rejects for a
   * server's failure.
   * @returns whether everybody whom it was time to ask has answered
   */
  async query(request: KeyRequest): Promise<boolean> {
    const { clock, waitMs, signal } = this.options;
    const asked = isJsonObject(request.body["device_keys"]) ? request.body["device_keys"] : {};
    const due = Object.fromEntries(Object.entries(asked).filter(([user]) => this.isDue(user)));
    if (Object.keys(due).length === 0) return true;
    const parts = splitByServer(due, (user) => (this.silent.get(user)?.failures ?? 0) > 0);
    for (const user of Object.keys(due)) this.beingAsked.add(user);
    const answers = await askParts(parts, (part) => this.ask(request, part), { clock, waitMs, signal });
    const response = mergeResponses(answers.answered.map((answer) => answer.response));
    for (const { part, error } of answers.failed) this.noteFailure(part, error);
    for (const { part, response: late } of answers.late) {
      this.noteSilence(part);
      this.watch(request, part, late);
    }
    if (answers.answered.length === 0) return false;
    try {
      await this.mark(request, response);
      for (const { part } of answers.answered) this.noteAnswer(part, response);
    } catch (error) {
      if (error instanceof DocketError) throw error;
      for (const { part } of answers.answered) this.noteFailure(part, unusableAnswer(error));
      return false;
    }
    return answers.failed.length === 0 && answers.late.length === 0;
  }

  /** When the next silent user is to be asked again, in milliseconds from now; null when nobody is silent. */
  get nextDueInMs(): number | null {
    const due = [...this.silent.values()].map((silence) => silence.notBefore - this.options.clock.now());
    return due.length === 0 ? null : Math.max(0, Math.min(...due));
  }

  /** Resolves when no answer is awaited any more. */
  async settled(): Promise<void> {
    await Promise.all(this.lateAnswers);
  }

  private isDue(user: string): boolean {
    return !this.beingAsked.has(user) && (this.silent.get(user)?.notBefore ?? 0) <= this.options.clock.now();
  }

  private ask(request: KeyRequest, part: Part): Promise<JsonObject> {
    const body = { ...request.body, device_keys: part };
    const { homeserver, signal } = this.options;
    return sendKeyRequest(homeserver, { ...request, body }, { signal, timeoutMs: LATE_ANSWER_MS, retry: "none" });
  }

  /** Without the failures: the library would make pauses of its own, which we could not end when a server is back. */
  private async mark(request: KeyRequest, response: JsonObject): Promise<void> {
    const { failures: _, ...answers } = response;
    await this.options.machine.use("markRequestAsSent", (olm) =>
      olm.markRequestAsSent(request.id, RequestType.KeysQuery, JSON.stringify(answers)),
    );
  }

  private noteAnswer(part: Part, response: JsonObject): void {
    const answers = isJsonObject(response["device_keys"]) ? response["device_keys"] : {};
    const missing: Part = Object.fromEntries(Object.entries(part).filter(([user]) => !(user in answers)));
    this.lastFailure = null;
    for (const user of Object.keys(part)) {
      this.beingAsked.delete(user);
      if (user in answers) this.silent.delete(user);
    }
    // Left out means that their server failed; the library goes on asking for them, and so would every encryption.
    this.noteSilence(missing);
  }

  private noteSilence(part: Part): void {
    const now = this.options.clock.now();
    for (const user of Object.keys(part)) {
      const failures = (this.silent.get(user)?.failures ?? 0) + 1;
      const pauseMs = Math.min(FIRST_PAUSE_MS * 2 ** (failures - 1), LONGEST_PAUSE_MS);
      this.silent.set(user, { failures, notBefore: now + pauseMs });
    }
    const users = Object.keys(part).length;
    if (users > 0)
      this.options.log.warn(
        { users, reason: "no_answer" },
        "device lists could not be downloaded; they will be asked for again",
      );
  }

  /** Our own homeserver failed, which says nothing about these users: the background repeats the query after its own pause. */
  private noteFailure(part: Part, error: unknown): void {
    this.lastFailure = error instanceof Error ? error : null;
    for (const user of Object.keys(part)) {
      this.beingAsked.delete(user);
      const before = this.silent.get(user);
      this.silent.set(user, { failures: before?.failures ?? 0, notBefore: before?.notBefore ?? 0 });
    }
  }

  private watch(request: KeyRequest, part: Part, late: Promise<JsonObject>): void {
    const { ownUserId } = this.options;
    const local = Object.keys(part).some((user) => serverOf(user) === serverOf(ownUserId));
    const watched = (async () => {
      try {
        const response = await late;
        // The library saves the devices; it will ask once more, since this request is no longer its latest.
        await this.mark(request, response);
        this.noteAnswer(part, response);
        this.options.onLateAnswer();
      } catch (error) {
        if (local && error instanceof Error) this.lastFailure = error;
        for (const user of Object.keys(part)) this.beingAsked.delete(user);
      }
    })();
    this.lateAnswers.add(watched);
    void watched.then(() => this.lateAnswers.delete(watched));
  }
}

/** The library could not read the answer. Its error quotes what it read, so it stays out of the message. */
function unusableAnswer(cause: unknown): ServerUnreachable {
  return new ServerUnreachable("The homeserver's answer to /keys/query is not usable.", { doubtful: false, cause });
}
