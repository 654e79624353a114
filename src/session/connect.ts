/** Finds out who we are: asks the homeserver until it answers, and holds the answer to the configuration. */
import type { Clock } from "../clock.ts";
import type { Config } from "../config/config.ts";
import { ConfigError, type DocketError, ServerRefused, ServerUnreachable } from "../errors.ts";
import type { Logger } from "../logging.ts";
import type { Homeserver, ServerVersions } from "../matrix/homeserver.ts";
import type { DeviceId, UserId } from "../protocol/ids.ts";

export interface Connection {
  readonly userId: UserId;
  readonly deviceId: DeviceId;
  readonly versions: ServerVersions;
}

const FIRST_PAUSE_MS = 500;
const LONGEST_PAUSE_MS = 30_000;

/**
 * @param patience `retry`: a bot waits for its homeserver, and says so; `once`: a command gives up
 * @throws ServerUnreachable | ServerRefused | Cancelled
 * @throws ConfigError the token belongs to another account, or to no device
 */
export async function connect(
  config: Pick<Config, "file" | "account" | "homeserver">,
  ports: {
    homeserver: Homeserver;
    clock: Clock;
    log: Logger;
    signal: AbortSignal;
    patience: "retry" | "once";
    /** Told of each failure that is waited out. */
    onWait?: (error: DocketError) => void;
  },
): Promise<Connection> {
  const { homeserver, clock, log, signal, patience, onWait } = ports;
  for (let pauseMs = FIRST_PAUSE_MS; ; pauseMs = Math.min(pauseMs * 2, LONGEST_PAUSE_MS)) {
    try {
      const versions = await homeserver.versions(signal);
      const { userId, deviceId } = await homeserver.whoami(signal);
      return { userId, deviceId: requireOwnDevice(config, userId, deviceId), versions };
    } catch (error) {
      // Without an errcode a proxy has answered, whose homeserver may still be starting.
      const retryable =
        error instanceof ServerUnreachable ||
        (error instanceof ServerRefused && !error.tokenRefused && (error.retryable || error.errcode === null));
      if (!retryable || patience === "once") throw error;
      const waitMs = Math.max(pauseMs, error instanceof ServerRefused ? (error.retryAfterMs ?? 0) : 0);
      log.warn(
        { code: error.code, waitMs, problem: error.message },
        "the homeserver does not answer yet; trying again",
      );
      onWait?.(error);
      await clock.sleep(waitMs, signal);
    }
  }
}

function requireOwnDevice(
  config: Pick<Config, "file" | "account">,
  userId: UserId,
  deviceId: DeviceId | null,
): DeviceId {
  const problem = (message: string, hint: string): ConfigError =>
    new ConfigError([{ file: config.file, line: null, column: null, path: "account.token", message, hint }]);
  if (userId !== config.account.user) {
    throw problem(
      `the token belongs to ${userId}, but account.user is ${config.account.user}`,
      "Use a token of that account, or correct account.user.",
    );
  }
  if (deviceId === null) {
    throw problem(
      "the token belongs to no device, so there is nobody to encrypt for",
      "Use a token from a password login, which makes a device.",
    );
  }
  return deviceId;
}
