/** The steps that answer success: at once, or once the event is on disk. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { acknowledge } from "../../../src/handlers/acknowledge.ts";
import { archive } from "../../../src/handlers/archive.ts";
import { stepKinds } from "../../../src/handlers/stepKinds.ts";
import type { RecordReceipt } from "../../../src/record/record.ts";
import { prepared, receipt, runOnce, stepContext } from "./fixtures.ts";

describe("acknowledge", () => {
  it("is a success without a word", async () => {
    assert.deepEqual(await runOnce(await prepared(acknowledge, undefined)), { status: "success" });
  });

  it("says what the operator wants said", async () => {
    assert.deepEqual(await runOnce(await prepared(acknowledge, { message: "We have it." })), {
      status: "success",
      messages: [{ type: "info", text: "We have it." }],
    });
  });

  for (const wrong of ["hello", {}, { message: "" }, { message: 1 }, { message: "a", mesage: "b" }, null])
    it(`refuses the options ${JSON.stringify(wrong)}`, () => {
      assert.equal(acknowledge.options.safeParse(wrong).success, false);
    });
});

describe("archive", () => {
  it("is a success only once the event is recorded", async () => {
    const step = await prepared(archive, undefined);
    const { promise, resolve } = Promise.withResolvers<RecordReceipt | null>();
    let settled = false;
    const running = runOnce(step, {}, stepContext({ recorded: () => promise })).finally(() => (settled = true));
    await new Promise((done) => setImmediate(done));
    assert.equal(settled, false);
    resolve(receipt);
    assert.deepEqual(await running, { status: "success" });
  });

  it("is an error where the operator's selection leaves the event out of the record", async () => {
    const verdict = await runOnce(await prepared(archive, undefined), {}, stepContext({ recorded: async () => null }));
    assert.equal(verdict.status === "error" && verdict.code, "handler_failed");
    assert.match(verdict.messages?.[0]?.text ?? "", /not selected for the record, so this one was not kept/);
  });

  it("is no success where the record fails", async () => {
    const step = await prepared(archive, undefined);
    const recorded = (): Promise<never> => Promise.reject(new Error("disk full"));
    await assert.rejects(runOnce(step, {}, stepContext({ recorded })), /disk full/);
  });

  it("takes no options and says so", () => {
    const parsed = archive.options.safeParse({ proof: true });
    assert.match(parsed.error?.issues[0]?.message ?? "", /takes no options/);
  });
});

it("every kind of step has a name of its own and a description", () => {
  assert.deepEqual(
    stepKinds.map((kind) => kind.name),
    ["acknowledge", "archive", "validate"],
  );
  for (const kind of stepKinds) assert.match(kind.description, /^[A-Z].+\.$/);
});
