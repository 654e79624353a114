/** What the tests of the account's identity need of a homeserver. */
import type { SignedIn } from "../../devserver/server.ts";

export interface IdentityHomeserver {
  /** Without a slash at the end. */
  readonly url: string;
  createAccount(localpart: string, password: string): Promise<SignedIn>;
  /** Another device of the account. */
  signIn(userId: string, password: string): Promise<SignedIn>;
  stop(): Promise<void>;
  /** Kills are tried after every so many requests: 1 by default. */
  readonly killStep?: number;
}
