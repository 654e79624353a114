/**
 * The development homeserver: an in-memory Matrix homeserver over real HTTP, for Docket's tests and demo.
 *
 * What it does not do: federation (users of "other servers" are accounts made here), persistence, registration over
 * HTTP, presence, thumbnails and previews of media, typing and read receipts to others, notifications and push,
 * lazy loading of members, threads and bundled relations, search, spaces, room upgrades, restricted joins, full
 * authorisation rules (power levels only), checks of devices' own signatures, telling rooms of a changed profile. It trusts whoever
 * reaches it, and keeps all it ever saw in memory. It listens on 127.0.0.1 only and is never part of the published package.
 *
 * What it does that no released server does: delivery receipts (MSC4089), told to the event's sender.
 *
 * `startDevServer(options)` gives a `DevServer` (devServer.ts); its public methods are the tests' controls.
 */
import { Accounts } from "./accounts.ts";
import { addAdminRoutes } from "./adminRoutes.ts";
import { addAliasRoutes } from "./aliasRoutes.ts";
import { Changes, Stream } from "./changes.ts";
import { CrossSigning } from "./crossSigning.ts";
import { addCrossSigningRoutes } from "./crossSigningRoutes.ts";
import { addDeviceRoutes } from "./deviceRoutes.ts";
import { DevServer } from "./devServer.ts";
import { Faults } from "./faults.ts";
import { Features } from "./features.ts";
import { addHistoryRoutes } from "./historyRoutes.ts";
import { InteractiveAuth } from "./interactiveAuth.ts";
import { KeyBackups } from "./keyBackups.ts";
import { addKeyBackupRoutes } from "./keyBackupRoutes.ts";
import { addKeyRoutes } from "./keyRoutes.ts";
import { Keys } from "./keys.ts";
import { Listener } from "./listener.ts";
import { Media } from "./media.ts";
import { addMediaRoutes } from "./mediaRoutes.ts";
import { Observer } from "./observer.ts";
import type { ServerParts } from "./parts.ts";
import { addProfileRoutes } from "./profileRoutes.ts";
import { RateLimits, type RateLimit } from "./rateLimits.ts";
import { addReceiptRoutes } from "./receiptRoutes.ts";
import { Receipts } from "./receipts.ts";
import { addRoomRoutes } from "./roomRoutes.ts";
import { Rooms } from "./rooms.ts";
import { Answer, Router } from "./router.ts";
import { addSessionRoutes } from "./sessionRoutes.ts";
import { Sync } from "./sync.ts";
import { ToDevice } from "./toDevice.ts";

export type { DevServer, SignedIn } from "./devServer.ts";

export interface DevServerOptions {
  /** `localhost` by default. */
  readonly serverName?: string;
  /** 0 (the default) takes any free port. */
  readonly port?: number;
  /**
   * Shown by `/versions`, and had if known here (features.ts): `org.matrix.msc4089` (delivery receipts) and
   * `uk.tcpip.msc4133`, `uk.tcpip.msc4133.stable` (profile fields) unless `false`, `org.matrix.msc4222` (state after)
   * if `true`. `DevServer.setFeature` changes them later.
   */
  readonly unstableFeatures?: Readonly<Record<string, boolean>>;
  /** Whether the receipt type `m.delivery` is known beside the unstable one; `false` by default. */
  readonly stableDeliveryType?: boolean;
  /** What the capability `m.profile_fields` says of custom profile fields; `true` by default. */
  readonly profileFieldsEnabled?: boolean;
  /** `11` by default, as on Synapse. */
  readonly defaultRoomVersion?: "10" | "11" | "12";
  /** Off by default. */
  readonly rateLimit?: RateLimit;
  /** As much as Synapse takes (50 MiB) by default; `DevServer.media.largestBytes` changes it later. */
  readonly largestUploadBytes?: number;
  /** The server's clock, milliseconds since the Unix epoch. */
  readonly now?: () => number;
}

/** Starts a server that listens when this resolves. The caller stops it. */
export async function startDevServer(options: DevServerOptions = {}): Promise<DevServer> {
  const anything = new Changes();
  const parts = partsOf(options, anything);
  const router = new Router();
  const server = new DevServer(parts, new Listener(parts, router, options.port ?? 0), anything);
  addSessionRoutes(router, parts);
  addProfileRoutes(router, parts);
  addRoomRoutes(router, parts);
  addAliasRoutes(router, parts);
  addReceiptRoutes(router, parts);
  addHistoryRoutes(router, parts);
  addDeviceRoutes(router, parts);
  addKeyRoutes(router, parts);
  addCrossSigningRoutes(router, parts);
  addKeyBackupRoutes(router, parts);
  addMediaRoutes(router, parts);
  addAdminRoutes(router, server, anything);
  router.on("GET", "/_matrix/client/v3/sync", async ({ session, query, signal }) => {
    const answer = await parts.sync.answer(session, query, signal);
    return "raw" in answer ? new Answer(200, answer.raw) : answer.body;
  });
  await server.resume();
  return server;
}

function partsOf(options: DevServerOptions, anything: Changes): ServerParts {
  const now = options.now ?? Date.now;
  const serverName = options.serverName ?? "localhost";
  const features = new Features(options.unstableFeatures ?? {});
  const stream = new Stream(anything);
  const accounts = new Accounts(stream, serverName, now);
  const observer = new Observer(anything);
  const rooms = new Rooms(stream, accounts, observer, now);
  const receipts = new Receipts(stream, now);
  const keys = new Keys(stream);
  const toDevice = new ToDevice(stream);
  return {
    serverName,
    defaultRoomVersion: options.defaultRoomVersion ?? "11",
    features,
    stableDeliveryType: options.stableDeliveryType ?? false,
    profileFieldsEnabled: options.profileFieldsEnabled ?? true,
    stream,
    accounts,
    rooms,
    receipts,
    keys,
    crossSigning: new CrossSigning(keys, now),
    keyBackups: new KeyBackups(stream),
    media: new Media(stream, serverName, options.largestUploadBytes),
    interactiveAuth: new InteractiveAuth(accounts),
    toDevice,
    sync: new Sync({ stream, accounts, rooms, receipts, keys, toDevice, features, now }),
    faults: new Faults(anything),
    observer,
    rateLimits: new RateLimits(options.rateLimit ?? null, now),
    now,
  };
}
