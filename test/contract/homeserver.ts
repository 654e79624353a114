/** What the contract needs of a homeserver beyond the client-server API: accounts, and how much they may say. */
import type { SignedIn } from "../../devserver/server.ts";

/** In whole numbers where it is set for one user. */
export interface MessageLimit {
  /** How many messages fit into an empty bucket. */
  readonly burst: number;
  /** How many leak out each second. */
  readonly perSecond: number;
}

/** How long an access token lives that comes with a refresh token; a homeserver under test is set to it. */
export const SHORT_TOKEN_LIFETIME_MS = 2000;

/** The largest file that a homeserver under test takes. */
export const LARGEST_UPLOAD_BYTES = 65_536;

/** Synapse's own limit. A homeserver under test has it for whoever is not exempted. */
export const DEFAULT_MESSAGE_LIMIT: MessageLimit = { burst: 10, perSecond: 0.2 };

export interface Homeserver {
  /** Without the path: `http://127.0.0.1:PORT`. */
  readonly url: string;
  readonly serverName: string;
  /** Makes an account that can sign in with the password, and signs in one device. It has the default message limit. */
  createAccount(localpart: string, password: string): Promise<SignedIn>;
  /** @param limit for this user alone; null exempts the user */
  limitMessages(userId: string, limit: MessageLimit | null): Promise<void>;
  stop(): Promise<void>;
}
