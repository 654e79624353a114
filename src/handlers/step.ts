/** What a handler's step is. A step looks at one clear event and returns a verdict; it never sends. */
import type { z } from "zod";
import type { EpochMs } from "../clock.ts";
import type { SenderTrust } from "../crypto/cryptoEngine.ts";
import type { EventId, RoomId, UserId } from "../protocol/ids.ts";
import type { JsonObject } from "../protocol/json.ts";
import type { Message, ReasonCode } from "../protocol/responses.ts";
import type { RecordReceipt } from "../record/record.ts";

/** An event after decryption: type and content are the decrypted ones. */
export interface ClearEvent {
  /** Also the idempotency key: a step may run again for the same event after a crash. */
  readonly id: EventId;
  readonly roomId: RoomId;
  readonly type: string;
  readonly sender: UserId;
  readonly originServerTs: EpochMs;
  readonly content: JsonObject;
  /** Present on state events only. */
  readonly stateKey?: string;
}

export interface StepContext {
  readonly room: { readonly id: RoomId; readonly encrypted: boolean };
  readonly trust: SenderTrust;
  /** When the step is cancelled; null where nobody waits for an answer. */
  readonly deadline: EpochMs | null;
  /** Extra content properties that earlier steps of the same handler added. */
  readonly extra: JsonObject;
  /** Resolves when the record of this event is durable; null where the operator's selection leaves its type out of the record. */
  recorded(): Promise<RecordReceipt | null>;
}

export type Verdict =
  | { readonly status: "success"; readonly messages?: readonly Message[]; readonly extra?: JsonObject }
  | {
      readonly status: "error";
      readonly code: ReasonCode;
      readonly messages: readonly Message[];
      readonly extra?: JsonObject;
    };

/** May run again after a crash. Never sends. Throws only when it can't reach a verdict. */
export interface Step {
  run(event: ClearEvent, context: StepContext, signal: AbortSignal): Promise<Verdict>;
}

/** A kind of step, such as `validate`: what its options look like, and how it is made ready once at start. */
export interface StepKind<Options = unknown> {
  readonly name: string;
  /** One line for the generated documentation and the JSON Schema. */
  readonly description: string;
  /** True where the step vouches for the record: a type that `record.types` leaves out is then a configuration error. */
  readonly needsRecord?: boolean;
  /** Options as they stand in the configuration after `name:`. A step that needs none accepts `undefined`, and is then written as a bare name. */
  readonly options: z.ZodType<Options>;
  /**
   * Compiles schemas, reads files.
   * @param baseDirectory absolute; relative paths in the options start here (the folder of the configuration file)
   * @throws Error with a message for the operator; the caller adds file, line and path and makes a ConfigError of it
   */
  prepare(options: Options, baseDirectory: string): Promise<Step>;
}
