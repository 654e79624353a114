/**
 * The moments at which the bot is killed: by the clock, by what the server sees of it (before and after the effect of a
 * request), and by what it says in its log. Each one brings about what it waits for, so that none is missed.
 */
import { setTimeout as pause } from "node:timers/promises";
import type { DevServer, SignedIn } from "../../devserver/server.ts";
import type { BotProcess } from "./botProcess.ts";
import type { CrashRandom } from "./crashRandom.ts";
import type { CrashTraffic } from "./crashTraffic.ts";

/** One life of the bot, from its start to its kill. */
export interface Life {
  readonly bot: BotProcess;
  readonly account: SignedIn;
  readonly server: DevServer;
  readonly random: CrashRandom;
  readonly traffic: CrashTraffic;
  /** How long the last whole start took, in milliseconds. */
  readonly startMs: number;
}

export interface Moment {
  readonly name: string;
  /** Resolves when the bot is to be killed at once. */
  come(life: Life): Promise<void>;
}

const PATIENCE_MS = 60_000;
/** Longer than the bot needs for what follows a request or a line in its log. */
const SOON_MS = 25;

export const whileItStarts: Moment = {
  name: "while it starts",
  come: ({ random, startMs }) => pause(random.below(startMs * 0.9)),
};
const anyTime: Moment = { name: "at any time", come: ({ random, startMs }) => pause(random.below(startMs * 1.6)) };
const atWork: Moment = {
  name: "at work",
  come: async ({ bot, random }) => {
    await bot.running();
    await pause(random.below(600));
  },
};

type Stimulus = (traffic: CrashTraffic) => Promise<unknown>;

/** The request has arrived and nothing has come of it. */
function before(path: RegExp, name: string, stimulus?: Stimulus): Moment {
  return {
    name: `before ${name}`,
    come: async ({ server, account, traffic, random }) => {
      const skip = stimulus === undefined ? random.whole(3) : 0;
      const fault = server.fault({ path, userId: account.userId, skip, action: { kind: "hang" } });
      try {
        const stimulated = stimulus?.(traffic);
        await server.waitFor(() => fault.hits > 0, PATIENCE_MS, `the request ${name}`);
        await stimulated;
      } finally {
        fault.remove();
      }
    },
  };
}

/** The request has had its effect, and the bot never hears of it. */
function after(path: RegExp, name: string, stimulus?: Stimulus): Moment {
  return {
    name: `after ${name}`,
    come: async ({ server, account, traffic, random }) => {
      const skip = stimulus === undefined ? random.whole(3) : 0;
      // Not cut: the bot would have the time to try again before it is killed.
      const fault = server.fault({ path, userId: account.userId, skip, action: { kind: "hang", after: true } });
      try {
        const stimulated = stimulus?.(traffic);
        await server.waitFor(() => fault.hits > 0, PATIENCE_MS, `the request ${name}`);
        await stimulated;
        // The effects of all of these need no more than the turn of the event loop that they are in.
        await pause(1);
      } finally {
        fault.remove();
      }
    },
  };
}

/** A sync with something in it is on its way to the bot: it is read, decrypted, kept and acted upon now. */
const syncAnswered: Moment = {
  name: "after a sync",
  come: async ({ server, account, random, bot }) => {
    await bot.running();
    const answered = (): number =>
      server.requests({ path: /\/sync$/, userId: account.userId, outcome: "answered" }).length;
    const wanted = answered() + 1 + random.whole(3);
    await server.waitFor(() => answered() >= wanted, PATIENCE_MS, "a sync");
    await pause(random.below(SOON_MS));
  },
};

function said(words: RegExp, stimulus?: Stimulus): Moment {
  return {
    name: `on "${words.source}"`,
    come: async ({ bot, random, traffic }) => {
      const place = stimulus === undefined ? random.whole(6) : 0;
      const stimulated = stimulus?.(traffic);
      await bot.line(
        (line) => bot.lines.filter(({ msg }) => words.test(msg)).indexOf(line) === place,
        words.source,
        PATIENCE_MS,
      );
      await stimulated;
      if (random.whole(2) === 0) await pause(random.below(SOON_MS));
    },
  };
}

export const UPLOAD = /\/keys\/upload$/;

/** For a bot that nobody knows yet, after one that was killed before it could upload a key. */
export const FIRST_MOMENTS: readonly Moment[] = [
  before(UPLOAD, "its first key upload", () => Promise.resolve()),
  after(UPLOAD, "its first key upload", () => Promise.resolve()),
];

/** For a bot that is being asked all the time. */
const MOMENTS: readonly Moment[] = [
  whileItStarts,
  whileItStarts,
  whileItStarts,
  anyTime,
  anyTime,
  atWork,
  atWork,
  before(UPLOAD, "a key upload", (traffic) => traffic.talkingDevice()),
  after(UPLOAD, "a key upload", (traffic) => traffic.talkingDevice()),
  before(/\/keys\/query$/, "a key query", (traffic) => traffic.silentDevice()),
  before(/\/keys\/claim$/, "a key claim", (traffic) => traffic.silentDevice()),
  after(/\/keys\/claim$/, "a key claim", (traffic) => traffic.silentDevice()),
  before(/\/sendToDevice\//, "a room key", (traffic) => traffic.silentDevice()),
  after(/\/sendToDevice\//, "a room key", (traffic) => traffic.silentDevice()),
  before(/\/send\//, "an answer"),
  after(/\/send\//, "an answer"),
  before(/\/sync$/, "a sync"),
  syncAnswered,
  before(/\/join\//, "a join", (traffic) => traffic.invite(5)),
  after(/\/join\//, "a join", (traffic) => traffic.invite()),
  said(/^decided$/),
  said(/^answer sent$/),
  said(/^parked/, (traffic) => traffic.askHoldingKeys()),
];

/** Each moment comes once before any comes again. */
export function momentsToKill(count: number, random: CrashRandom): readonly Moment[] {
  const plan: Moment[] = [];
  while (plan.length < count) plan.push(...random.shuffled(MOMENTS));
  return plan.slice(0, count);
}
