import assert from "node:assert/strict";
import { PassThrough } from "node:stream";
import { describe, it } from "node:test";
import { readHiddenLine, readText, type TerminalInput } from "../../../src/commands/standardInput.ts";

/** A terminal at which somebody types. */
function terminal(): {
  input: TerminalInput & PassThrough;
  isRaw: () => boolean;
  shown: () => string;
  output: { write(text: string): void };
} {
  let raw = false;
  let shown = "";
  const input = Object.assign(new PassThrough(), { setRawMode: (on: boolean) => void (raw = on) });
  return { input, isRaw: () => raw, shown: () => shown, output: { write: (text) => void (shown += text) } };
}

const notCalled = (): void => assert.fail("nobody typed Ctrl-C");

describe("a hidden line", () => {
  it("is what was typed up to Enter, and nothing of it is shown", async () => {
    for (const end of ["\r", "\n", "\u0004"]) {
      const { input, output, shown, isRaw } = terminal();
      const line = readHiddenLine(input, output, "Password: ", notCalled);
      assert.equal(isRaw(), true);
      input.write("pä");
      input.write(`ss wörd 🔑${end}rest`);
      assert.equal(await line, "päss wörd 🔑");
      assert.deepEqual([shown(), isRaw(), input.isPaused()], ["Password: \n", false, true]);
    }
  });

  it("can be corrected, also by whole letters", async () => {
    const { input, output } = terminal();
    const line = readHiddenLine(input, output, "", notCalled);
    input.write("wrong\u0015righx🔑\u007f\u007ft\b\u001bt\r");
    assert.equal(await line, "right");
  });

  it("comes whole, however its bytes arrive", async () => {
    const { input, output } = terminal();
    const line = readHiddenLine(input, output, "", notCalled);
    for (const byte of Buffer.from("ö🔑\r")) input.write(Buffer.of(byte));
    assert.equal(await line, "ö🔑");
  });

  it("is given up at Ctrl-C, with the terminal as it was", async () => {
    const { input, output, isRaw } = terminal();
    let interrupted = 0;
    const line = readHiddenLine(input, output, "", () => {
      interrupted += 1;
      assert.equal(isRaw(), false, "whoever ends the process here leaves the terminal as it was");
    });
    input.write("half\u0003");
    await line;
    assert.deepEqual([interrupted, isRaw()], [1, false]);
  });

  it("can be followed by another one", async () => {
    const { input, output } = terminal();
    for (const word of ["first", "second"]) {
      const line = readHiddenLine(input, output, "", notCalled);
      input.write(`${word}\r`);
      assert.equal(await line, word);
    }
  });

  it("ends where the terminal goes away", async () => {
    const { input, output, isRaw } = terminal();
    const line = readHiddenLine(input, output, "", notCalled);
    input.end("typed");
    assert.equal(await line, "typed");
    assert.equal(isRaw(), false);
  });
});

describe("standard input as a text", () => {
  it("is read to its end, whatever the pieces", async () => {
    const bytes = [...Buffer.from("ö🔑\n")].map((byte) => Buffer.of(byte));
    assert.equal(await readText(PassThrough.from(bytes), 100), "ö🔑\n");
  });

  it("is refused when it is too long, and when it is no text", async () => {
    await assert.rejects(readText(PassThrough.from([Buffer.alloc(11)]), 10), RangeError);
    await assert.rejects(readText(PassThrough.from([Buffer.of(0xff)]), 10), TypeError);
  });
});
