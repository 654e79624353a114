/** The parts of one running server, as its routes see them. */
import type { Accounts } from "./accounts.ts";
import type { Stream } from "./changes.ts";
import type { CrossSigning } from "./crossSigning.ts";
import type { Faults } from "./faults.ts";
import type { Features } from "./features.ts";
import type { InteractiveAuth } from "./interactiveAuth.ts";
import type { KeyBackups } from "./keyBackups.ts";
import type { Keys } from "./keys.ts";
import type { Media } from "./media.ts";
import type { Observer } from "./observer.ts";
import type { RateLimits } from "./rateLimits.ts";
import type { Receipts } from "./receipts.ts";
import type { Rooms } from "./rooms.ts";
import type { Sync } from "./sync.ts";
import type { ToDevice } from "./toDevice.ts";

export interface ServerParts {
  readonly serverName: string;
  readonly defaultRoomVersion: string;
  readonly features: Features;
  readonly stableDeliveryType: boolean;
  readonly profileFieldsEnabled: boolean;
  readonly stream: Stream;
  readonly accounts: Accounts;
  readonly rooms: Rooms;
  readonly receipts: Receipts;
  readonly keys: Keys;
  readonly crossSigning: CrossSigning;
  readonly keyBackups: KeyBackups;
  readonly interactiveAuth: InteractiveAuth;
  readonly media: Media;
  readonly toDevice: ToDevice;
  readonly sync: Sync;
  readonly faults: Faults;
  readonly observer: Observer;
  readonly rateLimits: RateLimits;
  readonly now: () => number;
}
