/**
 * One signed-in device, as the bot and the commands use it: the client with its token, who we are, and the keys of the data directory
 * with the engine on them. Guarantees: the data directory is this device's and this role's; nothing is sent with keys that the
 * homeserver does not know as ours; `stop` closes what was opened, in reverse order, also after a start that failed half-way.
 */
import type { Clock } from "../clock.ts";
import type { Config } from "../config/config.ts";
import { audienceIn } from "../crypto/audience.ts";
import type { CryptoEngine } from "../crypto/cryptoEngine.ts";
import type { CryptoEngineOptions } from "../crypto/cryptoEngineOptions.ts";
import { createCryptoEngine } from "../crypto/engine.ts";
import { KeyStore } from "../crypto/keyStore.ts";
import { cryptoLibraryVersion } from "../crypto/libraryVersion.ts";
import type { DocketError } from "../errors.ts";
import { Credentials } from "../journal/credentials.ts";
import type { Database } from "../journal/database.ts";
import { claimOwnership, type Role } from "../journal/ownership.ts";
import { SentIndexes } from "../journal/sentIndexes.ts";
import { RoomStates } from "../journal/roomStates.ts";
import { closeAll } from "../lifecycle.ts";
import type { Logger } from "../logging.ts";
import { DocketClient } from "../matrix/client.ts";
import type { Metrics } from "../metrics.ts";
import type { Vitals } from "../vitals.ts";
import { accessTokenOf } from "./accessToken.ts";
import { storedBackupKey } from "./backupSecret.ts";
import { connect, type Connection } from "./connect.ts";
import { requireOwnKeys } from "./ownKeys.ts";

/** What the engine tells and asks; without `sendTo` it is what the configuration says. */
type EnginePorts = Pick<
  CryptoEngineOptions,
  | "onNewSessions"
  | "parkedSessions"
  | "wakeRoom"
  | "onSendersChanged"
  | "onIdentityChanged"
  | "sendTo"
  | "onKeysUploaded"
  | "onKeysRefused"
  | "verifiers"
>;

export interface SessionPorts extends EnginePorts {
  readonly clock: Clock;
  readonly log: Logger;
  readonly metrics?: Metrics;
  readonly vitals?: Vitals;
  readonly signal: AbortSignal;
  /** What the data directory is used for from now on; null where that is still open. */
  readonly role: Role | null;
  /** `retry`: a bot waits for its homeserver, and says so; `once`: a command gives up. */
  readonly patience: "retry" | "once";
  /** Told of each failure that is waited out. */
  readonly onWait?: (error: DocketError) => void;
  /** Must end the process at once, synchronously: memory is ahead of disk, or can't be trusted any more. */
  readonly onFatal: (error: Error) => never;
}

export interface Session extends Connection {
  readonly homeserver: DocketClient;
  readonly engine: CryptoEngine;
  readonly keyStore: KeyStore;
  /** Begins with key uploads and the like: from now on the engine sends. */
  start(): Promise<void>;
  /** Idempotent. The database stays open: it is the caller's. */
  stop(): Promise<void>;
}

/**
 * @throws ConfigError there is no token, or it belongs to another account
 * @throws DataDirectoryRefused the data directory is another device's, or used for something else, or lacks this device's keys
 * @throws ServerUnreachable | ServerRefused | Cancelled | StoreFailed
 */
export async function openSession(
  database: Database,
  config: Pick<Config, "file" | "account" | "homeserver" | "network" | "encryption">,
  ports: SessionPorts,
): Promise<Session> {
  const { clock, log, metrics, signal, onFatal } = ports;
  const opened: (() => Promise<void> | void)[] = [];
  const stop = (): Promise<void> => closeAll(opened, log);
  try {
    const accessToken = accessTokenOf(config, new Credentials(database), {
      network: config.network,
      clock,
      log,
    });
    opened.push(() => accessToken.stop());
    const homeserver = new DocketClient({
      homeserverUrl: config.homeserver,
      network: config.network,
      tokenProvider: accessToken.provide,
      clock,
      log,
      ...(metrics === undefined ? {} : { metrics }),
    });
    opened.push(() => homeserver.close());
    const connection = await connect(config, { homeserver, ...ports });
    const { userId, deviceId } = connection;
    claimOwnership(database, connection, ports.role);
    const keyStore = await KeyStore.open({ database, libraryVersion: await cryptoLibraryVersion(), onFatal, log });
    opened.push(() => keyStore.close());
    keyStore.install();
    const sentIndexes = new SentIndexes(database);
    const engine = await createCryptoEngine({
      ...ports,
      userId,
      deviceId,
      homeserver,
      keyStore,
      sendTo: ports.sendTo ?? (() => config.encryption.sendTo),
      storedKey: storedBackupKey(config, { homeserver, userId }),
      audience: audienceIn(new RoomStates(database)),
      // Whoever follows all rooms learns from the sync how far they are; a requester asks in one, and seldom.
      doubtsRoomKeys: ports.role === "bot",
      onEncrypted: (roomId, sessionId, index) => sentIndexes.note(roomId, sessionId, index),
    });
    opened.push(() => engine.stop());
    await requireOwnKeys(engine.identity, { homeserver, directory: database.directory, log, signal });
    return { ...connection, homeserver, engine, keyStore, start: () => engine.start(), stop };
  } catch (error) {
    await stop();
    throw error;
  }
}
