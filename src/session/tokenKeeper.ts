/**
 * Owns the access token of a signed-in device whose tokens expire: hands it out for each request, and exchanges the refresh token for
 * new ones, shortly before the end, or when the homeserver refuses the token. One for all clients of a process.
 *
 * Guarantees: one exchange at a time, whoever asks for it. New tokens are on disk before the first request goes out with them: the old
 * refresh token stays good until then, so whatever kills the process leaves one on disk that the server takes. An exchange that comes
 * to nothing for want of an answer ends nothing; one that is refused is not repeated.
 */
import type { Clock, EpochMs } from "../clock.ts";
import { Cancelled, DocketError, endsTheBot, StoreFailed } from "../errors.ts";
import type { Logger } from "../logging.ts";

export interface TokenSet {
  readonly accessToken: string;
  /** Null: the access token does not expire, or nothing can be had when it does. */
  readonly refreshToken: string | null;
  /** Null: not known. */
  readonly expiresAt: EpochMs | null;
}

export interface TokenKeeperPorts {
  /** From disk. */
  readonly tokens: TokenSet;
  /** Must be on disk when it returns. @throws StoreFailed */
  readonly save: (tokens: TokenSet) => void;
  /**
   * One attempt to exchange the refresh token.
   * @throws ServerRefused with `tokenRefused`: the sign-in is over
   * @throws ServerRefused | ServerUnreachable | Cancelled otherwise: to be tried again
   */
  readonly exchange: (refreshToken: string, signal: AbortSignal) => Promise<TokenSet>;
  readonly clock: Clock;
  readonly log: Logger;
}

/** How long before its end a token is exchanged; shorter for one that lives shortly. */
const AHEAD_MS = 30_000;
/** After an exchange ahead of time that failed. */
const PAUSE_MS = 5_000;
/** An exchange under way at the stop is waited for: what it brings would be lost. */
const LONGEST_STOP_MS = 5_000;

export class TokenKeeper {
  private readonly ports: TokenKeeperPorts;
  private tokens: TokenSet;
  /** Exchanged from here on, while the old one is good. */
  private aheadFrom: EpochMs;
  private exchanging: Promise<string> | null = null;
  /** Why there will be no more tokens: the sign-in is over, or the disk takes nothing. */
  private ended: DocketError | null = null;
  private readonly stopping = new AbortController();

  constructor(ports: TokenKeeperPorts) {
    this.ports = ports;
    this.tokens = ports.tokens;
    this.aheadFrom = (ports.tokens.expiresAt ?? Infinity) - AHEAD_MS;
  }

  /**
   * A `TokenProvider`.
   * @param refused a token that the homeserver has just refused
   * @returns the refused one itself where no other can be had
   * @throws ServerRefused the sign-in is over: `tokenRefused`
   * @throws ServerRefused | ServerUnreachable | Cancelled there is no good token now
   * @throws StoreFailed
   */
  readonly provide = (refused?: string): Promise<string> | string => {
    const { accessToken, refreshToken, expiresAt } = this.tokens;
    if (this.ended instanceof StoreFailed) throw this.ended;
    if (refreshToken === null) return accessToken;
    if (refused !== undefined) return refused === accessToken ? this.exchange() : accessToken;
    const now = this.ports.clock.now();
    if (expiresAt !== null && now >= expiresAt) return this.exchange();
    if (this.ended === null && now >= this.aheadFrom) this.exchangeAhead();
    return accessToken;
  };

  /** Waits a moment for an exchange under way, then gives it up. Idempotent. */
  async stop(): Promise<void> {
    const { clock } = this.ports;
    const patience = new AbortController();
    if (this.exchanging !== null) {
      const settled = this.exchanging.catch(() => undefined);
      await Promise.race([settled, clock.sleep(LONGEST_STOP_MS, patience.signal)]);
      patience.abort();
    }
    this.stopping.abort();
    await this.exchanging?.catch(() => undefined);
  }

  /** The old token is still good: nobody waits for the new one, nor for a server that does not answer. */
  private exchangeAhead(): void {
    const { clock, log } = this.ports;
    this.aheadFrom = clock.now() + PAUSE_MS;
    this.exchange().catch((error: unknown) => {
      const code = error instanceof DocketError ? error.code : "BUG";
      const problem = error instanceof DocketError ? error.message : null;
      log.warn({ code, problem }, "the access token will expire soon and could not be exchanged yet");
    });
  }

  private exchange(): Promise<string> {
    this.exchanging ??= this.exchangeOnce().finally(() => (this.exchanging = null));
    return this.exchanging;
  }

  private async exchangeOnce(): Promise<string> {
    const { clock, log, exchange, save } = this.ports;
    const { refreshToken } = this.tokens;
    if (this.ended !== null) throw this.ended;
    if (refreshToken === null) throw new TypeError("there is no refresh token");
    if (this.stopping.signal.aborted) throw new Cancelled("the access token was needed after the end");
    let tokens: TokenSet;
    try {
      const next = await exchange(refreshToken, this.stopping.signal);
      // A server may let the refresh token stay the same (RFC 6749 section 6; client-server API, "POST /refresh").
      tokens = { ...next, refreshToken: next.refreshToken ?? refreshToken };
      save(tokens);
    } catch (error) {
      if (error instanceof DocketError && endsTheBot(error)) this.ended = error;
      throw error;
    }
    this.tokens = tokens;
    const now = clock.now();
    const expiresAt = tokens.expiresAt ?? Infinity;
    this.aheadFrom = expiresAt - Math.min(AHEAD_MS, Math.max(expiresAt - now, 0) / 2);
    log.info({ lifetimeMs: tokens.expiresAt === null ? null : tokens.expiresAt - now }, "new access token");
    return tokens.accessToken;
  }
}
