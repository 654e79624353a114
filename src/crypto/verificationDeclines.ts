/**
 * Says no to those who may not verify the bot, and to what belongs to no verification any more, for example after a restart
 * (client-server API, `m.key.verification.cancel`). Guarantees: nothing of it reaches the crypto library; each sender gets few answers
 * and one line in the log, all of them together are bounded, and nobody waits for them.
 */
import { randomUUID } from "node:crypto";
import type { Clock } from "../clock.ts";
import type { Logger } from "../logging.ts";
import type { Homeserver } from "../matrix/homeserver.ts";
import type { TxnId } from "../protocol/ids.ts";
import { AskLimits } from "./askLimits.ts";
import { Mutex } from "./mutex.ts";
import type { RoomMessages } from "./roomMessages.ts";
import type { VerificationEvent } from "./verificationEvents.ts";

/** In words that the other side may show. */
const REASONS = {
  not_allowed: {
    code: "m.user",
    reason: "This bot is verified by the sessions of its own account and by its operators only.",
  },
  too_many: { code: "m.user", reason: "Too many verification requests; please try again later." },
  unknown: {
    code: "m.unknown_transaction",
    reason: "This verification is not known here any more; please start anew.",
  },
} as const;
const CANCEL = "m.key.verification.cancel";
const WINDOW_MS = 10 * 60_000;
const MOST_WAITING = 20;
const SEND_TIMEOUT_MS = 10_000;

export interface VerificationDeclinesOptions {
  readonly homeserver: Homeserver;
  readonly roomMessages: RoomMessages;
  readonly clock: Clock;
  readonly log: Logger;
  readonly signal: AbortSignal;
}

export class VerificationDeclines {
  private readonly options: VerificationDeclinesOptions;
  private readonly limits: AskLimits;
  private readonly line = new Mutex();
  private readonly waiting = new Set<Promise<void>>();

  constructor(options: VerificationDeclinesOptions) {
    this.options = options;
    this.limits = new AskLimits(options.clock, { perSender: 2, inAll: 60, windowMs: WINDOW_MS });
  }

  /** Returns at once. */
  decline(event: VerificationEvent, why: keyof typeof REASONS): void {
    if (!this.limits.allows(event.sender) || this.waiting.size >= MOST_WAITING) return;
    const { log, signal } = this.options;
    const { sender: userId, roomId } = event;
    log.info({ userId, ...(roomId === null ? {} : { roomId }), reason: why }, "a verification was declined");
    const sending = this.line
      .run(() => this.send(event, why), signal)
      // Politeness: without it their side ends by itself after ten minutes.
      .catch(() => log.debug({ userId }, "a verification could not be declined"))
      .finally(() => this.waiting.delete(sending));
    this.waiting.add(sending);
  }

  /** Resolves when nothing is in flight; the signal ends it. */
  async settled(): Promise<void> {
    await Promise.all(this.waiting);
  }

  private async send(
    { sender, flowId, fromDevice, roomId }: VerificationEvent,
    why: keyof typeof REASONS,
  ): Promise<void> {
    const { homeserver, roomMessages } = this.options;
    const signal = AbortSignal.any([this.options.signal, AbortSignal.timeout(SEND_TIMEOUT_MS)]);
    const txnId = randomUUID() as TxnId;
    if (roomId !== null) {
      const relation = { rel_type: "m.reference", event_id: flowId };
      const content = { ...REASONS[why], "m.relates_to": relation };
      await roomMessages.send({ roomId, type: CANCEL, txnId, content }, signal);
      return;
    }
    const content = { ...REASONS[why], transaction_id: flowId };
    await homeserver.request("PUT", `/_matrix/client/v3/sendToDevice/${CANCEL}/${txnId}`, {
      // Steps after the first name no device.
      body: { messages: { [sender]: { [fromDevice ?? "*"]: content } } },
      signal,
      retry: "none",
    });
  }
}
