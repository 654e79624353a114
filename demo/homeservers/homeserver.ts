/** What the demo needs of a homeserver, whichever it is: an address, two accounts with passwords, and how much patience it takes. */

export interface DemoAccount {
  /** A localpart or a full user ID. */
  readonly user: string;
  readonly password: string;
}

export interface DemoHomeserver {
  /** Without a slash at its end. */
  readonly baseUrl: string;
  readonly bot: DemoAccount;
  readonly sender: DemoAccount;
  /** It is somebody's, and so are the accounts: they are left as they were found. */
  readonly foreign: boolean;
  readonly pace: Pace;
}

export interface Pace {
  /** Of the requests that are sent, in milliseconds. An answer that comes later is none. */
  readonly lifetimeMs: number;
  /** For the whole run, in milliseconds, from the moment at which the homeserver is there. */
  readonly longestMs: number;
}

export const PACES = {
  development: { lifetimeMs: 30_000, longestMs: 90_000 },
  synapse: { lifetimeMs: 30_000, longestMs: 180_000 },
  /** Synapse's own limits let ten messages through, then one in five seconds: some sixty are sent. */
  foreign: { lifetimeMs: 120_000, longestMs: 1_200_000 },
} as const satisfies Record<string, Pace>;
