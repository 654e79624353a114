/**
 * Says in the account's profile what the bot understands (MSC4401), ahead of any question: published when it is not there as it
 * should be, taken back when it is switched off. Nothing depends on it: where it can't be done, that is noted, and the bot goes on.
 */
import { isDeepStrictEqual } from "node:util";
import type { Clock, EpochMs } from "../clock.ts";
import { Cancelled, DocketError, endsTheBot, ServerRefused } from "../errors.ts";
import { Nudge, WorkLoop } from "../lifecycle.ts";
import type { Logger } from "../logging.ts";
import type { Homeserver, ServerVersions } from "../matrix/homeserver.ts";
import { profilePath } from "../matrix/profiles.ts";
import { isFinalRefusal, pauseAfter } from "../matrix/retries.ts";
import { capabilityField, capabilityFieldValue, type Capability } from "../protocol/capabilities.ts";
import type { DeviceId, UserId } from "../protocol/ids.ts";
import { isJsonObject, type JsonObject, type JsonValue } from "../protocol/json.ts";
import type { Vitals } from "../vitals.ts";

export interface AdvertisementPorts {
  readonly own: { readonly userId: UserId; readonly deviceId: DeviceId };
  readonly homeserver: Homeserver;
  readonly versions: ServerVersions;
  /** What is to be said; null for nothing. Asked for at the start and after each `reconsider`. */
  readonly wanted: () => readonly Capability[] | null;
  readonly clock: Clock;
  readonly log: Logger;
  readonly vitals: Vitals;
  readonly onFailure: (error: unknown) => void;
}

const PACE = { baseMs: 1_000, maxBackoffMs: 10 * 60_000 };
const FOR_EVER_MS = Number.MAX_SAFE_INTEGER;

/** Why it is not said, in words for people. */
class Unsayable extends Error {}

export class Advertisement extends WorkLoop {
  private readonly ports: AdvertisementPorts;
  private readonly reconsidered = new Nudge();
  private failures = 0;
  private notBefore: EpochMs = 0;
  private waitMs = FOR_EVER_MS;

  constructor(ports: AdvertisementPorts) {
    super(ports.onFailure);
    this.ports = ports;
  }

  /** What is wanted may have changed. */
  reconsider(): void {
    this.reconsidered.nudge();
  }

  protected async work(): Promise<boolean> {
    const wanted = this.ports.wanted();
    // A change does not shorten the wait that the homeserver asked for.
    this.waitMs = this.notBefore - this.ports.clock.now();
    if (this.waitMs > 0) return false;
    try {
      await this.settle(wanted === null ? null : capabilityFieldValue(wanted));
      this.note(null);
      this.failures = 0;
      this.waitMs = FOR_EVER_MS;
    } catch (error) {
      this.waitMs = this.afterFailure(error, wanted !== null);
    }
    return false;
  }

  protected rest(): Promise<void> {
    return this.reconsidered.wait(this.signal, this.waitMs);
  }

  /** @throws Unsayable | DocketError */
  private async settle(wanted: JsonObject | null): Promise<void> {
    const { own, homeserver, versions, log } = this.ports;
    const key = capabilityField(own.deviceId);
    const path = key === null ? null : profilePath(versions, own.userId, key);
    if (key === null || path === null) {
      if (wanted === null) return;
      throw new Unsayable(
        key === null
          ? `the device ID ${own.deviceId} does not fit into a profile key, which has lower-case letters only (MSC4133); a device with a lower-case ID would`
          : "the homeserver has no profile fields (MSC4133)",
      );
    }
    const published = await this.published(path, key);
    const { signal } = this;
    if (isDeepStrictEqual(published, wanted ?? undefined)) {
      if (wanted !== null) log.info({}, "the capabilities in the profile are up to date");
      return;
    }
    if (wanted === null) {
      await homeserver.request("DELETE", path, { signal, retry: "none" });
      return log.info({}, "the capabilities in the profile were taken back");
    }
    await this.requireAllowed(key);
    await homeserver.request("PUT", path, { body: { [key]: wanted }, signal, retry: "none" });
    log.info({ types: (wanted["events"] as readonly JsonValue[]).length }, "capabilities are published in the profile");
  }

  /** Undefined where the field is not there. */
  private async published(path: string, key: string): Promise<JsonValue | undefined> {
    const profile = await this.ifThere(path);
    return Object.hasOwn(profile, key) ? profile[key] : undefined;
  }

  /** Empty where the homeserver has no such thing. */
  private async ifThere(path: string): Promise<JsonObject> {
    try {
      return await this.ports.homeserver.request("GET", path, { signal: this.signal, retry: "none" });
    } catch (error) {
      if (error instanceof ServerRefused && error.status === 404 && error.errcode !== null) return {};
      throw error;
    }
  }

  /** Client-server API, "Capabilities negotiation": `m.profile_fields`. Absent means allowed. */
  private async requireAllowed(key: string): Promise<void> {
    const answer = await this.ifThere("/_matrix/client/v3/capabilities");
    const capabilities = isJsonObject(answer["capabilities"]) ? answer["capabilities"] : {};
    const fields = capabilities["m.profile_fields"] ?? capabilities["uk.tcpip.msc4133.profile_fields"];
    if (!isJsonObject(fields)) return;
    const { enabled, allowed, disallowed } = fields;
    const lists = (list: JsonValue | undefined): boolean => Array.isArray(list) && list.includes(key);
    const refused = enabled === false || (Array.isArray(allowed) ? !lists(allowed) : lists(disallowed));
    if (refused) throw new Unsayable("the homeserver does not let this account set profile fields");
  }

  /** @returns how long to wait before it is tried again, in milliseconds */
  private afterFailure(error: unknown, wanted: boolean): number {
    if (endsTheBot(error)) throw error;
    if (error instanceof Cancelled && this.signal.aborted) return FOR_EVER_MS;
    const why = finalReason(error);
    const yet = `the homeserver could not be asked yet (${error instanceof DocketError ? error.code : "BUG"})`;
    const what = wanted ? "capabilities are not advertised" : "capabilities in the profile could not be taken back";
    this.note(`${what}: ${why ?? yet}`);
    if (why !== null) return FOR_EVER_MS;
    this.failures += 1;
    const waitMs = pauseAfter(error, this.failures, PACE);
    this.notBefore = this.ports.clock.now() + waitMs;
    return waitMs;
  }

  private note(text: string | null): void {
    const { vitals, log } = this.ports;
    if (vitals.note("capabilities", text) && text !== null) log.info({}, text);
  }
}

/** Why it can't be done at all; null where it may be done later. Never the server's own words. */
function finalReason(error: unknown): string | null {
  if (error instanceof Unsayable) return error.message;
  if (!(error instanceof ServerRefused) || !isFinalRefusal(error)) return null;
  return `the homeserver refuses with ${error.errcode ?? `status ${error.status}`}`;
}
