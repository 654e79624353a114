/** A reporter for scripts/sabotage.ts: one JSON line for each test that ended, and whether it was well. */
import type { TestEvent } from "node:test/reporters";

export interface TestVerdict {
  readonly name: string;
  readonly ok: boolean;
}

export default async function* verdictReporter(source: AsyncIterable<TestEvent>): AsyncGenerator<string> {
  for await (const { type, data } of source) {
    if (type !== "test:pass" && type !== "test:fail") continue;
    const verdict: TestVerdict = { name: data.name, ok: type === "test:pass" };
    yield `${JSON.stringify(verdict)}\n`;
  }
}
