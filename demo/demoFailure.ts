/** Why the demo could not even begin, in one sentence for people, and the exit code that says it to programs. */

/** Beside these: 0 for everything as expected, 1 for not, 130 for Ctrl-C. As in docs/errors.md. */
export const EXIT = {
  asExpected: 0,
  notAsExpected: 1,
  usage: 64,
  unavailable: 69,
  signInRefused: 77,
  interrupted: 130,
} as const;

export type ExitCode = (typeof EXIT)[keyof typeof EXIT];

export class DemoFailure extends Error {
  readonly exitCode: ExitCode;

  constructor(exitCode: ExitCode, message: string) {
    super(message);
    this.name = "DemoFailure";
    this.exitCode = exitCode;
  }
}
