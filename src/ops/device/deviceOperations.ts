/**
 * The bot's side of device operations: runs what a command asks for over the control socket, and streams back what it says. Guarantees:
 * one of each kind at a time; it ends when the command hangs up or the bot stops; a failure is told to who asked and ends nothing else.
 */
import { randomUUID } from "node:crypto";
import type { Context } from "hono";
import { Cancelled, DocketError, ExitCode } from "../../errors.ts";
import type { Logger } from "../../logging.ts";
import type { Route } from "../app.ts";
import { ANSWERS_PATH, pathOf, type Device, type DeviceOperation, type OperationLine } from "./deviceOperation.ts";

/** What is typed at a terminal, or named there. */
const LARGEST_INPUT_BYTES = 64 * 1_024;
/** A connection on which nothing moves is closed after three times this. */
const SIGN_OF_LIFE_MS = 10_000;

export type AnyDeviceOperation = DeviceOperation<unknown, unknown, unknown, unknown, unknown>;

export interface DeviceOperationsPorts {
  readonly operations: readonly AnyDeviceOperation[];
  /** Null while there is none yet: the homeserver has not answered. */
  readonly device: () => Device | null;
  readonly log: Logger;
}

interface Waiting {
  readonly operation: AnyDeviceOperation;
  readonly resolve: (reply: unknown) => void;
}

export class DeviceOperations {
  private readonly ports: DeviceOperationsPorts;
  private readonly running = new Map<string, Promise<void>>();
  private readonly questions = new Map<string, Waiting>();
  private readonly stopping = new AbortController();

  constructor(ports: DeviceOperationsPorts) {
    this.ports = ports;
  }

  /** Nothing new is taken; what runs is told to end, and has ended when it resolves. Idempotent. */
  async stop(): Promise<void> {
    this.stopping.abort(new Cancelled("The bot stops."));
    await Promise.all(this.running.values());
  }

  routes(): readonly Route[] {
    const operations = this.ports.operations.map((operation): Route => {
      const answer = (context: Context) => this.begin(operation, context);
      return { method: "POST", path: pathOf(operation), bodyBytes: LARGEST_INPUT_BYTES, answer };
    });
    const answer = (context: Context) => this.answer(context);
    return [...operations, { method: "POST", path: ANSWERS_PATH, bodyBytes: LARGEST_INPUT_BYTES, answer }];
  }

  private async begin(operation: AnyDeviceOperation, context: Context): Promise<Response> {
    const input = operation.input.safeParse(await readJson(context));
    if (!input.success) return context.text("The command and the bot are of different versions.\n", 400);
    const gone = new AbortController();
    const signal = AbortSignal.any([gone.signal, this.stopping.signal]);
    let controller: ReadableStreamDefaultController<string> | null = null;
    const write = (text: string): void => {
      if (!gone.signal.aborted) controller?.enqueue(text);
    };
    const say = (line: OperationLine): void => write(`${JSON.stringify(line)}\n`);
    const body = new ReadableStream<string>({
      start: (opened) => {
        controller = opened;
      },
      cancel: () => gone.abort(new Cancelled("The command hung up.")),
    });
    const work = this.work(operation, input.data, say, signal).finally(() => {
      clearInterval(lifeSigns);
      if (!gone.signal.aborted) controller?.close();
    });
    const lifeSigns = setInterval(() => write("\n"), SIGN_OF_LIFE_MS);
    void work;
    return context.body(body.pipeThrough(new TextEncoderStream()), 200, { "Content-Type": "application/jsonl" });
  }

  /** Never rejects. */
  private async work(
    operation: AnyDeviceOperation,
    input: unknown,
    say: (line: OperationLine) => void,
    signal: AbortSignal,
  ): Promise<void> {
    const { device: deviceNow, log } = this.ports;
    const device = deviceNow();
    if (this.running.has(operation.name))
      return say(unavailable("Somebody else does this just now; wait, then repeat."));
    if (device === null || signal.aborted)
      return say(
        unavailable("The bot has no connection to its homeserver yet. `docket health` says why; repeat it then."),
      );
    const { promise: ended, resolve: end } = Promise.withResolvers<void>();
    this.running.set(operation.name, ended);
    const asked = new Set<string>();
    try {
      const result = await operation.run(device, input, {
        tell: (report) => say({ kind: "report", report }),
        ask: (question) => this.ask(operation, question, asked, say, signal),
        signal,
      });
      say({ kind: "result", result });
    } catch (error) {
      const isOurs = error instanceof DocketError;
      if (!isOurs) log.error({ code: "BUG", operation: operation.name }, "an operation on the device failed");
      say({
        kind: "failed",
        code: isOurs ? error.code : "BUG",
        message: isOurs ? error.message : "The bot failed at this; its log says more.",
        exitCode: isOurs ? error.exitCode : ExitCode.bug,
      });
    } finally {
      for (const id of asked) this.questions.delete(id);
      this.running.delete(operation.name);
      end();
    }
  }

  private ask(
    operation: AnyDeviceOperation,
    question: unknown,
    asked: Set<string>,
    say: (line: OperationLine) => void,
    signal: AbortSignal,
  ): Promise<unknown> {
    signal.throwIfAborted();
    const id = randomUUID();
    const { promise, resolve, reject } = Promise.withResolvers<unknown>();
    signal.addEventListener("abort", () => reject(signal.reason as Error), { once: true });
    this.questions.set(id, { operation, resolve });
    asked.add(id);
    say({ kind: "question", id, question });
    return promise;
  }

  private async answer(context: Context): Promise<Response> {
    const id = context.req.param("id") ?? "";
    const waiting = this.questions.get(id);
    if (waiting === undefined) return context.text("Nobody waits for this answer any more.\n", 404);
    const reply = waiting.operation.reply.safeParse(await readJson(context));
    if (!reply.success) return context.text("The command and the bot are of different versions.\n", 400);
    this.questions.delete(id);
    waiting.resolve(reply.data);
    return context.json({}, 200);
  }
}

function unavailable(message: string): OperationLine {
  return { kind: "failed", code: "UNREACHABLE", message, exitCode: ExitCode.serverUnreachable };
}

async function readJson(context: Context): Promise<unknown> {
  try {
    return await context.req.json<unknown>();
  } catch {
    return undefined;
  }
}
