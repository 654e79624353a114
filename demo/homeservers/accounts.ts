/**
 * The two accounts of a run: signed in as new devices, and, where they are somebody's, left as they were found by `release`, however
 * far it came.
 */
import { DemoFailure, EXIT } from "../demoFailure.ts";
import { PASSWORDS } from "../demoOptions.ts";
import { useEnvironmentProxy } from "../sender/environmentProxy.ts";
import { type Limited, MatrixHttp } from "../sender/matrixHttp.ts";
import type { DemoHomeserver } from "./homeserver.ts";
import { type Guest, isDemoRoom, joinedRooms, leave, leaveAsFound, openInvites } from "./leaveAsFound.ts";
import { requirePasswordSignIn, signIn } from "./signIn.ts";

const DEVICES = {
  bot: { prefix: "docketdemo", name: "Docket demo: the bot" },
  sender: { prefix: "senderdemo", name: "Docket demo: the sender" },
} as const;
/** For all that is left to do at the end; a rate limit may ask for some seconds for each room. */
const RELEASE_MS = 120_000;

export class Accounts {
  readonly #homeserver: DemoHomeserver;
  readonly #note: (text: string) => void;
  readonly #guests: Guest[] = [];

  /** @param note told of long waits */
  constructor(homeserver: DemoHomeserver, note: (text: string) => void) {
    this.#homeserver = homeserver;
    this.#note = note;
  }

  /** Those that are to be left as they were found. */
  get guests(): readonly Guest[] {
    return this.#homeserver.foreign ? this.#guests : [];
  }

  /**
   * @param patience ends waits for rate limits
   * @throws DemoFailure one can't be signed in, both are the same, or the bot's is in rooms that are not the demo's
   */
  async signIn(patience: AbortSignal): Promise<{ readonly bot: Guest; readonly sender: Guest }> {
    const { foreign, baseUrl } = this.#homeserver;
    useEnvironmentProxy(baseUrl);
    if (foreign) await requirePasswordSignIn(new MatrixHttp(baseUrl));
    const bot = await this.#signIn("bot", patience);
    patience.throwIfAborted();
    const sender = await this.#signIn("sender", patience);
    if (bot.userId === sender.userId)
      throw new DemoFailure(EXIT.usage, `--bot and --sender are the same account, ${bot.userId}: the demo needs two.`);
    if (!foreign) return { bot, sender };
    await this.#clearRemains(bot, sender);
    return { bot, sender };
  }

  /**
   * Undoes what is to be undone.
   * @param giveUp ends it early
   * @returns what could not be done, in sentences
   */
  async release(giveUp: AbortSignal): Promise<readonly string[]> {
    const guests = this.#guests.splice(0);
    const { foreign, baseUrl } = this.#homeserver;
    if (!foreign || guests.length === 0) return [];
    this.#note("leaving the rooms and signing out (Ctrl-C ends that at once)");
    return await leaveAsFound(baseUrl, guests, AbortSignal.any([giveUp, AbortSignal.timeout(RELEASE_MS)]));
  }

  async #signIn(role: "bot" | "sender", patience: AbortSignal): Promise<Guest> {
    const { baseUrl } = this.#homeserver;
    const account = this.#homeserver[role];
    const http = new MatrixHttp(baseUrl);
    http.onLimited = ({ waitMs }: Limited): void => {
      const seconds = Math.ceil(waitMs / 1000);
      this.#note(`the homeserver limits how often one may sign in: waiting ${seconds} s, as it asks`);
    };
    const session = await signIn(http, account, DEVICES[role], PASSWORDS[role], patience);
    // Known from here on, so that it is signed out whatever comes next.
    const index = this.#guests.push({ ...session, roomsBefore: [] }) - 1;
    const guest = { ...session, roomsBefore: await joinedRooms(new MatrixHttp(baseUrl, session.accessToken)) };
    this.#guests[index] = guest;
    return guest;
  }

  /** Rooms of a run that was killed are left. In any others the bot would record and answer what nobody meant for it. */
  async #clearRemains(bot: Guest, sender: Guest): Promise<void> {
    const { baseUrl } = this.#homeserver;
    const botHttp = new MatrixHttp(baseUrl, bot.accessToken);
    const senderHttp = new MatrixHttp(baseUrl, sender.accessToken);
    const remains: string[] = [];
    const others: string[] = [];
    for (const roomId of bot.roomsBefore) {
      ((await isDemoRoom(botHttp, roomId)) ? remains : others).push(roomId);
    }
    for (const { roomId, inviter, marked } of await openInvites(botHttp, bot.userId)) {
      if (marked) remains.push(roomId);
      // Nobody else's are accepted: see the configuration.
      else if (inviter === sender.userId) others.push(roomId);
    }
    if (others.length > 0) {
      const where = others.length === 1 ? `the room ${others[0] ?? ""}` : `${others.length} rooms`;
      throw new DemoFailure(
        EXIT.usage,
        `${bot.userId} is in ${where}, or invited there by ${sender.userId}, and the bot would record and answer what is said there: take an account for --bot that is in none.`,
      );
    }
    for (const roomId of remains) {
      await leave(botHttp, roomId);
      await leave(senderHttp, roomId);
    }
  }
}
