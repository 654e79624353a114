/**
 * Sends the messages of verifications: from device to device, or into their room; and the signatures that come of them. Guarantees: in
 * their order; each under its own transaction ID, however often it is tried; bounded in time.
 */
import type { Clock } from "../clock.ts";
import { DocketError } from "../errors.ts";
import type { Homeserver } from "../matrix/homeserver.ts";
import { sendKeyRequest, type KeyRequest } from "./keyRequest.ts";
import type { Machine } from "./machine.ts";
import type { RoomMessages } from "./roomMessages.ts";
import { markAnswered } from "./serverAnswers.ts";

const ATTEMPT_MS = 15_000;
const ATTEMPTS = 3;
const PAUSE_MS = 1_000;

export interface VerificationSenderOptions {
  readonly machine: Machine;
  readonly homeserver: Homeserver;
  readonly roomMessages: RoomMessages;
  readonly clock: Clock;
  readonly signal: AbortSignal;
}

export class VerificationSender {
  private readonly options: VerificationSenderOptions;

  constructor(options: VerificationSenderOptions) {
    this.options = options;
  }

  /** @throws ServerRefused | ServerUnreachable | Cancelled; what comes after the one that failed is not sent */
  async send(messages: readonly KeyRequest[]): Promise<void> {
    for (const message of messages) await this.repeat(() => this.sendOnce(message));
  }

  private async sendOnce(request: KeyRequest): Promise<void> {
    const { homeserver, machine, roomMessages } = this.options;
    const { signal } = this.options;
    if (request.message === null) {
      const options = { signal, timeoutMs: ATTEMPT_MS, retry: "none" } as const;
      await markAnswered(machine, request, await sendKeyRequest(homeserver, request, options));
      return;
    }
    const eventId = await roomMessages.send(request.message, signal);
    // Without a room to say it in, the other side ends the verification by itself.
    if (eventId !== null) await markAnswered(machine, request, { event_id: eventId });
  }

  private async repeat(send: () => Promise<void>): Promise<void> {
    for (let attempt = 1; ; attempt += 1) {
      try {
        return await send();
      } catch (error) {
        if (attempt === ATTEMPTS || !(error instanceof DocketError) || !error.retryable) throw error;
        await this.options.clock.sleep(PAUSE_MS, this.options.signal);
      }
    }
  }
}
