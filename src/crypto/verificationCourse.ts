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
  /** There is one more. */
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
    if (flow.taken) await this.step(flow, "advanceVerification", (olm) => steps.goOn(olm, nameOf(flow)));
    else await this.note(flow);
  }

  /** Takes a step that a person has asked for. @param name of the library call */
  async step(flow: Flow, name: string, call: (olm: OlmMachine) => Promise<KeyRequest[]>): Promise<void> {
    if (!isOpen(flow.now)) return;
    await this.send(flow, await this.options.machine.use(name, call, this.options.signal));
    await this.note(flow);
    this.options.onDue();
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

  private async note(flow: Flow): Promise<void> {
    const { machine, signal } = this.options;
    const progress = await machine.use(
      "verificationProgress",
      async (olm) => steps.progressOf(olm, nameOf(flow)),
      signal,
    );
    // What was known stays known.
    const { deviceId, emoji, decimals } = flow.now;
    this.finish(flow, {
      ...progress,
      deviceId: progress.deviceId ?? deviceId,
      emoji: progress.emoji ?? emoji,
      decimals: progress.decimals ?? decimals,
    });
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
