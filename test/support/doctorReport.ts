/** `docket doctor` as its operator runs it, and its report read back. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { REPORT, type DoctorReport, type Finding, type FindingState } from "../../src/ops/doctor/finding.ts";
import { docketWith } from "./docketCommand.ts";

export interface Examined {
  readonly code: number;
  readonly report: DoctorReport;
  /** @throws AssertionError there is no such check */
  finding(check: string): Finding;
  /** The checks that came to this. */
  checks(state: FindingState): string[];
}

/** Runs `docket doctor --json` on the configuration in a directory. @param env beside that of the test */
export async function examine(
  directory: string,
  { args = [], env = {} }: { args?: readonly string[]; env?: Readonly<Record<string, string>> } = {},
): Promise<Examined> {
  const config = join(directory, "config.yaml");
  const { code, stdout, stderr } = await docketWith(
    { ...process.env, ...env },
    "doctor",
    "--json",
    "--config",
    config,
    ...args,
  );
  assert.equal(stderr, "");
  const report = REPORT.parse(JSON.parse(stdout));
  assert.equal(code, report.state === "wrong" ? 1 : 0, "the exit code is the report's");
  const finding = (check: string): Finding => {
    const found = report.findings.find((candidate) => candidate.check === check);
    assert(found, `there is no check ${check}`);
    return found;
  };
  const checks = (state: FindingState): string[] =>
    report.findings.filter((candidate) => candidate.state === state).map(({ check }) => check);
  return { code, report, finding, checks };
}
