/**
 * Fetches what the homeserver left out of a timeline (`limited`), page by page, backwards. Guarantees: one gap at a time; a page that
 * fails is asked for again until it comes or `stop`; the receiver gets each page as it comes.
 */
import type { Clock, EpochMs } from "../clock.ts";
import { ServerRefused, ServerUnreachable } from "../errors.ts";
import { supervise } from "../lifecycle.ts";
import type { Logger } from "../logging.ts";
import { endpointPath } from "../matrix/endpoint.ts";
import type { Homeserver } from "../matrix/homeserver.ts";
import { isFinalRefusal, pauseAfter } from "../matrix/retries.ts";
import { decodeEvent, type RawEvent } from "../protocol/events.ts";
import type { RoomId, SyncToken } from "../protocol/ids.ts";
import type { JsonObject, JsonValue } from "../protocol/json.ts";

/** Between two tokens: pages go backwards from `from`. */
export interface Gap {
  readonly from: string;
  readonly to: SyncToken;
}

/** @param events in their order */
export type PageReceiver = (events: readonly RawEvent[], at: EpochMs) => Promise<void>;

/** Synapse's default is 10, and other servers cap what is asked. */
const PAGE = 100;
const PACE = { baseMs: 500, maxBackoffMs: 10_000 };

export interface MissedEventsPorts {
  readonly homeserver: Homeserver;
  readonly clock: Clock;
  readonly log: Logger;
  readonly roomId: RoomId;
  readonly onFailure: (error: unknown) => void;
}

export class MissedEvents {
  private readonly ports: MissedEventsPorts;
  private readonly stopping = new AbortController();
  private working: Promise<void> = Promise.resolve();

  constructor(ports: MissedEventsPorts) {
    this.ports = ports;
  }

  /** Begins when the gaps before it are done. */
  fetch(gap: Gap, receive: PageReceiver): void {
    this.working = supervise(
      this.working.then(() => this.fill(gap, receive)),
      (error) => {
        if (!this.stopping.signal.aborted) this.ports.onFailure(error);
      },
    );
  }

  /** Idempotent; resolves when nothing is asked any more. */
  async stop(): Promise<void> {
    this.stopping.abort();
    await this.working;
  }

  private async fill(gap: Gap, receive: PageReceiver): Promise<void> {
    const { clock, log, roomId } = this.ports;
    const { signal } = this.stopping;
    log.info({ roomId }, "the homeserver left a part of the timeline out; it is fetched");
    let from: string | null = gap.from;
    for (let failures = 0; from !== null && !signal.aborted;) {
      try {
        const page: JsonObject = await this.page(from, gap.to);
        failures = 0;
        const chunk = Array.isArray(page["chunk"]) ? (page["chunk"] as readonly JsonValue[]) : [];
        const events = chunk.flatMap((value) => {
          const decoded = decodeEvent(value, roomId);
          return decoded.ok ? [decoded.event] : [];
        });
        await receive(events.toReversed(), clock.now());
        const end: JsonValue | undefined = page["end"];
        from = chunk.length > 0 && typeof end === "string" && end !== from && end !== gap.to ? end : null;
      } catch (error) {
        const passing =
          error instanceof ServerUnreachable ||
          (error instanceof ServerRefused && !isFinalRefusal(error) && !error.tokenRefused);
        if (!passing) throw error;
        failures += 1;
        await clock.sleep(pauseAfter(error, failures, PACE), signal);
      }
    }
  }

  private page(from: string, to: string): Promise<JsonObject> {
    const endpoint = endpointPath("/_matrix/client/v3/rooms", this.ports.roomId, "messages");
    return this.ports.homeserver.request("GET", endpoint, {
      query: { dir: "b", from, to, limit: String(PAGE) },
      signal: this.stopping.signal,
      retry: "none",
    });
  }
}
