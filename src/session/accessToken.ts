/**
 * Which access token counts: the configuration's, or else the one that `docket login` left in the data directory; and that the latter
 * stays good.
 */
import type { Clock } from "../clock.ts";
import type { Config } from "../config/config.ts";
import type { NetworkSettings } from "../config/network.ts";
import { ConfigError } from "../errors.ts";
import { Credentials, type SignedInDevice } from "../journal/credentials.ts";
import { Database } from "../journal/database.ts";
import type { Logger } from "../logging.ts";
import type { TokenProvider } from "../matrix/http.ts";
import { TokenExchange } from "./tokenExchange.ts";
import { TokenKeeper } from "./tokenKeeper.ts";

type AccountConfig = Pick<Config, "file" | "account" | "homeserver">;

interface TokenPorts {
  readonly network: NetworkSettings;
  readonly clock: Clock;
  readonly log: Logger;
}

export interface AccessToken {
  /** Asked before every request. Rejects where the token has expired and no other can be had. */
  readonly provide: TokenProvider;
  /** Idempotent. The database must be open until this has resolved. */
  stop(): Promise<void>;
}

/**
 * For the process that owns the data directory: tokens that expire are exchanged.
 * @throws ConfigError there is no token: nobody has signed in, or for another account or homeserver
 */
export function accessTokenOf(config: AccountConfig, credentials: Credentials, ports: TokenPorts): AccessToken {
  const { token } = config.account;
  if (token !== null) return { provide: () => token.reveal(), stop: () => Promise.resolve() };
  return keepSignedIn(requireSignedIn(config, credentials.read()), credentials, ports);
}

/** Hands out the tokens of this device, and exchanges them when they expire. */
export function keepSignedIn(device: SignedInDevice, credentials: Credentials, ports: TokenPorts): AccessToken {
  const exchange = new TokenExchange(device, ports);
  const keeper = new TokenKeeper({
    ...ports,
    tokens: device,
    save: (tokens) => credentials.write({ ...device, ...tokens }),
    exchange: (refreshToken, signal) => exchange.exchange(refreshToken, signal),
  });
  return {
    provide: keeper.provide,
    stop: async () => {
      await keeper.stop();
      await exchange.close();
    },
  };
}

/**
 * For commands that only ask, beside a bot that may be running: reads the token, and once more when it is refused, since the bot may
 * have a new one by then. Exchanges nothing.
 * @throws ConfigError as `accessTokenOf`
 * @throws DataDirectoryRefused the database is another version's
 */
export function storedAccessToken(config: AccountConfig & Pick<Config, "data">): TokenProvider {
  const { token } = config.account;
  if (token !== null) return () => token.reveal();
  const first = readSignedIn(config).accessToken;
  return (refused) => (refused === undefined ? first : readSignedIn(config).accessToken);
}

/** @throws ConfigError | DataDirectoryRefused as `storedAccessToken` */
export function readSignedIn(config: AccountConfig & Pick<Config, "data">): SignedInDevice {
  if (!Database.exists(config.data.directory)) return requireSignedIn(config, null);
  const database = Database.openReadOnly(config.data.directory);
  try {
    return requireSignedIn(config, new Credentials(database).read());
  } finally {
    database.close();
  }
}

function requireSignedIn(config: AccountConfig, device: SignedInDevice | null): SignedInDevice {
  const { user } = config.account;
  const refused = (message: string, hint: string): ConfigError =>
    new ConfigError([{ file: config.file, line: null, column: null, path: "account", message, hint }]);
  const signIn = `Sign in with: docket login --config ${config.file}`;
  if (device === null) throw refused("found no access token, and nobody has signed in", signIn);
  if (device.userId !== user)
    throw refused(`found the account ${device.userId} signed in, expected ${user}`, `Correct account.user. ${signIn}`);
  if (device.homeserver !== config.homeserver) {
    throw refused(
      `found a device that was signed in at ${device.homeserver}, but homeserver is ${config.homeserver}`,
      `Correct homeserver. ${signIn}`,
    );
  }
  return device;
}
