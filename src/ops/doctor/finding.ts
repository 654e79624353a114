/**
 * What `docket doctor` says: one finding for each check, and the report of them all. The report is also the answer of the control
 * socket and the output of `--json`: its shape is promised (docs/operations.md), and `REPORT_FORMAT` counts its changes.
 */
import { z } from "zod";

/**
 * `wrong`: the bot does not do, or will not go on doing, what it is there for. `warning`: it does, but somebody should look.
 * `unknown`: it could not be told. `off`: not there, by choice or because nobody offers it.
 */
export const findingStates = ["wrong", "warning", "unknown", "ok", "off"] as const;
export type FindingState = (typeof findingStates)[number];

export const REPORT_FORMAT = 1;

/** One of several things that a finding is about. */
export interface Detail {
  /** A room ID, a file, or a place in one. */
  readonly about: string;
  /** In a sentence. */
  readonly found: string;
}

/** What a check came to. */
export interface Verdict {
  readonly state: FindingState;
  /** In a sentence. */
  readonly found: string;
  /** What to do, in a sentence; null where there is nothing to do. */
  readonly advice: string | null;
  /** A command line that does it, with placeholders in capitals, and `\\` at the end of each line but the last; null where there is none. */
  readonly command: string | null;
  readonly details: readonly Detail[];
}

export interface Finding extends Verdict {
  readonly check: string;
}

export interface DoctorReport {
  /** `REPORT_FORMAT` of the program that made it. */
  readonly format: number;
  /** Version of that program. */
  readonly docket: string;
  /** When it was made, milliseconds since the epoch. */
  readonly at: number;
  /** Who looked: the bot itself, or the command with its own eyes. */
  readonly by: "bot" | "command";
  /** The worst of the findings; `unknown` and `off` count as `ok`. */
  readonly state: "ok" | "warning" | "wrong";
  /** Null where the configuration does not say it. */
  readonly homeserver: string | null;
  readonly user: string | null;
  /** Null where nobody has signed in yet. */
  readonly device: string | null;
  /** In the order of the checks. */
  readonly findings: readonly Finding[];
}

export const REPORT: z.ZodType<DoctorReport> = z.object({
  format: z.number(),
  docket: z.string(),
  at: z.number(),
  by: z.enum(["bot", "command"]),
  state: z.enum(["ok", "warning", "wrong"]),
  homeserver: z.nullable(z.string()),
  user: z.nullable(z.string()),
  device: z.nullable(z.string()),
  findings: z.array(
    z.object({
      check: z.string(),
      state: z.enum(findingStates),
      found: z.string(),
      advice: z.nullable(z.string()),
      command: z.nullable(z.string()),
      details: z.array(z.object({ about: z.string(), found: z.string() })),
    }),
  ),
});

type More = Partial<Pick<Verdict, "command" | "details">>;

export function ok(found: string, more: More = {}): Verdict {
  return { state: "ok", found, advice: null, command: null, details: [], ...more };
}

export function off(found: string, advice: string | null = null): Verdict {
  return { state: "off", found, advice, command: null, details: [] };
}

export function unknown(found: string, advice: string | null = null, more: More = {}): Verdict {
  return { state: "unknown", found, advice, command: null, details: [], ...more };
}

export function warning(found: string, advice: string, more: More = {}): Verdict {
  return { state: "warning", found, advice, command: null, details: [], ...more };
}

export function wrong(found: string, advice: string, more: More = {}): Verdict {
  return { state: "wrong", found, advice, command: null, details: [], ...more };
}

/** The worst of them. */
export function worstOf(findings: readonly Pick<Finding, "state">[]): DoctorReport["state"] {
  if (findings.some(({ state }) => state === "wrong")) return "wrong";
  return findings.some(({ state }) => state === "warning") ? "warning" : "ok";
}

/** The findings with others in the place of those of the same check. */
export function withFindings(report: DoctorReport, others: readonly Finding[]): DoctorReport {
  const findings = report.findings.map((finding) => others.find(({ check }) => check === finding.check) ?? finding);
  return { ...report, findings, state: worstOf(findings) };
}
