/** The command's side of device operations: has the running bot do the work, and is the way between it and the person. */
import { request, type IncomingMessage } from "node:http";
import { createInterface } from "node:readline";
import { z } from "zod";
import { Cancelled, ServerUnreachable } from "../../errors.ts";
import { onControlSocket } from "../socketPath.ts";
import { ANSWERS_PATH, pathOf, type DeviceOperation, type OperationLine, type Talk } from "./deviceOperation.ts";

export type BotOutcome<Result> =
  | { readonly kind: "done"; readonly result: Result }
  /** In the bot's words. */
  | { readonly kind: "failed"; readonly code: string; readonly message: string; readonly exitCode: number };

const LINE: z.ZodType<OperationLine> = z.discriminatedUnion("kind", [
  z.object({ kind: z.literal("report"), report: z.unknown() }),
  z.object({ kind: z.literal("question"), id: z.string(), question: z.unknown() }),
  z.object({ kind: z.literal("result"), result: z.unknown() }),
  z.object({ kind: z.literal("failed"), code: z.string(), message: z.string(), exitCode: z.number() }),
]);
/** The bot gives a sign of life every ten seconds. */
const SILENCE_MS = 30_000;

/**
 * @param directory the data directory
 * @returns null where no bot listens there
 * @throws DataDirectoryRefused the socket belongs to another user
 * @throws ServerUnreachable the bot does not answer, or ended before the work did
 * @throws Cancelled the signal aborted; the bot then ends the work
 */
export async function runInBot<Input, Report, Result, Question, Reply>(
  directory: string,
  operation: DeviceOperation<Input, Report, Result, Question, Reply>,
  input: Input,
  talk: Talk<Report, Question, Reply>,
): Promise<BotOutcome<Result> | null> {
  const response = await post(directory, pathOf(operation), input, talk.signal);
  if (response === null) return null;
  if (response.statusCode !== 200) {
    response.destroy();
    throw unusable(directory, `status ${response.statusCode ?? 0}`);
  }
  // A person thinks while the work may end without the answer.
  const unanswered = Promise.withResolvers<never>();
  const answer = async (id: string, question: unknown): Promise<void> => {
    const reply = await talk.ask(operation.question.parse(question));
    const taken = await post(directory, ANSWERS_PATH.replace(":id", id), reply, talk.signal);
    taken?.resume();
    // Not taken because nobody waits for it any more: what the work says next tells why.
    if (taken !== null && taken.statusCode !== 200 && taken.statusCode !== 404)
      throw unusable(directory, `status ${taken.statusCode ?? 0} for an answer`);
  };
  const listen = async (): Promise<BotOutcome<Result> | null> => {
    for await (const text of createInterface({ input: response, crlfDelay: Infinity })) {
      if (text === "") continue;
      const line = LINE.parse(JSON.parse(text));
      if (line.kind === "failed") return line;
      if (line.kind === "result") return { kind: "done", result: operation.result.parse(line.result) };
      if (line.kind === "report") talk.tell(operation.report.parse(line.report));
      else answer(line.id, line.question).catch(unanswered.reject);
    }
    return null;
  };
  try {
    const outcome = await Promise.race([listen(), unanswered.promise]);
    if (outcome !== null) return outcome;
  } catch (error) {
    if (talk.signal.aborted) throw talk.signal.reason;
    if (error instanceof Cancelled || error instanceof ServerUnreachable) throw error;
    throw unusable(directory, "it broke off, or is of another version than this command");
  } finally {
    response.destroy();
  }
  throw unusable(directory, "it ended before the work did");
}

/** @returns null where nobody listens */
function post(directory: string, path: string, body: unknown, signal: AbortSignal): Promise<IncomingMessage | null> {
  return onControlSocket(
    directory,
    (socketPath) => send(socketPath, path, body, signal),
    () => (signal.aborted ? (signal.reason as Error) : unusable(directory, "it does not answer")),
  );
}

function send(socketPath: string, path: string, body: unknown, signal: AbortSignal): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    const text = Buffer.from(JSON.stringify(body ?? null));
    const headers = { "Content-Type": "application/json", "Content-Length": text.length };
    const asked = request({ socketPath, method: "POST", path, headers, signal, agent: false }, resolve);
    asked.setTimeout(SILENCE_MS, () => asked.destroy(new Error("silent")));
    asked.on("error", reject);
    asked.end(text);
  });
}

function unusable(directory: string, how: string): ServerUnreachable {
  return new ServerUnreachable(
    `The bot on ${directory} gave no usable answer on its control socket: ${how}. Its log says what it does.`,
    { doubtful: true },
  );
}
