/**
 * Looks whether the homeserver still shows the device's keys to everybody else: after the start, whenever it says that the account's
 * devices have changed, and now and then. A device whose keys are gone is deaf, although its token may still work.
 */
import type { Clock } from "../clock.ts";
import type { OwnIdentity } from "../crypto/ownIdentity.ts";
import { inside } from "../crypto/deviceSignature.ts";
import { Cancelled, DocketError, endsTheBot } from "../errors.ts";
import { Nudge, WorkLoop } from "../lifecycle.ts";
import type { Logger } from "../logging.ts";
import type { Homeserver } from "../matrix/homeserver.ts";
import { isJsonObject } from "../protocol/json.ts";
import type { Vitals } from "../vitals.ts";

const ALL_WELL_MS = 60 * 60_000;
const NOT_WELL_MS = 60_000;

export interface OwnKeyWatchPorts {
  readonly homeserver: Pick<Homeserver, "request">;
  readonly own: OwnIdentity;
  readonly clock: Clock;
  readonly log: Logger;
  readonly vitals: Vitals;
  readonly onFailure: (error: unknown) => void;
}

/** What the homeserver shows of the device; `unknown` where it did not say. */
export type ShownKeys = "ours" | "others" | "none" | "unknown";

export class OwnKeyWatch extends WorkLoop {
  private readonly ports: OwnKeyWatchPorts;
  private readonly nudges = new Nudge();
  private shown: ShownKeys = "unknown";

  constructor(ports: OwnKeyWatchPorts) {
    super(ports.onFailure);
    this.ports = ports;
  }

  /** The account's devices have changed. */
  nudge(): void {
    this.nudges.nudge();
  }

  protected async work(): Promise<boolean> {
    this.note(await this.ask());
    return false;
  }

  protected rest(): Promise<void> {
    return this.nudges.wait(this.signal, this.shown === "ours" ? ALL_WELL_MS : NOT_WELL_MS);
  }

  private async ask(): Promise<ShownKeys> {
    const { homeserver, own, log } = this.ports;
    try {
      const body = { device_keys: { [own.userId]: [own.deviceId] } };
      const answer = await homeserver.request("POST", "/_matrix/client/v3/keys/query", { body, signal: this.signal });
      const devices = inside(answer, "device_keys", own.userId);
      if (!isJsonObject(devices)) return "unknown";
      const key = inside(devices, own.deviceId, "keys", `ed25519:${own.deviceId}`);
      if (typeof key === "string") return key === own.ed25519 ? "ours" : "others";
      return "none";
    } catch (error) {
      if (endsTheBot(error) || !(error instanceof DocketError)) throw error;
      if (!(error instanceof Cancelled))
        log.info(
          { code: error.code, problem: error.message },
          "the homeserver did not say which keys it has of this device",
        );
      return "unknown";
    }
  }

  private note(shown: ShownKeys): void {
    const { vitals, log, own } = this.ports;
    if (shown === "unknown") return;
    // Ours are not there yet.
    if (shown === "none" && vitals.facts().keyUploads.trouble !== null) return;
    if (shown === this.shown) return;
    this.shown = shown;
    vitals.ownKeysAre(shown);
    if (shown === "ours") return log.info({ deviceId: own.deviceId }, "the homeserver shows the keys of this device");
    log.error(
      { deviceId: own.deviceId, shown },
      "the homeserver does not show the keys of this device: nobody can encrypt for it",
    );
  }
}
