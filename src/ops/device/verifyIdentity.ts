/**
 * Interactive verification by a person at a terminal, for `docket identity verify`: waits for somebody who asks, or asks the account's
 * other sessions, and has the person compare. Guarantee: whatever ends it early (the person leaves, the bot stops) cancels the
 * verification for the other side too.
 */
import { z } from "zod";
import type { Verification, Verifications } from "../../crypto/verification.ts";
import { Cancelled } from "../../errors.ts";
import type { DeviceOperation, Talk } from "./deviceOperation.ts";

const input = z.object({
  /** Ask the account's other sessions, instead of waiting for somebody. */
  start: z.boolean(),
});

const otherSide = {
  /** `own_session`: of the bot's account; `operator`: one of `encryption.verifiers`. */
  who: z.enum(["own_session", "operator"]),
  userId: z.string(),
  deviceId: z.string().nullable(),
};

const report = z.discriminatedUnion("kind", [
  /** Nobody has asked yet. */
  z.object({ kind: z.literal("waiting"), userId: z.string(), deviceId: z.string() }),
  /** The other sessions have been asked. */
  z.object({ kind: z.literal("asked") }),
  /** Somebody is there; keys are exchanged. */
  z.object({ kind: z.literal("met"), ...otherSide, roomId: z.string().nullable() }),
  /** The person here has confirmed; the other side has not finished. */
  z.object({ kind: z.literal("confirmed") }),
]);
export type VerifyReport = z.output<typeof report>;

const question = z.object({
  kind: z.literal("compare"),
  ...otherSide,
  /** Null where the other side can show none. */
  emoji: z.array(z.object({ symbol: z.string(), name: z.string() })).nullable(),
  decimals: z.array(z.number()),
});
export type VerifyQuestion = z.output<typeof question>;

const result = z.discriminatedUnion("kind", [
  z.object({ kind: z.literal("verified"), ...otherSide }),
  z.object({
    kind: z.literal("cancelled"),
    ...otherSide,
    by: z.enum(["us", "them"]),
    /** The specification's. */
    code: z.string(),
    /** May be the other side's words. */
    reason: z.string(),
  }),
  /** The account has no cross-signing identity: there is nothing to verify. */
  z.object({ kind: z.literal("no_identity") }),
  z.object({ kind: z.literal("no_other_session") }),
  /** Only a running bot hears what the other side says. */
  z.object({ kind: z.literal("no_bot") }),
]);
export type VerifyResult = z.output<typeof result>;

type Person = Talk<VerifyReport, VerifyQuestion, boolean>;

export const verifyIdentity: DeviceOperation<
  z.output<typeof input>,
  VerifyReport,
  VerifyResult,
  VerifyQuestion,
  boolean
> = {
  name: "identity-verify",
  input,
  report,
  result,
  question,
  /** Whether it is the same on both sides. */
  reply: z.boolean(),
  async run({ session, isSyncing }, { start }, person) {
    if (!isSyncing) return { kind: "no_bot" };
    const { verifications, identity } = session.engine;
    let id: string;
    if (start) {
      const asked = await verifications.ask();
      if (asked.kind !== "asked") return { kind: asked.kind };
      person.tell({ kind: "asked" });
      ({ id } = asked.verification);
    } else {
      person.tell({ kind: "waiting", userId: identity.userId, deviceId: identity.deviceId });
      ({ id } = await somebodyAsks(verifications, person.signal));
      await verifications.take(id);
    }
    try {
      return await follow(verifications, id, person);
    } finally {
      // No effect on one that has ended.
      await verifications.cancel(id);
    }
  },
};

/** The newest: whoever asked before may have gone. */
async function somebodyAsks(verifications: Verifications, signal: AbortSignal): Promise<Verification> {
  for (;;) {
    const { version } = verifications;
    const asking = verifications.pending().findLast(({ phase }) => phase === "requested");
    if (asking !== undefined) return asking;
    await verifications.changed(version, signal);
    throwIfLeft(signal);
  }
}

async function follow(verifications: Verifications, id: string, person: Person): Promise<VerifyResult> {
  let told: Verification["phase"] | null = null;
  let met = false;
  for (;;) {
    const { version } = verifications;
    const now = verifications.list().find((each) => each.id === id);
    if (now === undefined) throw new Cancelled("The verification is not known any more.");
    const other = { who: now.kind, userId: now.userId, deviceId: now.deviceId };
    if (now.phase === "verified") return { kind: "verified", ...other };
    if (now.phase === "cancelled") {
      const { by, code, reason } = now.cancelled ?? { by: "us", code: "m.user", reason: "" };
      return { kind: "cancelled", ...other, by, code, reason };
    }
    if (!met && now.phase !== "asked" && now.phase !== "requested") {
      met = true;
      person.tell({ kind: "met", ...other, roomId: now.roomId });
    }
    if (now.phase === "comparing" && told !== "comparing") {
      told = "comparing";
      const { emoji, decimals } = now;
      const asked = {
        kind: "compare" as const,
        ...other,
        emoji: emoji === null ? null : [...emoji],
        decimals: [...(decimals ?? [])],
      };
      const answer = await answerOrEnd(verifications, id, person, asked);
      if (answer === true) await verifications.confirm(id);
      else if (answer === false) await verifications.mismatch(id);
      continue;
    }
    if (now.phase === "confirmed" && told !== "confirmed") {
      told = "confirmed";
      person.tell({ kind: "confirmed" });
    }
    await verifications.changed(version, person.signal);
    throwIfLeft(person.signal);
  }
}

/** @returns null where the verification has ended before the answer came */
async function answerOrEnd(
  verifications: Verifications,
  id: string,
  person: Person,
  asked: VerifyQuestion,
): Promise<boolean | null> {
  const answered = new AbortController();
  const ended = async (): Promise<null> => {
    const signal = AbortSignal.any([answered.signal, person.signal]);
    while (!signal.aborted) {
      const { version } = verifications;
      if (!verifications.pending().some((each) => each.id === id)) return null;
      await verifications.changed(version, signal);
    }
    return null;
  };
  try {
    return await Promise.race([person.ask(asked), ended()]);
  } finally {
    answered.abort();
    throwIfLeft(person.signal);
  }
}

function throwIfLeft(signal: AbortSignal): void {
  if (signal.aborted) throw new Cancelled("The person at the terminal has left.");
}
