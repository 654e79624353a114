/**
 * Opens an event, and opens it again when something has become known of its sender since: the trust that an event is handled with is
 * that of the moment. Guarantee: what is found then is in the record before anything is done about it.
 */
import type { CryptoEngine, Undecryptable } from "../crypto/cryptoEngine.ts";
import { openEvent, type OpenedEvent } from "../crypto/openEvent.ts";
import { isAccepted, isTrusted, type DecryptFrom } from "../crypto/trusted.ts";
import { Cancelled } from "../errors.ts";
import type { Inbox } from "../journal/inbox.ts";
import type { InboxEntry } from "../journal/inboxEntry.ts";
import type { Recorder } from "./recorder.ts";

export interface TrustedOpeningPorts {
  readonly engine: CryptoEngine;
  readonly inbox: Inbox;
  readonly recorder: Recorder;
  /** Whose events are handled. */
  readonly decryptFrom: () => DecryptFrom;
  /** Whether the trust of a request is told in its answer. */
  readonly warnUntrusted: () => boolean;
}

/** An event as it was opened, and when that was in the news of others' devices. */
export interface Opening {
  readonly opened: OpenedEvent | Undecryptable;
  readonly epoch: number;
}

/** Of the time that is left for an event, at most so much is waited for the devices of its sender. */
const SHARE_OF_TIME = 0.25;
const LONGEST_WAIT_MS = 5_000;

export class TrustedOpening {
  private readonly ports: TrustedOpeningPorts;

  constructor(ports: TrustedOpeningPorts) {
    this.ports = ports;
  }

  async open(entry: InboxEntry): Promise<Opening> {
    const { epoch } = this.ports.engine.trust;
    return { opened: await openEvent(entry.event, this.ports.engine), epoch };
  }

  /** The same opening where nothing became known since. */
  async again(entry: InboxEntry, before: Opening): Promise<Opening> {
    if (this.ports.engine.trust.epoch === before.epoch) return before;
    const opening = await this.open(entry);
    if (opening.opened.kind === "clear")
      await this.ports.recorder.keep([{ entry, opened: opening.opened, replayOf: null }]);
    return opening;
  }

  /**
   * Where an answer would say that its request is not trusted: waits until the sender's devices are known, so that it does not say so
   * of everybody's first request.
   * @param leftMs until the answer is due
   */
  async settled(entry: InboxEntry, before: Opening, leftMs: number, signal: AbortSignal): Promise<Opening> {
    if (!this.wouldWarn(before.opened)) return before;
    const waitMs = Math.min(LONGEST_WAIT_MS, Math.max(0, leftMs * SHARE_OF_TIME));
    try {
      const until = AbortSignal.any([signal, AbortSignal.timeout(Math.ceil(waitMs))]);
      await this.ports.engine.trust.learn(entry.event.sender, until);
    } catch (error) {
      if (!(error instanceof Cancelled) || signal.aborted) throw error;
    }
    return this.again(entry, before);
  }

  wouldWarn(opened: OpenedEvent | Undecryptable): boolean {
    if (!this.ports.warnUntrusted() || opened.kind !== "clear") return false;
    return opened.encryptedAs !== null && !isTrusted(opened.trust);
  }

  accepts(opened: OpenedEvent): boolean {
    return isAccepted(opened.trust, this.ports.decryptFrom());
  }

  /** A claimed entry that is not accepted any more waits until more is known of its sender. @throws LeaseLost */
  async park(entry: InboxEntry, { epoch }: Opening): Promise<void> {
    const { inbox, engine } = this.ports;
    await inbox.parkClaimed(entry, { sessionId: null, reason: "untrusted" });
    // What became known in between has found nothing parked.
    if (engine.trust.epoch !== epoch) await inbox.unparkUntrusted([entry.event.sender]);
  }
}
