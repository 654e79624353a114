/** One line at the bottom of a terminal that says how much is done. Guarantees: it is gone before anything else is written, and nothing is written where there is no terminal. */
import type { TextSink } from "./command.ts";

const CLEAR = "\r\u001b[2K";
const WIDTH = 30;

export class ProgressBar {
  private readonly sink: TextSink;
  private readonly what: string;
  private shown = "";

  /** @param what is done, such as `room keys` */
  constructor(sink: TextSink, what: string) {
    this.sink = sink;
    this.what = what;
  }

  /** @param total null where it is not known yet */
  show(done: number, total: number | null): void {
    if (this.sink.isTerminal !== true) return;
    const share = total === null ? 0 : total === 0 ? 1 : Math.min(done / total, 1);
    const filled = Math.floor(share * WIDTH);
    const of = total === null ? "" : ` of ${total}`;
    const line = `[${"#".repeat(filled)}${".".repeat(WIDTH - filled)}] ${done}${of} ${this.what}`;
    if (line === this.shown) return;
    this.sink.write(`${CLEAR}${line}`);
    this.shown = line;
  }

  clear(): void {
    if (this.shown !== "") this.sink.write(CLEAR);
    this.shown = "";
  }
}
