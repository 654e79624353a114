/** Which answers are waited for, and what is missing of them. Pure. */
import type { UserId } from "../protocol/ids.ts";

export interface Expectation {
  /** How many in all, of different devices; at least as many as `from` has. */
  readonly answers: number;
  /** Who has to answer, each at least once, and nobody else counts; empty: anybody counts. */
  readonly from: readonly UserId[];
}

export interface Wish {
  /** `--expect`; null where it is left to `from`. */
  readonly answers: number | null;
  readonly from: readonly string[];
}

export type ExpectationReading =
  | { readonly ok: true; readonly expectation: Expectation }
  /** For people: what is wrong, and what to do. */
  | { readonly ok: false; readonly problem: string };

/** @param ownUser who asks */
export function readExpectation(wish: Wish, ownUser: UserId): ExpectationReading {
  const from = [...new Set(wish.from)];
  const odd = from.find((userId) => !/^@[^\s:]*:\S+$/.test(userId));
  if (odd !== undefined)
    return { ok: false, problem: `--expect-from wants user IDs such as @docket:example.org, not ${odd}` };
  if (from.length > 0 && from.every((userId) => userId === ownUser))
    return {
      ok: false,
      problem: `--expect-from names nobody but ${ownUser}, who asks: a bot never answers its own account. Ask as another account`,
    };
  const answers = wish.answers ?? Math.max(1, from.length);
  if (answers < from.length)
    return { ok: false, problem: `--expect ${answers} is less than the ${from.length} users of --expect-from` };
  return { ok: true, expectation: { answers, from: from as UserId[] } };
}

/**
 * @param answered the senders of the answers that count, one for each
 * @returns how many answers are missing at least
 */
export function missing({ answers, from }: Expectation, answered: readonly UserId[]): number {
  const silent = from.filter((userId) => !answered.includes(userId)).length;
  return Math.max(answers - answered.length, silent, 0);
}
