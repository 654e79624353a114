/** What comes in at standard input, or from a file in its place: a text as a whole, or a line that is typed and not shown. */
import type { Readable } from "node:stream";
import type { TextSink } from "./command.ts";

/** @throws RangeError it is longer than `maxBytes`; @throws TypeError it is not UTF-8 */
export async function readText(input: AsyncIterable<Uint8Array | string>, maxBytes: number): Promise<string> {
  const chunks: Buffer[] = [];
  let length = 0;
  for await (const chunk of input) {
    const bytes = Buffer.from(chunk);
    length += bytes.length;
    if (length > maxBytes) throw new RangeError(`standard input is longer than ${maxBytes} bytes`);
    chunks.push(bytes);
  }
  return new TextDecoder("utf-8", { fatal: true }).decode(Buffer.concat(chunks));
}

/** Why `readText` failed, in a few words. @throws the error itself where it is none that reading has */
export function whyUnread(error: unknown): string {
  if (error instanceof RangeError) return "it is too long";
  if (error instanceof TypeError) return "it is not UTF-8";
  if (error instanceof Error && "code" in error && typeof error.code === "string") return error.code;
  throw error;
}

/** A terminal for reading. */
export type TerminalInput = Readable & { setRawMode(on: boolean): unknown };

const ENTER = new Set(["\r", "\n"]);
const BACKSPACE = new Set(["\u007f", "\b"]);
const INTERRUPT = "\u0003";
const END = "\u0004";
const CLEAR_LINE = "\u0015";

/**
 * Reads a line without showing it. Backspace and Ctrl-U correct it; Enter, or Ctrl-D, ends it. The terminal is left as it was, however
 * this ends.
 * @param onInterrupt Ctrl-C was typed; the line is not read any further
 */
export async function readHiddenLine(
  input: TerminalInput,
  output: TextSink,
  prompt: string,
  onInterrupt: () => void,
): Promise<string> {
  output.write(prompt);
  input.setRawMode(true);
  let typed: string[] = [];
  const { promise, resolve } = Promise.withResolvers<"line" | "interrupt">();
  const read = (chunk: Buffer | string): void => {
    for (const character of chunk.toString()) {
      if (ENTER.has(character) || character === END) return resolve("line");
      if (character === INTERRUPT) return resolve("interrupt");
      if (BACKSPACE.has(character)) typed.pop();
      else if (character === CLEAR_LINE) typed = [];
      else if (character >= " ") typed.push(character);
    }
  };
  const end = (): void => resolve("line");
  // It stands still after a line that was read before.
  input.setEncoding("utf8").on("data", read).once("end", end).once("error", end).resume();
  const ending = await promise;
  input.off("data", read).off("end", end).off("error", end).pause();
  input.setRawMode(false);
  output.write("\n");
  if (ending === "interrupt") onInterrupt();
  return typed.join("");
}

const LONGEST_LINE = 4_096;

/** Reads line by line, and leaves the input alone in between: a process that waits for nothing else can end. */
export class LineReader {
  private readonly input: Readable;
  private read = "";
  private ended = false;

  constructor(input: Readable) {
    this.input = input;
  }

  /** @returns null at the end, or when the signal aborts; what is longer than any answer is cut */
  async next(signal: AbortSignal): Promise<string | null> {
    for (;;) {
      const end = this.read.indexOf("\n");
      if (end >= 0) {
        const line = this.read.slice(0, end);
        this.read = this.read.slice(end + 1);
        return line.replace(/\r$/, "").slice(0, LONGEST_LINE);
      }
      if (signal.aborted || this.ended) return null;
      await this.more(signal);
    }
  }

  private more(signal: AbortSignal): Promise<void> {
    const { input } = this;
    return new Promise((resolve) => {
      const done = (): void => {
        input.off("data", take).off("end", finish).off("error", finish).pause();
        signal.removeEventListener("abort", done);
        resolve();
      };
      const take = (chunk: Buffer | string): void => {
        // Without an end of line it is no answer.
        this.read = `${this.read}${chunk.toString()}`.slice(-16 * LONGEST_LINE);
        done();
      };
      const finish = (): void => {
        this.ended = true;
        if (this.read !== "") this.read += "\n";
        done();
      };
      signal.addEventListener("abort", done, { once: true });
      input.setEncoding("utf8").on("data", take).once("end", finish).once("error", finish).resume();
    });
  }
}
