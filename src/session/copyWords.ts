/** What people are told where the data directory looks like an older copy. */
import type { CopySign } from "../journal/copyDoubt.ts";

const FOUND: Readonly<Record<CopySign, string>> = {
  newer_message: "the homeserver has messages of this device that were sent after it",
  foreign_mark: "this device's keys were used elsewhere after it",
  one_time_keys: "the homeserver has other one-time keys of this device than those in it",
};

/** What was found, what follows from it, and what to do; each in whole sentences. */
export function foundAndAdvice(sign: CopySign): readonly [found: string, advice: string] {
  return [
    `The data directory looks like an older copy of itself: ${FOUND[sign]}. Until that is settled, answers get new room keys, and some messages to and from the bot may not be readable.`,
    "See to it that no other process uses this device, stop the bot, run `docket data restored`, and start it again.",
  ];
}

export function whatToDo(sign: CopySign): string {
  return foundAndAdvice(sign).join(" ");
}
