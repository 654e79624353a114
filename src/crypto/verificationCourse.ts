/**
 * The course of a verification: its steps in the crypto library, their messages, and what is written down of it. Whoever calls sees to it
 * that it is one call at a time. Guarantees: a person is asked before anything is confirmed; a step that can't be sent ends the
 * verification, and it says so; each ending is one line in the log.
 */
import type { OlmMachine } from "@matrix-org/matrix-sdk-crypto-wasm";
import type { Clock } from "../clock.ts";
import { Cancelled, CryptoPanicked, DocketError } from "../errors.ts";
import type { Logger } from "../logging.ts";
import type { RoomId, UserId } from "../protocol/ids.ts";
import type { KeyRequest } from "./keyRequest.ts";
import type { Machine } from "./machine.ts";
import type { Verification } from "./verification.ts";
import { isOpen, type Flow, type VerificationFlows } from "./verificationFlows.ts";
import { VerificationSender, type VerificationSenderOptions } from "./verificationSender.ts";
import * as steps from "./verificationSteps.ts";

/** As the specification has it. */
export const LIFETIME_MS = 10 * 60_000;
export const GIVEN_UP = { code: "m.user", reason: "The verification was given up." };
export const MISMATCH = { code: "m.mismatched_sas", reason: "What was compared is not the same." };
/**
 * Who asked may begin within this time after our `ready`. A client may still be taking that in: a `start` right behind it is lost there
 * (matrix-js-sdk reads the events of a room side by side), and then nobody would begin.
 */
const GRACE_MS = 3_000;
const OVER = { code: "m.timeout", reason: "Nobody has finished it in time." };
const UNSENT = { code: "m.timeout", reason: "A message of the verification could not be sent." };

export interface VerificationCourseOptions extends VerificationSenderOptions {
  readonly flows: VerificationFlows;
  readonly ownUserId: UserId;
  readonly machine: Machine;
  readonly clock: Clock;
  readonly log: Logger;
  /** The library may have something to send. */
  readonly onDue: () => void;
  /** There is one more, or one is due at another time. */
  readonly onChange: () => void;
}

export class VerificationCourse {
  private readonly options: VerificationCourseOptions;
  private readonly sender: VerificationSender;

  constructor(options: VerificationCourseOptions) {
    this.options = options;
    this.sender = new VerificationSender(options);
  }

  add(flowId: string, userId: UserId, roomId: RoomId | null, phase: "asked" | "requested", taken: boolean): Flow {
    const { clock, ownUserId, log } = this.options;
    const since = clock.now();
    const kind = userId === ownUserId ? "own_session" : "operator";
    const nothing = { deviceId: null, emoji: null, decimals: null, cancelled: null };
    const flow = this.options.flows.add(
      flowId,
      { ...nothing, kind, userId, roomId, phase, since, expiresAt: since + LIFETIME_MS },
      taken,
    );
    if (phase === "requested")
      log.info({ userId, kind }, "somebody asks to verify this bot: `docket identity verify` takes it up");
    this.options.onChange();
    return flow;
  }

  /** Takes the steps that need no person, then writes down how it stands. */
  async look(flow: Flow): Promise<void> {
    if (!flow.taken) return await this.note(flow);
    const begin = flow.beginAt !== null && flow.beginAt <= this.options.clock.now();
    if (begin) flow.beginAt = null;
    await this.step(flow, "advanceVerification", (olm) => steps.goOn(olm, nameOf(flow), begin));
  }

  /** Takes a step that a person has asked for. @param name of the library call */
  async step(flow: Flow, name: string, call: (olm: OlmMachine) => Promise<KeyRequest[]>): Promise<void> {
    if (!isOpen(flow.now)) return;
    const { messages, progress } = await this.options.machine.use(
      name,
      async (olm) => ({ messages: await call(olm), progress: steps.progressOf(olm, nameOf(flow)) }),
      this.options.signal,
    );
    await this.send(flow, messages);
    // The library forgets what has ended.
    if (isOpen(progress)) await this.note(flow);
    else this.write(flow, progress);
    if (messages.length > 0) this.options.onDue();
  }

  /** Without effect on one that has ended. */
  async end(flow: Flow, ending: steps.Ending): Promise<void> {
    if (!isOpen(flow.now)) return;
    const { machine, signal, log } = this.options;
    const last = await machine.use(
      "cancelVerification",
      async (olm) => steps.cancel(olm, nameOf(flow), ending),
      signal,
    );
    this.finish(flow, { phase: "cancelled", cancelled: { ...ending, by: "us" } });
    await this.sender.send(last).catch((error: unknown) => {
      if (!(error instanceof DocketError) || error instanceof CryptoPanicked) throw error;
      log.info({ code: error.code }, "the other side could not be told of the end of a verification");
    });
  }

  /** How all open ones stand: in the same call as what may have ended one, since the next sync makes the library forget that. */
  readAll(olm: OlmMachine): readonly (readonly [Flow, steps.Progress])[] {
    return this.options.flows.open().map((flow) => [flow, steps.progressOf(olm, nameOf(flow))]);
  }

  write(flow: Flow, { isReady, ...progress }: steps.Progress): void {
    if (!isReady) flow.beginAt = null;
    else if (flow.beginAt === null) {
      const isOurs = flow.now.phase === "asked";
      flow.beginAt = this.options.clock.now() + (isOurs ? 0 : GRACE_MS);
      this.options.onChange();
    }
    // What was known stays known.
    const { deviceId, emoji, decimals } = flow.now;
    this.finish(flow, {
      ...progress,
      deviceId: progress.deviceId ?? deviceId,
      emoji: progress.emoji ?? emoji,
      decimals: progress.decimals ?? decimals,
    });
  }

  private async note(flow: Flow): Promise<void> {
    const { machine, signal } = this.options;
    const read = async (olm: OlmMachine): Promise<steps.Progress> => steps.progressOf(olm, nameOf(flow));
    this.write(flow, await machine.use("verificationProgress", read, signal));
  }

  private finish(flow: Flow, news: Partial<Verification>): void {
    if (!this.options.flows.update(flow, news) || isOpen(flow.now)) return;
    const { kind, userId, deviceId, cancelled } = flow.now;
    const fields = { userId, kind, ...(deviceId === null ? {} : { deviceId }) };
    if (cancelled === null) this.options.log.info(fields, "verified");
    else this.options.log.info({ ...fields, code: cancelled.code, by: cancelled.by }, "a verification was cancelled");
  }

  /** A verification that can't go on is ended; it says why. */
  async send(flow: Flow, messages: readonly KeyRequest[]): Promise<void> {
    try {
      await this.sender.send(messages);
    } catch (error) {
      if (!(error instanceof DocketError) || error instanceof CryptoPanicked || error instanceof Cancelled) throw error;
      this.options.log.warn(
        { code: error.code, problem: error.message },
        "a message of a verification could not be sent",
      );
      await this.end(flow, UNSENT);
    }
  }

  /** Ends those whose time is over. */
  async lookAtAll(): Promise<void> {
    for (const flow of this.options.flows.open()) {
      if (flow.now.expiresAt <= this.options.clock.now()) await this.end(flow, OVER);
      else await this.look(flow);
    }
  }
}

export function nameOf(flow: Flow): steps.FlowName {
  return { userId: flow.now.userId, flowId: flow.flowId };
}
