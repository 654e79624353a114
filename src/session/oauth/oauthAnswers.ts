/** What an authorization server says when it says no (RFC 6749 section 5.2, RFC 7591, RFC 8628), and oauth4webapi's errors as ours. */
import * as oauth from "oauth4webapi";
import { ServerRefused, ServerUnreachable } from "../../errors.ts";

/** Inside this room alone: whoever asks knows what the code means, and throws one of the closed set of errors. */
export class OAuthRefusal extends Error {
  /** Such as `invalid_grant`; `unknown` where it is none that a standard could have. */
  readonly error: string;
  /** HTTP status. */
  readonly status: number;

  constructor(error: string, status: number) {
    super(error);
    this.error = /^[a-z_]{1,64}$/.test(error) ? error : "unknown";
    this.status = status;
  }

  /** @param what was asked, and what is to be done about the answer. No word of the server's own is in it, but the code */
  refused(what: string, { tokenRefused }: { tokenRefused: boolean }): ServerRefused {
    return new ServerRefused(`${what} (${this.error})`, { status: this.status, errcode: null, tokenRefused });
  }
}

/**
 * Runs a request of oauth4webapi and reads its answer.
 * @param server whom it asks, for messages
 * @throws OAuthRefusal the server says no
 * @throws ServerUnreachable it says nothing usable
 * @throws ServerRefused | Cancelled from `WebFetch`
 */
export async function askServer<T>(server: string, request: () => Promise<T>): Promise<T> {
  try {
    return await request();
  } catch (error) {
    if (error instanceof oauth.ResponseBodyError) throw new OAuthRefusal(error.error, error.status);
    if (error instanceof oauth.WWWAuthenticateChallengeError)
      throw new OAuthRefusal(error.cause[0]?.parameters.error ?? "invalid_client", error.status);
    // Their messages and causes may quote the answer.
    if (error instanceof oauth.OperationProcessingError || error instanceof oauth.UnsupportedOperationError) {
      throw new ServerUnreachable(
        `The authorization server ${server} gave no usable answer (${error.code ?? "no reason given"}). ` +
          "If it stays so, look at its log, and at the proxies before it",
        { doubtful: true },
      );
    }
    throw error;
  }
}
