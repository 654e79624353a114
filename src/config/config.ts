/** The configuration after it was read, checked and completed with its defaults. Units stand in the names. */
import type { LogLevel } from "../logging.ts";
import type { ConfigProblem } from "../errors.ts";
import type { Dialect } from "../protocol/dialects.ts";
import type { UserId } from "../protocol/ids.ts";
import type { Secret } from "./secret.ts";

export interface Config {
  /** As it was given on the command line. */
  readonly file: string;
  /** Absolute: the folder of `file`; relative paths in the configuration start here. */
  readonly baseDirectory: string;
  /** Base address without a slash at its end. */
  readonly homeserver: string;
  readonly account: { readonly user: UserId; readonly token: Secret };
  readonly data: {
    /** Absolute. */
    readonly directory: string;
  };
  readonly encryption: {
    readonly plainInEncryptedRoom: "accept" | "warn" | "refuse";
    readonly waitForKeysMs: number;
  };
  readonly invites: {
    /** Patterns of user IDs, `*` for any run of characters; a bare server `example.org` has become `@*:example.org`. */
    readonly accept: readonly string[];
  };
  readonly responses: {
    /** In the operator's order; empty: nothing is answered. */
    readonly dialects: readonly Dialect[];
    readonly defaultLifetimeMs: number;
    readonly maxLifetimeMs: number;
    readonly sendMarginMs: number;
    readonly unknownTypes: "error" | "addressed" | "ignore";
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
  readonly log: LogLevel;
  /** Not wrong, but worth a second look: a secret file that others can read, a type that no handler can ever see. */
  readonly warnings: readonly ConfigProblem[];
}

export interface HandlerConfig {
  /** Event types: exact, or with `*` at the end. No pattern stands in two handlers. */
  readonly types: readonly string[];
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
