/** One line at the bottom of a terminal that says how long is still waited, and for what. Guarantees: it is gone before anything else is written. */
import type { Waiting } from "./ask.ts";

const CLEAR = "\r\u001b[2K";

export class Progress {
  private readonly write: (text: string) => void;
  private shown = false;

  /** @param write to the terminal; null where there is none */
  constructor(write: ((text: string) => void) | null) {
    this.write = write ?? (() => undefined);
  }

  show({ answers, missing, receivedBy, leftMs }: Waiting): void {
    const received = receivedBy === 0 ? "" : `, received by ${receivedBy}`;
    this.write(`${CLEAR}waiting   ${answers} of ${answers + missing}${received}, ${Math.ceil(leftMs / 1_000)} s left`);
    this.shown = true;
  }

  clear(): void {
    if (this.shown) this.write(CLEAR);
    this.shown = false;
  }
}
