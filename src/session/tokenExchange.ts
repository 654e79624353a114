/** Exchanges the refresh token of a signed-in device where it came from: at the homeserver, or at its authorization server. */
import type { Clock } from "../clock.ts";
import type { NetworkSettings } from "../config/network.ts";
import { ServerRefused, ServerUnreachable } from "../errors.ts";
import type { SignedInDevice } from "../journal/credentials.ts";
import type { Logger } from "../logging.ts";
import { DocketClient } from "../matrix/client.ts";
import { WebFetch } from "../matrix/webFetch.ts";
import { exchangeAtHomeserver } from "./homeserverSignIn.ts";
import { AuthorizationServer } from "./oauth/authorizationServer.ts";
import type { TokenSet } from "./tokenKeeper.ts";

export class TokenExchange {
  private readonly device: Pick<SignedInDevice, "authorizationServer">;
  private readonly clock: Clock;
  /** Sends no token. */
  private readonly homeserver: DocketClient;
  private readonly web: WebFetch;
  private found: AuthorizationServer | null = null;

  constructor(
    device: Pick<SignedInDevice, "homeserver" | "authorizationServer">,
    ports: { network: NetworkSettings; clock: Clock; log: Logger },
  ) {
    this.device = device;
    this.clock = ports.clock;
    this.homeserver = new DocketClient({ ...ports, homeserverUrl: device.homeserver, tokenProvider: () => null });
    this.web = new WebFetch(ports);
  }

  /**
   * One attempt.
   * @throws ServerRefused with `tokenRefused`: the sign-in is over
   * @throws ServerRefused | ServerUnreachable | Cancelled to be tried again
   */
  async exchange(refreshToken: string, signal: AbortSignal): Promise<TokenSet> {
    const { clock } = this;
    const client = this.device.authorizationServer;
    if (client === null) return await exchangeAtHomeserver(this.homeserver, refreshToken, { clock, signal });
    try {
      const server = await this.server(client.issuer, signal);
      return await server.exchange(client.clientId, refreshToken, signal);
    } catch (error) {
      // It may have moved.
      this.found = null;
      throw error;
    }
  }

  /**
   * Ends the session of the tokens at their authorization server.
   * @throws ServerRefused | ServerUnreachable | Cancelled
   */
  async revoke(tokens: TokenSet, client: { issuer: string; clientId: string }, signal: AbortSignal): Promise<void> {
    const server = await this.server(client.issuer, signal);
    const [token, hint] =
      tokens.refreshToken === null
        ? ([tokens.accessToken, "access_token"] as const)
        : ([tokens.refreshToken, "refresh_token"] as const);
    await server.revoke(client.clientId, token, hint, signal);
  }

  /** Idempotent. */
  async close(): Promise<void> {
    await Promise.all([this.homeserver.close(), this.web.close()]);
  }

  private async server(issuer: string, signal: AbortSignal): Promise<AuthorizationServer> {
    if (this.found !== null) return this.found;
    const found = await AuthorizationServer.discover(this.homeserver, signal, { web: this.web, clock: this.clock });
    if (found === null) {
      throw new ServerUnreachable(
        `The homeserver does not name its authorization server, which was ${issuer} when this device was signed in. If it has none any more, sign in again with \`docket login\``,
        { doubtful: false },
      );
    }
    // A refresh token is shown to nobody but who gave it.
    if (found.issuer !== issuer) {
      throw new ServerRefused(
        `The homeserver names ${found.issuer} as its authorization server, but this device was signed in through ${issuer}. Sign in again with \`docket login\``,
        { status: 401, errcode: null, tokenRefused: true },
      );
    }
    return (this.found = found);
  }
}
