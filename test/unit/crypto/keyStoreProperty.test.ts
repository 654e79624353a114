/** The durable store against plain fake-indexeddb: the same script, the same answers, the same contents after every reopening. */
import assert from "node:assert/strict";
import { mkdtempSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import fc from "fast-check";
import { IDBFactory, IDBKeyRange } from "fake-indexeddb";
import { dump, play, scripts, type Factory, type ScriptStep } from "../../support/indexedDbScript.ts";
import { openKeyStore } from "../../support/keyStoreFixture.ts";
import { temporaryDirectory } from "../../support/temporaryDirectory.ts";

const ranges = IDBKeyRange as never;

test("whatever is done to the store, it answers like IndexedDB and holds the same after it is opened again", async (t) => {
  const root = temporaryDirectory(t);
  const seen = new Map<string, number>();
  await fc.assert(
    fc.asyncProperty(scripts, async (script) => {
      const directory = mkdtempSync(join(root, "run-"));
      const plain = new (IDBFactory as unknown as new () => Factory)();
      let durable = await openKeyStore(directory);
      try {
        for (const step of [...script, { kind: "reopen" } satisfies ScriptStep]) {
          if (step.kind === "reopen") {
            await durable.close();
            durable = await openKeyStore(directory);
          } else {
            const expected = await play(plain, ranges, step);
            assert.deepStrictEqual(await play(durable.store.indexedDB as Factory, ranges, step), expected);
            for (const answer of expected.flat(3))
              if (typeof answer === "string") seen.set(answer, (seen.get(answer) ?? 0) + 1);
          }
          assert.deepStrictEqual(await dump(durable.store.indexedDB as Factory), await dump(plain));
        }
        assert.deepEqual(durable.fatal, []);
      } finally {
        await durable.close();
      }
    }),
    { numRuns: 60, timeout: 60_000 },
  );
  // A script that never gets past its preconditions would prove nothing.
  for (const answer of [
    "complete",
    "aborted ",
    "aborted ConstraintError",
    "opened",
    "AbortError",
    "ConstraintError",
    "DataError",
  ]) {
    assert.ok((seen.get(answer) ?? 0) > 0, `no script led to "${answer}"`);
  }
});
