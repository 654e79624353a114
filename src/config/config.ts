/** The configuration after it was read, checked and completed with its defaults. Units stand in the names. */
import type { LogLevel } from "../logging.ts";
import type { ConfigProblem } from "../errors.ts";
import type { ContentRequirement } from "../protocol/capabilities.ts";
import type { Dialect } from "../protocol/dialects.ts";
import type { UserId } from "../protocol/ids.ts";
import type { NetworkSettings } from "./network.ts";
import type { Secret } from "./secret.ts";

export interface Config {
  /** As it was given on the command line. */
  readonly file: string;
  /** Absolute: the folder of `file`; relative paths in the configuration start here. */
  readonly baseDirectory: string;
  /** Base address without a slash at its end. */
  readonly homeserver: string;
  readonly account: {
    readonly user: UserId;
    /** Null: the device counts that `docket login` has signed in. */
    readonly token: Secret | null;
    /** Null: the configuration names none. */
    readonly recoveryKey: {
      /** Null: the file does not exist yet. */
      readonly value: Secret | null;
      /** Absolute; null where the key comes from elsewhere. Written when Docket makes a key and the file does not exist. */
      readonly file: string | null;
    } | null;
    /** For the homeserver's user-interactive authentication, and nothing else. */
    readonly password: Secret | null;
    /** Whether identity, secret storage and key backup are made where the account has none. */
    readonly createIdentity: boolean;
  };
  readonly data: {
    /** Absolute. */
    readonly directory: string;
  };
  /** The way to other servers. */
  readonly network: NetworkSettings;
  readonly encryption: {
    /** Whose events are handled. */
    readonly decryptFrom: "any" | "cross_signed";
    /** Which devices of the members get the room keys of what the bot sends (MSC4153). */
    readonly sendTo: "all" | "cross_signed";
    /** Who may verify the bot, beside the account's own other sessions. */
    readonly verifiers: readonly UserId[];
    readonly plainInEncryptedRoom: "accept" | "warn" | "refuse";
    readonly waitForKeysMs: number;
  };
  readonly invites: {
    /** Patterns of user IDs, `*` for any run of characters; a bare server `example.org` has become `@*:example.org`. */
    readonly accept: readonly string[];
    readonly publicRooms: boolean;
    /** Rooms that the bot may be in. */
    readonly maxRooms: number;
    /** Invitations accepted within an hour; further ones wait. */
    readonly maxPerHour: number;
    /** Null: an invitation that is not accepted is left alone. Else it is declined with the reason, and these words behind it. */
    readonly decline: string | null;
    /** Said once in each room; null: nothing is said. */
    readonly notice: string | null;
  };
  readonly rooms: {
    /** How long the bot stays in a room where it is alone; null: for ever. */
    readonly leaveWhenAloneMs: number | null;
  };
  readonly responses: {
    /** In the operator's order; empty: nothing is answered. */
    readonly dialects: readonly Dialect[];
    readonly defaultLifetimeMs: number;
    readonly maxLifetimeMs: number;
    readonly sendMarginMs: number;
    readonly unknownTypes: "error" | "addressed" | "ignore";
    /** Whether the answer to a request from a device that its owner has not cross-signed says so. */
    readonly warnUntrusted: boolean;
  };
  readonly receipts: {
    /** Which rooms' senders get delivery receipts (MSC4089). */
    readonly rooms: "none" | "private_encrypted" | "private" | "all";
    /** Whether `m.delivery` is tried before its unstable name. */
    readonly preferStable: boolean;
  };
  readonly capabilities: {
    /** Whether the event types that are handled are published in the account's profile (MSC4401). */
    readonly advertise: boolean;
  };
  readonly record: {
    /** Event types to record: exact, or with `*` at the end. */
    readonly types: readonly string[];
  };
  readonly handlers: readonly HandlerConfig[];
  readonly limits: {
    readonly handlers: number;
    readonly handlersPerRoom: number;
    readonly inbox: number;
    readonly parked: number;
    readonly freeDiskBytes: number;
    readonly settledRowsMs: number;
    readonly shutdownGraceMs: number;
  };
  readonly operations: {
    /** Where health and metrics are served over HTTP; null: nowhere. */
    readonly listen: { readonly host: string; readonly port: number } | null;
    /** Asked for with each request; null only where `listen` is an address of this machine alone. */
    readonly token: Secret | null;
  };
  readonly log: LogLevel;
  /** Not wrong, but worth a second look: a secret file that others can read, a type that no handler can ever see. */
  readonly warnings: readonly ConfigProblem[];
}

export interface HandlerConfig {
  /** Event types: exact, or with `*` at the end. No pattern stands in two handlers that ask the same of the content. */
  readonly types: readonly string[];
  /** What the content must have for this handler; all of it. */
  readonly match: readonly ContentRequirement[];
  readonly ordered: boolean;
  readonly steps: readonly StepConfig[];
}

export interface StepConfig {
  readonly name: string;
  /** As the step kind's schema returned them. */
  readonly options: unknown;
  /** Path in the YAML, such as `handlers[0].steps[1].validate`. */
  readonly path: string;
  /** Counted from 1. */
  readonly line: number;
  /** Counted from 1. */
  readonly column: number;
}
