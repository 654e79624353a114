/** Asks the bot that runs on a data directory, over its control socket: for the commands. */
import { request } from "node:http";
import type { z } from "zod";
import { ServerUnreachable } from "../errors.ts";
import { onControlSocket } from "./socketPath.ts";

export interface ControlReply<Answer> {
  readonly status: number;
  readonly answer: Answer;
}

interface RawReply {
  readonly status: number;
  readonly body: string;
}

/** Of the paths that commands ask for: done, not ready, refused. Anything else is a failure, told in one line. */
const ANSWERS: ReadonlySet<number> = new Set([200, 422, 503]);
/** The doctor's report names each room that it has something to say of. */
const LARGEST_ANSWER_BYTES = 4 * 1024 * 1024;
const LONGEST_WAIT_MS = 30_000;

/**
 * @param directory the data directory
 * @param schema of the answer
 * @param waitMs how long the whole answer may take, in milliseconds
 * @returns null where no bot listens there
 * @throws DataDirectoryRefused the socket belongs to another user
 * @throws ServerUnreachable the bot took the connection and does not answer, or failed at it
 */
export async function askBot<Answer>(
  directory: string,
  method: "GET" | "POST",
  path: string,
  schema: z.ZodType<Answer>,
  waitMs = LONGEST_WAIT_MS,
): Promise<ControlReply<Answer> | null> {
  const reply = await onControlSocket(
    directory,
    (socketPath) => ask(socketPath, method, path, waitMs),
    (cause) =>
      new ServerUnreachable(
        `The bot on ${directory} does not answer on its control socket. Its log says what it does; if it does nothing, stop it and start it again.`,
        { doubtful: true, cause },
      ),
  );
  if (reply === null) return null;
  const { status, body } = reply;
  try {
    if (ANSWERS.has(status)) return { status, answer: schema.parse(JSON.parse(body)) };
  } catch {
    // Said below.
  }
  const said =
    status === 500 ? ` It says: ${(body.split("\n", 1)[0] ?? "").replace(/\p{Cc}/gu, " ").slice(0, 200)}` : "";
  throw new ServerUnreachable(
    `What answers on the control socket in ${directory} gave no usable answer (status ${status}).${said}`,
    {
      doubtful: true,
    },
  );
}

function ask(socketPath: string, method: string, path: string, waitMs: number): Promise<RawReply> {
  return new Promise((resolve, reject) => {
    const asked = request(
      { socketPath, method, path, signal: AbortSignal.timeout(waitMs), agent: false },
      (response) => {
        const chunks: Buffer[] = [];
        let length = 0;
        response.on("data", (chunk: Buffer) => {
          length += chunk.length;
          if (length > LARGEST_ANSWER_BYTES) asked.destroy(new Error("the answer has no end"));
          else chunks.push(chunk);
        });
        response.on("error", reject);
        response.on("end", () =>
          resolve({ status: response.statusCode ?? 0, body: Buffer.concat(chunks).toString("utf8") }),
        );
      },
    );
    asked.on("error", reject);
    asked.end();
  });
}
