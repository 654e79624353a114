/** What the demo and its sender process say to each other: JSON lines, on the sender's standard input and output. */

import type { Guest } from "./homeservers/leaveAsFound.ts";

/** From the demo: first a job, then what to do next. The end of the input means that the demo is gone. */
export type ToSender =
  | {
      readonly kind: "job";
      readonly baseUrl: string;
      /** The sender's own. */
      readonly account: Guest;
      readonly botUserId: string;
      readonly botDevice: string;
      readonly canary: string;
      /** Of requests, in milliseconds. */
      readonly lifetimeMs: number;
      /** Where the room keys are written at the end, as JSON, for tests that look for secrets; null: nowhere. */
      readonly keysFile: string | null;
      /** Processes to end if the demo dies without a word. */
      readonly guardedPids: readonly number[];
      /** Accounts to leave as they were found if the demo dies without a word. */
      readonly guests: readonly Guest[];
    }
  /** Look again at every answer: the bot has stopped, so nothing can come any more. */
  | { readonly kind: "look again" }
  | { readonly kind: "leave" };

/** One row of the table. */
export interface Row {
  /** null: it can't be shown on this homeserver, and `answer` says why. */
  readonly ok: boolean | null;
  /** `encrypted`, `plain`, `public`, or `bot` for what is not about one room. */
  readonly where: string;
  readonly asked: string;
  readonly answer: string;
  readonly expected: string;
  readonly problems: readonly string[];
  /** From sending to the answer's arrival, in milliseconds; null where no answer is expected. */
  readonly tookMs: number | null;
  /** Whose delivery receipts for it came back: user IDs. */
  readonly receivedBy: readonly string[];
  readonly eventId: string | null;
}

export interface AskedEvent {
  readonly eventId: string;
  readonly asked: string;
  readonly where: string;
}

/** From the sender. */
export type FromSender =
  | { readonly kind: "row"; readonly row: Row }
  | {
      readonly kind: "asked";
      /** Everything that was sent, fences included: the record must have it. */
      readonly events: readonly AskedEvent[];
      readonly rooms: Readonly<Record<string, string>>;
    }
  | {
      readonly kind: "last look";
      readonly problems: readonly string[];
      readonly answers: number;
      /** null where the homeserver knows none. */
      readonly receipts: number | null;
    }
  /** The homeserver puts the sender off (429). */
  | { readonly kind: "limited"; readonly waitMs: number }
  | { readonly kind: "failed"; readonly message: string };
