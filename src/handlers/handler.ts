/**
 * A handler: an ordered list of steps for some event types. `runHandler` runs the steps one after the other and makes one verdict
 * of theirs. It guarantees that an abort ends the run promptly even where a step ignores its signal, and that nothing a step
 * throws reaches the room: a thrown text may contain what the event contained.
 */
import { Cancelled, CryptoPanicked, DocketError, LeaseLost, StepFailed, StoreFailed } from "../errors.ts";
import type { Logger } from "../logging.ts";
import type { ContentRequirement } from "../protocol/capabilities.ts";
import type { Message } from "../protocol/responses.ts";
import type { JsonValue } from "../protocol/json.ts";
import type { ClearEvent, Step, StepContext, Verdict } from "./step.ts";

export interface HandlerStep {
  /** The step kind's name, for the log. */
  readonly name: string;
  readonly step: Step;
}

export interface Handler {
  /** Event types, exact or with `*` at the end. */
  readonly types: readonly string[];
  /** What the content must have, all of it. */
  readonly match?: readonly ContentRequirement[];
  /** Events of one room go one by one, in the order of arrival. */
  readonly ordered?: boolean;
  readonly steps: readonly HandlerStep[];
}

/** What is said in the room when a step failed; what happened is in the log. */
export const handlerFailedText = "The event could not be processed";

/**
 * Runs the steps in order; the first error ends the list. Messages are joined in order; of extra properties with the same name
 * the later step's stands.
 * @param context without `extra`, which is built up here from step to step
 * @param signal its abort ends the run at once; the step that was running may go on for a while, and its outcome is dropped
 * @throws Cancelled when `signal` aborts before there is a verdict; StoreFailed, CryptoPanicked or LeaseLost as they come
 */
export async function runHandler(
  handler: Handler,
  event: ClearEvent,
  context: Omit<StepContext, "extra">,
  signal: AbortSignal,
  log: Logger,
): Promise<Verdict> {
  const messages: Message[] = [];
  // A map, because a step's property may have any name, `__proto__` included.
  const extra = new Map<string, JsonValue>();
  for (const { name, step } of handler.steps) {
    const stepContext: StepContext = { ...context, extra: Object.fromEntries(extra) };
    const verdict = await runStep(name, step, event, stepContext, signal, log);
    messages.push(...(verdict.messages ?? []));
    for (const [key, value] of Object.entries(verdict.extra ?? {})) extra.set(key, value);
    if (verdict.status === "error")
      return { status: "error", code: verdict.code, messages, extra: Object.fromEntries(extra) };
  }
  return { status: "success", messages, extra: Object.fromEntries(extra) };
}

async function runStep(
  name: string,
  step: Step,
  event: ClearEvent,
  context: StepContext,
  signal: AbortSignal,
  log: Logger,
): Promise<Verdict> {
  if (signal.aborted) throw cancelled(signal);
  const abort = Promise.withResolvers<never>();
  const onAbort = (): void => abort.reject(cancelled(signal));
  signal.addEventListener("abort", onAbort, { once: true });
  let abandoned = false;
  // `async` turns a throw before the step's first await into a rejection.
  const running = (async () => step.run(event, context, signal))().catch((error: unknown): Verdict => {
    if (isNotTheStepsFault(error)) {
      if (abandoned) report(log, "warn", name, event, error);
      throw error;
    }
    // A step that gives up because it was told to has not failed.
    if (signal.aborted) throw cancelled(signal);
    report(log, "error", name, event, error);
    return { status: "error", code: "handler_failed", messages: [{ type: "error", text: handlerFailedText }] };
  });
  try {
    return await Promise.race([running, abort.promise]);
  } finally {
    abandoned = true;
    signal.removeEventListener("abort", onAbort);
  }
}

/** Errors that say something about the process, not about the event: they are the caller's to act on. */
function isNotTheStepsFault(error: unknown): boolean {
  return (
    error instanceof StoreFailed ||
    error instanceof CryptoPanicked ||
    error instanceof LeaseLost ||
    error instanceof Cancelled
  );
}

function cancelled(signal: AbortSignal): Cancelled {
  return new Cancelled("the handler was cancelled", { cause: signal.reason });
}

/** The class and code of what was thrown, never its text. */
function report(log: Logger, level: "warn" | "error", step: string, event: ClearEvent, error: unknown): void {
  const code = new StepFailed("").code;
  log[level](
    { roomId: event.roomId, eventId: event.id, step, code, cause: nameOf(error) },
    "a step of a handler threw instead of returning a verdict",
  );
}

function nameOf(error: unknown): string {
  if (error instanceof DocketError) return error.code;
  if (!(error instanceof Error)) return typeof error;
  // A system error's code (`ENOENT`) says more than its class. Anything longer or stranger might be data.
  const code: unknown = "code" in error ? error.code : undefined;
  if (typeof code === "string" && /^[A-Z][A-Z0-9_]{1,63}$/.test(code)) return code;
  return error.constructor.name.slice(0, 64);
}
