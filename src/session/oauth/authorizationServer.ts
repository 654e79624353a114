/**
 * The authorization server that a homeserver leaves its sign-ins to (client-server API, "OAuth 2.0 API"; MSC3861), as a client without
 * a secret sees it: registration (MSC2966), new tokens, revocation. deviceGrant.ts signs in through it. The protocol is
 * oauth4webapi's; what goes over the network is `WebFetch`'s.
 */
import * as oauth from "oauth4webapi";
import packageJson from "../../../package.json" with { type: "json" };
import type { Clock } from "../../clock.ts";
import { ServerRefused, ServerUnreachable } from "../../errors.ts";
import type { Homeserver } from "../../matrix/homeserver.ts";
import type { WebFetch } from "../../matrix/webFetch.ts";
import type { JsonObject } from "../../protocol/json.ts";
import { readTokens } from "../readTokens.ts";
import type { TokenSet } from "../tokenKeeper.ts";
import { askServer, OAuthRefusal } from "./oauthAnswers.ts";

const DEVICE_CODE_GRANT = "urn:ietf:params:oauth:grant-type:device_code";

/** The one endpoint, and its name before v1.15 of the specification (MSC2965). */
const METADATA_ENDPOINTS = [
  { endpoint: "/_matrix/client/v1/auth_metadata", isStable: true },
  { endpoint: "/_matrix/client/unstable/org.matrix.msc2965/auth_metadata", isStable: false },
] as const;

/** Shown to whoever is asked to let the bot in. Servers want an https address without a port (MSC2966). */
const CLIENT_URI = "https://matrix-docket.github.io/";

export interface AuthorizationServerPorts {
  readonly web: WebFetch;
  readonly clock: Clock;
}

export class AuthorizationServer {
  readonly metadata: oauth.AuthorizationServer;
  /** Whether the homeserver speaks the released specification, and not the proposal before it. */
  readonly isStable: boolean;
  private readonly ports: AuthorizationServerPorts;

  private constructor(metadata: oauth.AuthorizationServer, isStable: boolean, ports: AuthorizationServerPorts) {
    this.metadata = metadata;
    this.isStable = isStable;
    this.ports = ports;
  }

  /**
   * Asks the homeserver.
   * @returns null where it signs people in itself
   * @throws ServerUnreachable | ServerRefused | Cancelled
   */
  static async discover(
    homeserver: Pick<Homeserver, "request">,
    signal: AbortSignal,
    ports: AuthorizationServerPorts,
  ): Promise<AuthorizationServer | null> {
    for (const { endpoint, isStable } of METADATA_ENDPOINTS) {
      try {
        const metadata = await homeserver.request("GET", endpoint, { signal, retry: "none" });
        return new AuthorizationServer(checkedMetadata(metadata), isStable, ports);
      } catch (error) {
        // Servers that don't know the endpoint answer in different ways; none of them with another status.
        if (!(error instanceof ServerRefused) || ![400, 401, 403, 404, 405].includes(error.status)) throw error;
      }
    }
    return null;
  }

  get issuer(): string {
    return this.metadata.issuer;
  }

  /** Whether a sign-in can be confirmed elsewhere than on this machine (RFC 8628, MSC4341). */
  get grantsDevices(): boolean {
    const { device_authorization_endpoint: endpoint, grant_types_supported: grants } = this.metadata;
    return endpoint !== undefined && (!Array.isArray(grants) || grants.includes(DEVICE_CODE_GRANT));
  }

  /**
   * @returns the ID under which this server knows Docket from now on
   * @throws ServerRefused | ServerUnreachable | Cancelled
   */
  async register(signal: AbortSignal): Promise<string> {
    const about = {
      client_name: "Docket",
      client_uri: CLIENT_URI,
      application_type: "native",
      token_endpoint_auth_method: "none",
      grant_types: [DEVICE_CODE_GRANT, "refresh_token"],
      response_types: [],
      software_id: packageJson.name,
      software_version: packageJson.version,
    };
    const client = await this.ask(
      async () =>
        oauth.processDynamicClientRegistrationResponse(
          await oauth.dynamicClientRegistrationRequest(this.metadata, about, this.options<string>(signal)),
        ),
      (refusal) =>
        refusal.refused(
          `The authorization server ${this.issuer} does not let Docket register itself as a client. Ask its operator to allow that for ${CLIENT_URI}`,
          { tokenRefused: false },
        ),
    );
    return client.client_id;
  }

  /**
   * One attempt.
   * @throws ServerRefused with `tokenRefused`: the sign-in is over
   * @throws ServerRefused | ServerUnreachable | Cancelled to be tried again
   */
  async exchange(clientId: string, refreshToken: string, signal: AbortSignal): Promise<TokenSet> {
    const client = { client_id: clientId };
    const { metadata } = this;
    const answer = await this.ask(
      async () =>
        oauth.processRefreshTokenResponse(
          metadata,
          client,
          await oauth.refreshTokenGrantRequest(metadata, client, oauth.None(), refreshToken, this.options(signal)),
        ),
      (refusal) =>
        OVER.has(refusal.error)
          ? refusal.refused(
              `The authorization server ${this.issuer} no longer knows this sign-in. Sign in again with \`docket login\``,
              { tokenRefused: true },
            )
          : new ServerUnreachable(
              `The authorization server ${this.issuer} gives no new access token at the moment (${refusal.error}). If it stays so, see its log`,
              { doubtful: false },
            ),
    );
    return this.tokensIn(answer);
  }

  /** Ends the session that the token belongs to (RFC 7009). @throws ServerRefused | ServerUnreachable | Cancelled */
  async revoke(
    clientId: string,
    token: string,
    hint: "access_token" | "refresh_token",
    signal: AbortSignal,
  ): Promise<void> {
    await this.ask(
      async () =>
        oauth.processRevocationResponse(
          await oauth.revocationRequest(this.metadata, { client_id: clientId }, oauth.None(), token, {
            ...this.options<URLSearchParams>(signal),
            additionalParameters: { token_type_hint: hint },
          }),
        ),
      (refusal) =>
        refusal.refused(`The authorization server ${this.issuer} does not revoke the token. See its log`, {
          tokenRefused: false,
        }),
    );
  }

  /** @throws ServerUnreachable they can't be used */
  tokensIn(answer: oauth.TokenEndpointResponse): TokenSet {
    const { access_token: accessToken, refresh_token: refreshToken, expires_in: lifetimeS } = answer;
    const lifetimeMs = lifetimeS === undefined ? null : lifetimeS * 1000;
    const tokens = readTokens({ accessToken, refreshToken, lifetimeMs }, this.ports.clock.now());
    if (tokens === null) {
      throw new ServerUnreachable(
        `The authorization server ${this.issuer} gave an access token that no HTTP header can carry. If it stays so, see its log`,
        { doubtful: true },
      );
    }
    return tokens;
  }

  /** For the requests of oauth4webapi. */
  options<Body = URLSearchParams>(signal: AbortSignal): oauth.HttpRequestOptions<"POST", Body> {
    return {
      signal,
      // `WebFetch` decides: plain HTTP on this machine alone.
      [oauth.allowInsecureRequests]: true,
      [oauth.customFetch]: (url, { method, headers, body, signal: own }) =>
        this.ports.web.fetch(url, { method, headers, body: body as string | URLSearchParams, signal: own }),
    };
  }

  /** @param refused the error that a refusal means */
  async ask<T>(request: () => Promise<T>, refused: (refusal: OAuthRefusal) => Error): Promise<T> {
    try {
      return await askServer(this.issuer, request);
    } catch (error) {
      throw error instanceof OAuthRefusal ? refused(error) : error;
    }
  }
}

/** With these the refresh token, or the client that it was given to, is no longer good (RFC 6749 section 5.2). */
const OVER: ReadonlySet<string> = new Set(["invalid_grant", "invalid_client", "unauthorized_client"]);

/** @throws ServerUnreachable */
function checkedMetadata(metadata: JsonObject): oauth.AuthorizationServer {
  const { issuer, token_endpoint: tokenEndpoint } = metadata;
  // It stands in what people are told.
  const isIssuer = typeof issuer === "string" && /^[\x21-\x7e]+$/.test(issuer) && URL.canParse(issuer);
  if (isIssuer && typeof tokenEndpoint === "string") return metadata as unknown as oauth.AuthorizationServer;
  throw new ServerUnreachable(
    "The homeserver names its authorization server in a way that can't be used: `issuer` or `token_endpoint` is missing in its /auth_metadata. Its operator has to correct that",
    { doubtful: false },
  );
}
