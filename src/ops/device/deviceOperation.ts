/**
 * What work on the signed-in device is: a name, the shapes of what goes in and comes out, and the work itself. It is the same wherever
 * it runs: in the bot, when one runs on the data directory (deviceOperations.ts, asked by runInBot.ts), or in the command, when none
 * does. Guarantee for whoever writes one: `signal` aborts when the person at the terminal is gone, or the bot stops.
 */
import type { z } from "zod";
import type { Clock } from "../../clock.ts";
import type { Config } from "../../config/config.ts";
import type { Database } from "../../journal/database.ts";
import type { Logger } from "../../logging.ts";
import type { Session } from "../../session/openSession.ts";

/** The device that is worked on; its session is started. */
export interface Device {
  readonly session: Session;
  /** What the homeserver has for the device is taken in meanwhile; a command by itself does not. */
  readonly isSyncing: boolean;
  readonly database: Database;
  /** As it counts now; what is bound to the start stands as it was then. */
  readonly config: Config;
  readonly clock: Clock;
  readonly log: Logger;
}

/** The way to the person who started it. */
export interface Talk<Report, Question, Reply> {
  /** Says how far it is, or what is new. Never throws. */
  tell(report: Report): void;
  /** Asks, and waits for the answer. @throws Cancelled the person is gone */
  ask(question: Question): Promise<Reply>;
  readonly signal: AbortSignal;
}

/**
 * One kind of work. All shapes are JSON: they may pass through the control socket.
 * `run` throws errors of ours for people (src/errors.ts); anything else is a bug.
 */
export interface DeviceOperation<Input, Report, Result, Question = never, Reply = never> {
  /** In a path: lower case, with hyphens. */
  readonly name: string;
  readonly input: z.ZodType<Input>;
  readonly report: z.ZodType<Report>;
  readonly result: z.ZodType<Result>;
  readonly question: z.ZodType<Question>;
  readonly reply: z.ZodType<Reply>;
  run(device: Device, input: Input, talk: Talk<Report, Question, Reply>): Promise<Result>;
}

/** The lines that the bot answers an operation with, one JSON object each; an empty line says that it is still at work. */
export type OperationLine =
  | { readonly kind: "report"; readonly report: unknown }
  | { readonly kind: "question"; readonly id: string; readonly question: unknown }
  | { readonly kind: "result"; readonly result: unknown }
  | { readonly kind: "failed"; readonly code: string; readonly message: string; readonly exitCode: number };

/** Where an operation is asked for, on the control socket. */
export function pathOf(operation: { readonly name: string }): string {
  return `/device/${operation.name}`;
}

/** Where its questions are answered. */
export const ANSWERS_PATH = "/device-answers/:id";
