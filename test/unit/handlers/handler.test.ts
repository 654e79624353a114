/** A handler's run: order, merging, failures that stay out of the room, and an abort that nobody can ignore. */
import assert from "node:assert/strict";
import { getEventListeners } from "node:events";
import { describe, it } from "node:test";
import { Cancelled, CryptoPanicked, LeaseLost, StoreFailed } from "../../../src/errors.ts";
import { handlerFailedText, runHandler } from "../../../src/handlers/handler.ts";
import type { Step, Verdict } from "../../../src/handlers/step.ts";
import type { LogFields, Logger } from "../../../src/logging.ts";
import type { JsonObject } from "../../../src/protocol/json.ts";
import { clearEvent, neverAborted, stepContext } from "./fixtures.ts";

const returns = (verdict: Verdict): Step => ({ run: async () => verdict });
const throws = (error: unknown): Step => ({ run: () => Promise.reject(error) });

class CollectedLog implements Logger {
  readonly lines: { readonly level: string; readonly fields: LogFields; readonly message: string }[] = [];
  debug = this.writer("debug");
  info = this.writer("info");
  warn = this.writer("warn");
  error = this.writer("error");
  private writer(level: string) {
    return (fields: LogFields, message: string): void => void this.lines.push({ level, fields, message });
  }
}

async function run(steps: readonly Step[], signal = neverAborted, log = new CollectedLog()): Promise<Verdict> {
  const named = steps.map((step, index) => ({ name: `step${index}`, step }));
  const { extra: _, ...context } = stepContext();
  return runHandler({ types: ["*"], steps: named }, clearEvent({ name: "CANARY" }), context, signal, log);
}

describe("a handler", () => {
  it("runs its steps in order and joins their messages and extra properties", async () => {
    const verdict = await run([
      returns({ status: "success", messages: [{ type: "info", text: "a" }], extra: { x: 1, y: 1 } }),
      returns({ status: "success" }),
      returns({ status: "success", messages: [{ type: "warning", text: "b" }], extra: { y: 2 } }),
    ]);
    assert.deepEqual(verdict, {
      status: "success",
      messages: [
        { type: "info", text: "a" },
        { type: "warning", text: "b" },
      ],
      extra: { x: 1, y: 2 },
    });
  });

  it("ends at the first error, and keeps what came before it", async () => {
    let later = false;
    const verdict = await run([
      returns({ status: "success", messages: [{ type: "info", text: "a" }], extra: { x: 1 } }),
      returns({ status: "error", code: "invalid_content", messages: [{ type: "error", text: "b" }], extra: { z: 3 } }),
      { run: async () => ((later = true), { status: "success" }) },
    ]);
    assert.equal(later, false);
    assert.deepEqual(verdict, {
      status: "error",
      code: "invalid_content",
      messages: [
        { type: "info", text: "a" },
        { type: "error", text: "b" },
      ],
      extra: { x: 1, z: 3 },
    });
  });

  it("gives each step the event, and the extra properties of the steps before it", async () => {
    const seen: JsonObject[] = [];
    const looks: Step = {
      run: async (event, context) => {
        assert.equal(event.id, "$event");
        seen.push(context.extra);
        return { status: "success" };
      },
    };
    await run([looks, returns({ status: "success", extra: { x: 1 } }), looks]);
    assert.deepEqual(seen, [{}, { x: 1 }]);
  });

  it("without steps is a success", async () => {
    assert.deepEqual(await run([]), { status: "success", messages: [], extra: {} });
  });

  class PatientNotFound extends Error {}
  const failures: readonly (readonly [string, unknown, string])[] = [
    ["an error of its own class", new PatientNotFound("CANARY"), "PatientNotFound"],
    ["a system error", Object.assign(new Error("CANARY"), { code: "ECONNREFUSED" }), "ECONNREFUSED"],
    [
      "an error with data for a code",
      Object.assign(new TypeError("CANARY"), { code: "CANARY Max Mustermann" }),
      "TypeError",
    ],
    ["an error that names itself after data", Object.assign(new Error("x"), { name: "CANARY" }), "Error"],
    ["a string", "CANARY", "string"],
    ["nothing", undefined, "undefined"],
  ];
  for (const [what, error, cause] of failures)
    it(`answers a general error where a step throws ${what}; the log has its class or code, nobody its text`, async () => {
      const log = new CollectedLog();
      const verdict = await run([throws(error)], neverAborted, log);
      assert.deepEqual(verdict, {
        status: "error",
        code: "handler_failed",
        messages: [{ type: "error", text: handlerFailedText }],
        extra: {},
      });
      assert.deepEqual(
        log.lines.map(({ level, fields }) => ({ level, ...fields })),
        [{ level: "error", roomId: "!room", eventId: "$event", step: "step0", code: "STEP_FAILED", cause }],
      );
      assert.doesNotMatch(JSON.stringify([verdict, log.lines]), /CANARY/);
    });

  it("treats a throw before the first await like any other", async () => {
    const step: Step = {
      run: () => {
        throw new Error("CANARY");
      },
    };
    assert.equal((await run([step])).status, "error");
  });

  for (const error of [new StoreFailed("x"), new CryptoPanicked("x"), new LeaseLost("x"), new Cancelled("x")])
    it(`passes ${error.name} on: it says nothing about the event`, async () => {
      await assert.rejects(run([throws(error)]), (thrown) => thrown === error);
    });
});

describe("an aborted handler", () => {
  const hangs: Step = { run: () => new Promise(() => {}) };

  it("ends at once, even where its step ignores the signal", async () => {
    const abort = new AbortController();
    const running = run([hangs], abort.signal);
    abort.abort();
    await assert.rejects(running, Cancelled);
  });

  it("starts no step when the abort came first", async () => {
    let started = false;
    const step: Step = { run: async () => ((started = true), { status: "success" }) };
    await assert.rejects(run([step], AbortSignal.abort()), Cancelled);
    assert.equal(started, false);
  });

  it("starts no further step", async () => {
    const abort = new AbortController();
    let started = false;
    const aborts: Step = {
      run: async () => {
        abort.abort();
        return { status: "success" };
      },
    };
    const second: Step = { run: async () => ((started = true), { status: "success" }) };
    await assert.rejects(run([aborts, second], abort.signal), Cancelled);
    assert.equal(started, false);
  });

  it("is cancelled, not failed, where its step throws because of the abort", async () => {
    const abort = new AbortController();
    const log = new CollectedLog();
    const obeys: Step = {
      run: (_event, _context, signal) =>
        new Promise((_resolve, reject) => signal.addEventListener("abort", () => reject(new Error("CANARY")))),
    };
    const running = run([obeys], abort.signal, log);
    abort.abort();
    await assert.rejects(running, Cancelled);
    assert.deepEqual(log.lines, []);
  });

  it("leaves no listener on the signal behind", async () => {
    const abort = new AbortController();
    await run([returns({ status: "success" }), returns({ status: "success" })], abort.signal);
    assert.equal(getEventListeners(abort.signal, "abort").length, 0);
  });

  it("makes no unhandled rejection of a step that fails after it was given up", async () => {
    const abort = new AbortController();
    const { promise, reject } = Promise.withResolvers<never>();
    const running = run([{ run: () => promise }], abort.signal);
    abort.abort();
    await assert.rejects(running, Cancelled);
    reject(new StoreFailed("too late"));
    await new Promise((resolve) => setImmediate(resolve));
  });
});
