/** Which access token counts: the configuration's, or else the one that `docket login` left in the data directory. */
import type { Config } from "../config/config.ts";
import { ConfigError } from "../errors.ts";
import { Credentials } from "../journal/credentials.ts";
import { Database } from "../journal/database.ts";
import type { TokenProvider } from "../matrix/http.ts";

/**
 * @returns asked before every request
 * @throws ConfigError there is no token: nobody has signed in, or for another account or homeserver
 */
export function accessTokenOf(
  config: Pick<Config, "file" | "account" | "homeserver">,
  credentials: Credentials,
): TokenProvider {
  const { token, user } = config.account;
  if (token !== null) return () => token.reveal();
  const refused = (message: string, hint: string): ConfigError =>
    new ConfigError([{ file: config.file, line: null, column: null, path: "account", message, hint }]);
  const device = credentials.read();
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
  return () => credentials.read()?.accessToken ?? device.accessToken;
}

/**
 * For commands that only ask, beside a bot that may be running: reads the token once.
 * @throws ConfigError as `accessTokenOf`
 * @throws DataDirectoryRefused there is no database, or another version's
 */
export function storedAccessToken(config: Pick<Config, "file" | "account" | "homeserver" | "data">): TokenProvider {
  const { token } = config.account;
  if (token !== null) return () => token.reveal();
  const database = Database.openReadOnly(config.data.directory);
  try {
    const accessToken = accessTokenOf(config, new Credentials(database))();
    return () => accessToken;
  } finally {
    database.close();
  }
}
