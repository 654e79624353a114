/** Prints rows as they come: a table for people, JSON lines for programs. Colours only on a terminal, and never with NO_COLOR. */
import type { Row } from "./wire.ts";

export interface Output {
  write(text: string): unknown;
  readonly isTTY?: boolean;
  readonly columns?: number;
}

export interface TableOptions {
  readonly json: boolean;
  /** From the environment: NO_COLOR set to anything that is not empty. */
  readonly noColor: boolean;
}

const HEADINGS = {
  mark: "",
  where: "room",
  asked: "asked",
  took: "took",
  received: "received by",
  answer: "came back",
};
/** Green, red, yellow. */
const MARKS = {
  true: { mark: "ok", colour: 32 },
  false: { mark: "FAIL", colour: 31 },
  null: { mark: "--", colour: 33 },
} as const;
const WIDTHS = { mark: 4, where: 10, asked: 40, took: 7, received: 12 };

export class Table {
  readonly #output: Output;
  readonly #options: TableOptions;
  #rows = 0;
  #failed = 0;
  #notHere = 0;

  constructor(output: Output, options: TableOptions) {
    this.#output = output;
    this.#options = options;
  }

  get allOk(): boolean {
    return this.#rows > this.#notHere && this.#failed === 0;
  }

  row(row: Row): void {
    if (!this.#options.json && this.#rows === 0) this.#line(this.#columns(HEADINGS));
    this.#rows += 1;
    if (row.ok === false) this.#failed += 1;
    if (row.ok === null) this.#notHere += 1;
    if (this.#options.json) {
      this.#line(JSON.stringify(row));
      return;
    }
    const { mark, colour } = MARKS[String(row.ok) as keyof typeof MARKS];
    const took = row.tookMs === null ? "" : `${row.tookMs} ms`;
    const received = row.receivedBy.map((userId) => userId.replace(/^@|:.*$/g, "")).join(", ");
    const text = this.#columns({ mark, where: row.where, asked: row.asked, took, received, answer: row.answer });
    this.#line(this.#coloured(text, colour, mark.length));
    if (row.ok === false) {
      const indent = " ".repeat(WIDTHS.mark + 1);
      this.#line(
        `${indent}expected: ${row.expected}${row.problems.map((problem) => `\n${indent}problem:  ${problem}`).join("")}`,
      );
    }
  }

  /** A line that is not a row: a heading, a failure, an address. `ok` counts for the exit code. */
  note(ok: boolean, text: string, more: Readonly<Record<string, string | number>> = {}): void {
    if (!ok) this.#failed += 1;
    this.#line(this.#options.json ? JSON.stringify({ ok, note: text, ...more }) : text);
  }

  end(tookMs: number): void {
    const { allOk } = this;
    const good = this.#rows - this.#failed - this.#notHere;
    const seconds = (tookMs / 1000).toFixed(1);
    if (this.#options.json) {
      this.#line(JSON.stringify({ ok: allOk, rows: this.#rows, failed: this.#failed, notHere: this.#notHere, tookMs }));
    } else {
      const verdict = allOk ? "all as expected" : `${this.#failed} not as expected`;
      const notHere = this.#notHere === 0 ? "" : `, ${this.#notHere} not here`;
      this.#line(`\n${this.#rows} rows, ${Math.max(good, 0)} ok${notHere}: ${verdict}, in ${seconds} s`);
    }
  }

  #columns(cells: Record<keyof typeof HEADINGS, string>): string {
    const { mark, where, asked, took, received, answer } = cells;
    const text = [
      mark.padEnd(WIDTHS.mark),
      where.padEnd(WIDTHS.where),
      asked.padEnd(WIDTHS.asked),
      took.padStart(WIDTHS.took),
      ` ${received.padEnd(WIDTHS.received)}`,
      answer,
    ].join(" ");
    const { isTTY, columns } = this.#output;
    const width = isTTY === true && columns !== undefined && columns > 100 ? columns : Infinity;
    return text.length > width ? `${text.slice(0, width - 3)}...` : text.trimEnd();
  }

  #coloured(text: string, colour: number, length: number): string {
    if (this.#output.isTTY !== true || this.#options.noColor) return text;
    return `\u001b[${colour}m${text.slice(0, length)}\u001b[0m${text.slice(length)}`;
  }

  #line(text: string): void {
    this.#output.write(`${text}\n`);
  }
}
