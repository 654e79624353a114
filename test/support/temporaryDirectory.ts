/** A directory of its own for each test; kept when the test fails, so that its database can be looked at. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { TestContext } from "node:test";

/** @returns an absolute path, removed after the test if it passed */
export function temporaryDirectory(t: TestContext): string {
  const directory = mkdtempSync(join(tmpdir(), "docket-test-"));
  t.after(() => {
    // Missing in the types of Node 24, present in Node 24.
    if ((t as TestContext & { readonly passed: boolean }).passed) rmSync(directory, { recursive: true, force: true });
    else t.diagnostic(`kept for a look: ${directory}`);
  });
  return directory;
}
